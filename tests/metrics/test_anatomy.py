"""Measures of anatomy on discs, and their distance against its closed form."""

import numpy as np
import pytest

from medsynth_lib.core import portions
from medsynth_lib.data.slices import SliceSet
from medsynth_lib.metrics import anatomy
from medsynth_lib.metrics.anatomy import (
    intensity_tertiles,
    lesion_size_groups,
    measures,
    subgroups,
    wasserstein,
    with_floor,
)


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
    found = measures(slices, intensity_tertiles(slices))
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
    found = measures(SliceSet(slices.images, slices.subjects, channels=("x",)), intensity_tertiles(slices))
    assert set(found) == {"foreground", "dark x", "middle x", "bright x"}


def test_subgroups_show_what_is_missing():
    """The holdout has small and large lesions, the samples only large ones."""
    train, holdout = discs([2, 4, 6] * 10, 1), discs([0, 2, 4, 6] * 10, 2)
    samples = discs([6] * 20, 3)
    covered = (holdout.labels > 0).sum((1, 2)) > 60
    found = subgroups(samples, train, holdout, covered)
    assert found["no lesion"]["share of real slices"] == found["small lesion"]["share of real slices"] == 0.25
    assert (
        found["large lesion"]["share of synthetic slices"] == 1
        and found["small lesion"]["share of synthetic slices"] == 0
    )
    assert found["large lesion"]["covered"] == 1 and found["small lesion"]["covered"] == 0
    assert found["low slices"]["share of synthetic slices"] is None


def by_hand(slices, tertiles, rows):
    """Measures of one channel, slice by slice."""
    found = {}
    for image, label in zip(slices.images[rows, 0], slices.labels[rows], strict=True):
        inside, place = image > -0.8, np.argwhere(label > 0)
        shares = (
            (image <= tertiles[0, 0]) & inside,
            (image > tertiles[0, 0]) & (image <= tertiles[0, 1]),
            image > tertiles[0, 1],
        )
        one = {f"{third} x": (s & inside).sum() / inside.sum() for third, s in zip(anatomy.THIRDS, shares, strict=True)}
        one |= {"foreground": inside.sum() / image.size, "slices with lesion": float(len(place) > 0)}
        if len(place):
            one |= {"area of lesion": 4.0 * len(place)}
            one |= {f"lesion, {axis}": place[:, k].mean() / 32 - 0.5 for k, axis in enumerate(("row", "column"))}
        for name, value in one.items():
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("rows", [None, np.array([22, 1, 1, 7, 6, 14, 0, 21])])
def test_portions_are_measured_as_single_slices_are(monkeypatch, rows):
    """23 slices in portions of seven; slices without a lesion stand at their borders."""
    monkeypatch.setattr(portions, "PORTION", 7)
    radii = np.random.default_rng(0).uniform(3, 8, 23)
    radii[[0, 6, 7, 21]] = 0
    slices = discs(radii)
    tertiles = intensity_tertiles(slices)
    found = measures(slices, tertiles, rows)
    expected = by_hand(slices, tertiles, np.arange(23) if rows is None else rows)
    assert set(found) == set(expected)
    assert all(found[name] == pytest.approx(expected[name]) for name in expected)
    groups, size = lesion_size_groups(slices, slices), (slices.labels > 0).sum((1, 2))
    low, high = np.quantile(size[size > 0], [1 / 3, 2 / 3])
    assert np.array_equal(groups["no lesion"], size == 0) and np.array_equal(groups["large lesion"], size > high)
    assert np.array_equal(groups["small lesion"], (size > 0) & (size <= low))


def test_tertiles_are_quantiles_of_all_slices_or_of_many_sampled_at_random(monkeypatch):
    """Bright and dark slices by turns: every second one would be of one kind."""
    monkeypatch.setattr(portions, "PORTION", 7)
    slices = discs([3] * 400)
    slices.images[::2] = np.where(slices.images[::2] > -0.8, slices.images[::2] / 2 + 0.4, -1)
    exact = np.quantile(slices.images[slices.images > -0.8], [1 / 3, 2 / 3])
    assert np.array_equal(intensity_tertiles(slices)[0], exact)
    monkeypatch.setattr(anatomy, "SLICES", 200)
    few = intensity_tertiles(slices)[0]
    assert few == pytest.approx(exact, abs=0.06) and not np.array_equal(few, exact)
    assert np.array_equal(intensity_tertiles(slices)[0], few)
