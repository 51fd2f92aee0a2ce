"""Patch scores, least squares by hand, and the pool's promises."""

import pytest
import torch

from medsynth_lib.models.translation.patchgan import PatchGAN, ReplayPool, least_squares_d, least_squares_g


@pytest.mark.parametrize(("levels", "seen"), [(1, 16), (2, 34), (3, 70)])
def test_a_score_sees_a_patch_and_no_more(levels, seen):
    torch.manual_seed(0)
    net = PatchGAN(2, 4, levels)
    for layer in net.net:  # instance norm would let every pixel speak to every other
        if isinstance(layer, torch.nn.InstanceNorm2d):
            layer.forward = lambda x: x
    picture = torch.randn(1, 2, 128, 128, requires_grad=True)
    scores = net(picture)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    touched = picture.grad.abs().sum((0, 1)).nonzero()
    assert (touched.max(0).values - touched.min(0).values + 1).tolist() == [seen, seen]


def test_least_squares_by_hand():
    real, fake = torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 1.0]])
    assert least_squares_d(real, fake).item() == pytest.approx((0.5 + 2.5) / 2)
    assert least_squares_g(fake).item() == pytest.approx(0.5)
    assert least_squares_d(torch.ones(3), torch.zeros(3)) == 0 == least_squares_g(torch.ones(3))


def fakes(first, count=4):
    return torch.arange(first, first + count).float().view(count, 1, 1, 1)


def test_the_pool_first_fills_and_passes_everything_on():
    pool = ReplayPool((1, 1, 1), 12)
    for first in (0, 4, 8):
        assert torch.equal(pool.exchange(fakes(first)), fakes(first))
    assert pool.held.flatten().tolist() == list(range(12)) and pool.filled == 12


def test_then_half_of_the_fakes_are_replaced_by_held_ones_which_leave():
    torch.manual_seed(0)
    pool, replaced = ReplayPool((1, 1, 1), 12), 0
    for first in range(0, 12, 4):
        pool.exchange(fakes(first))
    for first in range(12, 4012, 4):
        held, new = pool.held.flatten().tolist(), fakes(first)
        out = pool.exchange(new)
        old = [x for x in out.flatten().tolist() if x < first]
        assert set(old) <= set(held) and len(set(old)) == len(old), "only what was held, each once"
        kept = set(new.flatten().tolist()) - set(out.flatten().tolist())
        assert set(pool.held.flatten().tolist()) == (set(held) - set(old)) | kept, "nothing lost, nothing doubled"
        replaced += len(old)
    assert replaced / 4000 == pytest.approx(0.5, abs=0.03)


def test_an_unfilled_place_is_never_handed_out():
    torch.manual_seed(0)
    pool = ReplayPool((1, 1, 1), 10)
    for first in range(1, 400, 4):  # 10 is no multiple of 4: two places stay empty
        assert (pool.exchange(fakes(first)) > 0).all()
    assert pool.filled == 8


def test_too_small_a_pool_says_so():
    with pytest.raises(ValueError, match="a batch of 4 is more than half of the replay pool of 6"):
        ReplayPool((1, 1, 1), 6).exchange(fakes(0))
