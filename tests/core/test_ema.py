"""The moving average against its closed form."""

import pytest
import torch

from medsynth_lib.core.ema import EMA


def test_average_follows_the_closed_form():
    net = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(net.weight)
    ema = EMA({"net": net}, half_life=10.0)
    for step in range(1, 6):
        net.weight.data.fill_(1.0)
        ema.update(images_seen=1000 * step, batch_size=5)
    # from 0 towards 1 with half-life 10 images, 25 images in all
    assert ema.average["net.weight"].item() == pytest.approx(1 - 0.5 ** (25 / 10), abs=1e-6)


def test_ramp_up_forgets_the_random_start():
    """At the first step the half-life is 5 % of one batch, so next to nothing of the start is left."""
    net = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(net.weight)
    ema = EMA({"net": net}, half_life=1e6)
    net.weight.data.fill_(1.0)
    ema.update(images_seen=32, batch_size=32)
    assert ema.average["net.weight"].item() == pytest.approx(1 - 0.5**20, abs=1e-6)


def test_swap_twice_is_the_identity_and_covers_batch_norm():
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
    ema = EMA({"net": net}, half_life=10.0)
    assert "net.1.running_mean" in ema.average and "net.1.num_batches_tracked" not in ema.average
    net(torch.randn(4, 1, 3, 3))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    ema.swap()
    assert not torch.equal(net[1].running_mean, before["1.running_mean"])
    ema.swap()
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
