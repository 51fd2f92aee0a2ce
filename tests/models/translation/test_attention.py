"""Attention-guided CycleGAN: the map finds a planted lesion that it was never told of; outside it nothing changes."""

import pytest
import torch

import medsynth_lib as ms
from medsynth_lib.models.registry import load_translator
from medsynth_lib.models.translation.attention import AttentionCycleGAN


def small(**changes):
    torch.manual_seed(0)
    settings = {"width": 8, "blocks": 1, "patch": 2, "discriminator_layers": 1, "pool_size": 32, "identity_weight": 0.0}
    return AttentionCycleGAN(1, 16, **{**settings, **changes})


def images(n, lesions, seed):
    """Smooth dark images [N, 1, 16, 16], with a bright square of 4 x 4 pixels if `lesions`; and where it is."""
    generator = torch.Generator().manual_seed(seed)
    smooth = torch.rand(n, 1, 4, 4, generator=generator) * 0.4 - 0.8
    out = torch.nn.functional.interpolate(smooth, size=16, mode="bilinear")
    where = torch.zeros(n, 1, 16, 16, dtype=torch.bool)
    for k, (y, x) in enumerate(torch.randint(1, 11, (n, 2), generator=generator).tolist()):
        where[k, :, y : y + 4, x : x + 4] = lesions
    return torch.where(where, 0.7, out), where


def test_where_the_map_is_zero_the_picture_stays():
    method, x = small(), images(4, True, 0)[0]
    torch.nn.init.constant_(method.generator_b.attention_net.curve.heights.bias, -10.0)
    assert torch.allclose(method.translate(x, to="b"), x, atol=1e-5)
    assert method.attention(x, to="b").max() < 1e-5 < method.attention(x, to="a").max()


def test_the_loss_counts_what_is_changed():
    method, (a, b) = small(change=3.0), (images(4, lesions, 1)[0] for lesions in (False, True))
    drawn = method.forward(a, b)
    losses = method.generator_losses(a, b, drawn)
    change = (drawn["fake_b"] - a).abs().mean() + (drawn["fake_a"] - b).abs().mean()
    assert losses["change"].item() == pytest.approx(change.item())
    total = losses["g"] + 10 * losses["cycle"] + 3 * change
    assert method.total(losses).item() == pytest.approx(total.item(), rel=1e-5)


def test_a_planted_lesion_is_healed_and_the_map_lies_on_it():
    (healthy, _), (ill, _) = images(64, False, 2), images(64, True, 3)
    method = small(learning_rate=2e-3)
    optimisers = method.optimisers()
    for k in range(150):
        torch.manual_seed(k)
        rows = torch.randint(0, 64, (2, 8))
        method.step({"a": healthy[rows[0]], "b": ill[rows[1]]}, optimisers, 0.0)
    unseen, where = images(32, True, 4)
    found = method.attention(unseen, to="a") > 0.5
    iou = (found & where).sum() / (found | where).sum()
    assert iou > 0.6
    healed = method.translate(unseen, to="a")
    assert healed[where].mean() < 0.2 < 0.6 < unseen[where].mean()


def test_published_and_loaded_again(tmp_path):
    method, x = small(), images(8, True, 5)[0]
    ms.fit(method, {"a": x, "b": x.flip(0)}, tmp_path, images=16, batch_size=4, seed=0, ema_images=8)
    assert torch.equal(load_translator(tmp_path).attention(x, to="a"), method.attention(x, to="a"))
