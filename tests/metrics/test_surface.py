"""HD95 and NSD against brute force and MONAI; misses count."""

import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from scipy.spatial.distance import cdist

from medsynth_lib.metrics import surface

SPACING = (2.0, 0.7)


def neighbours_missing(mask):
    """The outline again, pixel by pixel."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.argwhere(mask & ~inside) * SPACING


def one_pixel(row, column):
    mask = np.zeros((24, 20), bool)
    mask[row, column] = True
    return mask


def block(top, left, height=6, width=7):
    mask = np.zeros((24, 20), bool)
    mask[top : top + height, left : left + width] = True
    return mask


CASES = {
    "random": tuple(np.random.default_rng(0).random((2, 24, 20)) > 0.7),
    "shifted": (block(4, 4), block(6, 5)),
    "one pixel each": (one_pixel(3, 3), one_pixel(20, 15)),
    "one pixel in a block": (one_pixel(8, 8), block(5, 5)),
    "at the border": (block(0, 0), block(0, 13)),
    "the whole image": (np.ones((24, 20), bool), block(9, 9)),
    "two islands": (block(1, 1, 3, 3) | block(18, 14, 3, 3), block(1, 1, 3, 3)),
}


@pytest.mark.parametrize("name", CASES)
def test_against_all_pairs_of_outline_pixels(name):
    first, second = CASES[name]
    pairs = cdist(neighbours_missing(first), neighbours_missing(second))
    there, back = pairs.min(1), pairs.min(0)
    hd95, nsd = surface.hd95_and_nsd(first[None], second[None], SPACING, 1.5)
    assert hd95 == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))
    assert nsd == pytest.approx((np.concatenate([there, back]) <= 1.5).mean())


@pytest.mark.parametrize("name", CASES)
def test_against_monai(name):
    first, second = (torch.from_numpy(mask[None, None].astype(np.float32)) for mask in CASES[name])
    hd95, nsd = surface.hd95_and_nsd(first[0].numpy() > 0, second[0].numpy() > 0, SPACING, 1.5)
    theirs = compute_hausdorff_distance(first, second, include_background=True, percentile=95, spacing=SPACING)
    assert hd95 == pytest.approx(theirs.item(), abs=1e-4)
    theirs = compute_surface_dice(first, second, [1.5], include_background=True, spacing=SPACING)
    assert nsd == pytest.approx(theirs.item(), abs=1e-4)


def test_a_miss_costs_the_diagonal_and_is_not_left_out():
    lesion, nothing = block(4, 4)[None], np.zeros((1, 24, 20), bool)
    diagonal = np.hypot(24 * 2.0, 20 * 0.7)
    assert surface.hd95_and_nsd(nothing, lesion, SPACING, 1.5) == (pytest.approx(diagonal), 0.0)
    with_false_alarm = (np.concatenate(pair) for pair in ((lesion, lesion), (lesion, nothing)))
    assert surface.hd95_and_nsd(*with_false_alarm, SPACING, 1.5) == (pytest.approx(diagonal), pytest.approx(2 / 3))
    hits = [surface.hd95_and_nsd(guess, lesion, SPACING, 1.5)[0] for guess in (lesion, lesion, nothing, nothing)]
    assert np.mean(hits) == pytest.approx(diagonal / 2)
    theirs = compute_hausdorff_distance(*(torch.from_numpy(x[None].astype(np.float32)) for x in (nothing, lesion)))
    assert not torch.isfinite(theirs).any(), "MONAI gives a number for a miss now; the docstring speaks of it"


def test_a_missed_slice_among_found_ones_counts():
    lesion = np.stack([block(4, 4), block(4, 4)])
    half = np.stack([block(4, 4), np.zeros((24, 20), bool)])
    hd95, nsd = surface.hd95_and_nsd(half, lesion, SPACING, 1.5)
    assert hd95 == pytest.approx(np.hypot(24 * 2.0, 20 * 0.7)) and nsd == pytest.approx(2 / 3)


def test_nothing_to_find_has_no_value():
    nothing = np.zeros((3, 24, 20), bool)
    for found in (nothing, ~nothing):
        assert np.isnan(surface.hd95_and_nsd(found, nothing, SPACING, 1.5)).all()


def test_per_subject_in_order_of_their_names():
    truth = np.stack([block(4, 4), block(2, 2), block(4, 4)]).astype(np.uint8) * 2
    predicted = np.stack([block(5, 4), block(2, 2), block(4, 4)]).astype(np.uint8)
    ids, hd95, nsd = surface.surface_per_subject(predicted, truth, np.array(["b", "a", "b"]), SPACING, 1.0)
    assert ids == ["a", "b"] and hd95[0] == 0 and nsd[0] == 1
    both = surface.hd95_and_nsd(predicted[[0, 2]] > 0, truth[[0, 2]] > 0, SPACING, 1.0)
    assert (hd95[1], nsd[1]) == both and 0 < nsd[1] < 1
