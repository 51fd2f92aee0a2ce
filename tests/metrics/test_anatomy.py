"""Measures of anatomy on drawn discs, and their distance against its closed form."""

import numpy as np
import pytest

from medsynth_lib.data.slices import SliceSet
from medsynth_lib.metrics.anatomy import measures, subgroups, tissue_cuts, wasserstein, with_floor


def discs(radii, seed=0, shift=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    lesion = np.array([(y - 16) ** 2 + (x - 16 - shift) ** 2 < r**2 for r in radii])
    head = (y - 16) ** 2 + (x - 16) ** 2 < 15**2
    images = np.where(head, rng.uniform(-0.5, 0.5, (len(radii), 1, 32, 32)), -1).astype(np.float32)
    subjects = np.array([f"s{seed}_{i}" for i in range(len(radii))])
    return SliceSet(
        images,
        subjects,
        lesion.astype(np.uint8),
        channels=("x",),
        label_names=("background", "lesion"),
        spacing=(2.0, 2.0),
    )


def test_areas_places_and_tissue():
    slices = discs([0, 3, 6], shift=4)
    found = measures(slices, tissue_cuts(slices))
    assert found["slices with lesion"].tolist() == [0, 1, 1]
    assert found["area of lesion"] == pytest.approx([4 * np.pi * 9, 4 * np.pi * 36], rel=0.15)
    assert found["lesion, column"] == pytest.approx(np.full(2, 20 / 32 - 0.5), abs=1e-6)
    thirds = [found[f"{third} x"].mean() for third in ("dark", "middle", "bright")]
    assert thirds == pytest.approx([1 / 3] * 3, abs=0.01)


def test_the_distance_of_a_shifted_set_is_the_shift_in_deviations():
    values = np.random.default_rng(0).normal(0, 2, 500)
    assert wasserstein({"a": values + 1}, {"a": values})["a"] == pytest.approx(1 / values.std())
    assert wasserstein({"a": values}, {"a": values})["a"] == 0
    assert np.isnan(wasserstein({"a": values[:0]}, {"a": values})["a"])


def test_too_large_lesions_show_only_where_they_should():
    rng = np.random.default_rng(0)
    train, holdout, good = (discs(rng.uniform(3, 6, 80), seed) for seed in (1, 2, 3))
    bad = discs(rng.uniform(5, 8, 80), 4)
    clean, large = (with_floor(x, train, holdout) for x in (good, bad))
    assert clean["synthetic"]["area of lesion"] < 0.4 and large["synthetic"]["area of lesion"] > 1
    assert large["synthetic"]["foreground"] == clean["synthetic"]["foreground"] == 0
    assert large["real"] == clean["real"]


def test_sets_without_masks_have_tissue_only():
    slices = discs([3, 4])
    found = measures(SliceSet(slices.images, slices.subjects, channels=("x",)), tissue_cuts(slices))
    assert set(found) == {"foreground", "dark x", "middle x", "bright x"}


def test_subgroups_show_who_is_missing():
    """The holdout has small and large lesions, the samples only large ones."""
    train, holdout = discs([2, 4, 6] * 10, 1), discs([0, 2, 4, 6] * 10, 2)
    drawn = discs([6] * 20, 3)
    covered = (holdout.labels > 0).sum((1, 2)) > 60
    found = subgroups(drawn, train, holdout, covered)
    assert found["no lesion"]["share of real slices"] == found["small lesion"]["share of real slices"] == 0.25
    assert found["large lesion"]["share of drawn slices"] == 1 and found["small lesion"]["share of drawn slices"] == 0
    assert found["large lesion"]["covered"] == 1 and found["small lesion"]["covered"] == 0
    assert found["low slices"]["share of drawn slices"] is None
