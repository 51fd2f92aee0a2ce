"""Scores of memorization: definitions by brute force, and what copies do to each."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from medsynth_lib.core import portions
from medsynth_lib.metrics import copying
from medsynth_lib.metrics.copying import (
    authenticity,
    c_t,
    cosine_audit,
    distance_ratio,
    likelihood_gap,
    rows_of_random_subjects,
    with_null,
)


def unit(n, seed, d=8):
    rows = np.random.default_rng(seed).normal(0, 1, (n, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


TRAIN, HOLDOUT, FRESH = unit(200, 0), unit(200, 1), unit(200, 2)
SUBJECTS = np.repeat(np.arange(100), 2)
COPIES = FRESH.copy()
COPIES[:40] = TRAIN[:40]  # 20 %


def test_cosine_audit_finds_copies_and_little_else():
    clean, copied = (cosine_audit(x, TRAIN, HOLDOUT, SUBJECTS) for x in (FRESH, COPIES))
    assert clean["percent"] < 5 and copied["percent"] >= 20
    assert (copied["r"][:40] > 0.9999).all() and np.array_equal(copied["nearest"][:40], range(40))
    assert copied["r"] == pytest.approx((COPIES @ TRAIN.T).max(1), abs=1e-5)


def test_c_t_is_a_standard_normal_without_copying():
    """Mean 0, deviation 1 over repetitions; the training rows are shared, so a little wider."""
    z = [c_t(unit(100, 10 + k), unit(150, 500 + k), unit(100, 1000 + k)) for k in range(40)]
    assert abs(np.mean(z)) < 0.5 and 0.7 < np.std(z) < 1.5
    assert c_t(COPIES, TRAIN, HOLDOUT) < c_t(FRESH, TRAIN, HOLDOUT) - 2


def test_authenticity_by_the_definition():
    distances, among = cdist(COPIES, TRAIN), cdist(TRAIN, TRAIN)
    among[SUBJECTS[:, None] == SUBJECTS] = np.inf
    at = distances.argmin(1)
    expected = np.mean(distances.min(1) > among.min(1)[at])
    assert authenticity(COPIES, TRAIN, SUBJECTS) == pytest.approx(expected)
    assert authenticity(FRESH, TRAIN, SUBJECTS) - authenticity(COPIES, TRAIN, SUBJECTS) > 0.05


def test_neighbouring_slices_do_not_make_everything_authentic():
    """Two nearly equal slices per subject: copies of one are as near as the other slice, and still not authentic."""
    rng = np.random.default_rng(0)
    train = np.repeat(unit(100, 3), 2, axis=0) + 0.01 * rng.normal(0, 1, (200, 8))
    copies = train[::2] + 0.02 * rng.normal(0, 1, (100, 8))
    assert authenticity(copies, train, SUBJECTS) == 0
    assert authenticity(copies, train, np.arange(200)) > 0.7  # as if every slice were a subject


def test_ratio_and_gap_of_copies():
    assert distance_ratio(FRESH, TRAIN, HOLDOUT) == pytest.approx(1, abs=0.1)
    assert distance_ratio(COPIES, TRAIN, HOLDOUT) < 0.9
    assert likelihood_gap(COPIES, TRAIN, HOLDOUT) > likelihood_gap(FRESH, TRAIN, HOLDOUT) + 1
    with pytest.raises(ValueError, match="equally many"):
        distance_ratio(FRESH, TRAIN[:10], HOLDOUT)


def test_all_rows_of_a_subject_are_chosen():
    rows = rows_of_random_subjects(SUBJECTS, 50, seed=0)
    assert len(rows) == 50 and (np.bincount(SUBJECTS[rows], minlength=100) % 2 == 0).all()


def test_the_null_stands_beside_the_scores():
    found = with_null(COPIES, TRAIN, HOLDOUT, (SUBJECTS, SUBJECTS), seed=0)
    assert found["n"] == 100 and set(found["synthetic"]) == set(found["unseen_subjects"])
    assert found["synthetic"]["likelihood_gap"] > found["unseen_subjects"]["likelihood_gap"]


def gap_by_hand(synthetic, training, holdout):
    """The likelihood gap with all pairs at once; Adam and the gradient written out."""
    d, squares = synthetic.shape[1], cdist(training, synthetic) ** 2
    logs = np.full(len(synthetic), np.log(squares.min(1).mean() / d))
    first, second = np.zeros((2, len(logs)))

    def terms(squares):
        return -0.5 * squares / np.exp(logs) - 0.5 * d * logs

    for step in range(1, copying.STEPS + 1):
        shares = np.exp(terms(squares) - logsumexp(terms(squares), axis=1, keepdims=True))
        gradient = -(shares * (0.5 * squares / np.exp(logs) - 0.5 * d)).mean(0)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        logs = logs - 0.2 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    seen, unseen = (logsumexp(terms(cdist(x, synthetic) ** 2), axis=1).mean() for x in (training, holdout))
    return seen - unseen


@pytest.mark.parametrize("cells", [1, 37 * 60, 10**6])
def test_the_gap_in_blocks_is_that_of_all_pairs(monkeypatch, cells):
    """200 training and 90 holdout rows, one by one, 37 at a time, or all."""
    monkeypatch.setattr(portions, "CELLS", cells)
    monkeypatch.setattr(copying, "STEPS", 15)
    rows = COPIES[:60], TRAIN, HOLDOUT[:90]
    assert likelihood_gap(*rows) == pytest.approx(gap_by_hand(*rows), rel=1e-6)
