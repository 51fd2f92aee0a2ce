"""What the pool keeps, what it passes on, and what it refuses."""

import pytest
import torch

from medsynth_lib.models.translation.replay_pool import ReplayPool


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
