"""Neighbour measures against a brute-force count, and their answer to a dropped mode."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist, pdist

from medsynth_lib.core import portions
from medsynth_lib.metrics.diversity import (
    covered,
    diversity_with_ceiling,
    mean_distance,
    ms_ssim_of_pairs,
    neighbour_measures,
    radii,
)


def brute_force(real, synthetic, k):
    def radius(points, i):
        return sorted(np.linalg.norm(points - points[i], axis=1))[k]

    inside = [[np.linalg.norm(r - s) < radius(real, i) for s in synthetic] for i, r in enumerate(real)]
    outside = [[np.linalg.norm(r - s) < radius(synthetic, j) for j, s in enumerate(synthetic)] for r in real]
    inside, outside = np.array(inside), np.array(outside)
    return {
        "precision": inside.any(0).mean(),
        "recall": outside.any(1).mean(),
        "density": inside.sum(0).mean() / k,
        "coverage": inside.any(1).mean(),
    }


def test_equals_brute_force():
    rng = np.random.default_rng(0)
    real, synthetic = rng.normal(0, 1, (25, 3)), rng.normal(0.5, 1, (20, 3))
    assert neighbour_measures(real, synthetic, k=3) == pytest.approx(brute_force(real, synthetic, 3))


def test_a_dropped_mode_lowers_recall_and_coverage_but_not_precision():
    rng = np.random.default_rng(1)
    modes = np.array([[0.0, 0.0], [10.0, 0.0]])
    training, holdout = (modes[rng.integers(0, 2, 300)] + rng.normal(0, 1, (300, 2)) for _ in range(2))
    half = modes[0] + rng.normal(0, 1, (300, 2))
    result = diversity_with_ceiling(half, training, holdout, seed=0)
    assert result["real"]["coverage"] > 0.9 and result["synthetic"]["coverage"] < 0.6
    assert result["synthetic"]["recall"] < 0.6 and result["synthetic"]["precision"] > 0.8
    assert result["n"] == 300


def test_too_few_points():
    with pytest.raises(ValueError, match="more than k = 5"):
        neighbour_measures(np.zeros((5, 2)), np.zeros((9, 2)))


def test_real_against_real_reaches_the_expected_coverage():
    """Naeem et al. 2020, eq. 10: 1 - (N - 1)...(N - k) / ((2N - 1)...(2N - k)) for two sets of one distribution."""
    rng = np.random.default_rng(2)
    values = [neighbour_measures(*rng.normal(0, 1, (2, 200, 2)))["coverage"] for _ in range(15)]
    expected = 1 - np.prod([(200 - i) / (400 - i) for i in range(1, 6)])
    assert np.mean(values) == pytest.approx(expected, abs=0.01)


def test_shrunken_samples_are_less_spread_and_more_dense_than_real_ones():
    rng = np.random.default_rng(3)
    training, holdout = rng.normal(0, 1, (2, 300, 4))
    result = diversity_with_ceiling(0.5 * rng.normal(0, 1, (300, 4)), training, holdout, seed=0)
    assert result["synthetic"]["pairwise"] == pytest.approx(0.5, abs=0.05)
    assert result["real"]["pairwise"] == pytest.approx(1.0, abs=0.05)
    assert result["synthetic"]["density"] > 1.1 * result["real"]["density"]
    assert result["synthetic"]["recall"] < result["real"]["recall"]


def test_nan_features_are_refused_instead_of_counting_as_far_away():
    with pytest.raises(ValueError, match="NaN"):
        neighbour_measures(np.full((9, 2), np.nan), np.zeros((9, 2)))


def test_measures_are_those_of_prdc():
    """prdc 0.2 (Naeem et al.'s own package) on the same features; its numbers are kept here."""
    rng = np.random.default_rng(0)
    real, synthetic = rng.normal(0, 1, (120, 6)), 1.1 * rng.normal(0, 1, (100, 6)) + 0.2
    theirs = {"precision": 0.87, "recall": 0.95, "density": 0.888, "coverage": 0.8833333333333333}
    assert neighbour_measures(real, synthetic) == pytest.approx(theirs)
    assert covered(real, synthetic).mean() == pytest.approx(theirs["coverage"])


def test_ms_ssim_of_pairs_sees_likeness():
    rng = np.random.default_rng(0)
    one = gaussian_filter(rng.normal(0, 0.3, (1, 1, 32, 32)), (0, 0, 2, 2))
    alike = np.clip(one + 0.02 * rng.normal(0, 1, (20, 1, 32, 32)), -1, 1).astype(np.float32)
    other = gaussian_filter(rng.normal(0, 1, (20, 1, 32, 32)), (0, 0, 2, 2)).clip(-1, 1).astype(np.float32)
    subjects = np.arange(20)
    assert ms_ssim_of_pairs(alike, subjects, 0) > ms_ssim_of_pairs(other, subjects, 0) + 0.2
    assert ms_ssim_of_pairs(np.repeat(other[:1], 20, axis=0), subjects, 0) == pytest.approx(1)
    with pytest.raises(ValueError, match="of one subject"):
        ms_ssim_of_pairs(other, np.zeros(20), 0)


@pytest.mark.parametrize("cells", [1, 70, 25 * 25, 10**6])
def test_blocks_of_any_size_equal_brute_force(monkeypatch, cells):
    """One row at a time, two or three rows, all rows of one of the tables, everything."""
    monkeypatch.setattr(portions, "CELLS", cells)
    rng = np.random.default_rng(0)
    real, synthetic = rng.normal(0, 1, (25, 3)), rng.normal(0.5, 1, (32, 3))
    assert neighbour_measures(real, synthetic, k=3) == pytest.approx(brute_force(real, synthetic, 3))
    assert np.array_equal(radii(real, 3), np.sort(cdist(real, real), axis=1)[:, 3])
    assert mean_distance(real) == pytest.approx(pdist(real).mean())
