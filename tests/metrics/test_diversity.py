"""Neighbour measures against a brute-force count, and their answer to a dropped mode."""

import numpy as np
import pytest

from medsynth_lib.metrics.diversity import diversity_with_ceiling, neighbour_measures


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
