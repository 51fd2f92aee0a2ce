"""Attacks: AUC and rates by definition, densities against closed forms, and a control that no difference passes."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_curve

from medsynth_lib.metrics.membership import attack, auc, by_denoising, by_density_ratio, by_distance, true_positive_rate

RNG = np.random.default_rng(0)


def test_auc_counts_pairs_and_the_rate_is_that_of_scikit_learn():
    a, b = RNG.normal(0.5, 1, 300).round(1), RNG.normal(0, 1, 400).round(1)  # with ties
    assert auc(a, b) == pytest.approx(((a[:, None] > b) + 0.5 * (a[:, None] == b)).mean())
    truth, scores = np.repeat([1, 0], [300, 400]), np.concatenate([a, b])
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert true_positive_rate(a, b) == pytest.approx(true[false <= 0.01].max())


def test_distance_betrays_the_copied():
    members, others = RNG.normal(0, 1, (100, 5)), RNG.normal(0, 1, (100, 5))
    synthetic = members + 0.1 * RNG.normal(0, 1, members.shape)
    assert auc(by_distance(synthetic, members), by_distance(synthetic, others)) > 0.95


def test_density_ratio_of_two_gaussians():
    """log N(1, 1) - log N(0, 1) = x - 1/2: the kernels must order points in the same way."""
    synthetic, reference = RNG.normal(1, 1, (4000, 1)), RNG.normal(0, 1, (4000, 1))
    at = np.linspace(-1, 2, 20)[:, None]
    found = by_density_ratio(synthetic, reference, at, dimensions=1)
    assert found == pytest.approx(at[:, 0] - 0.5, abs=0.25)
    with pytest.raises(ValueError, match="too few"):
        by_density_ratio(synthetic[:3], reference, at)


def sets(shift, seed=0, n_subjects=60, slices=4):
    """Scores of members and others: subjects differ, slices of one subject less; members stand `shift` higher."""
    rng = np.random.default_rng(seed)
    subjects = np.repeat(np.arange(n_subjects), slices)
    members = subjects < n_subjects // 2
    scores = rng.normal(0, 1, n_subjects)[subjects] + 0.3 * rng.normal(0, 1, len(subjects)) + shift * members
    return scores, members, subjects.astype(str)


def test_a_strong_attack_beats_the_control_and_noise_does_not():
    strong = attack(*sets(3.0), seed=0)
    assert strong["auc"] > 0.95 and strong["beats_control"]
    weak = [attack(*sets(0.0, seed), seed=0)["beats_control"] for seed in range(15)]
    assert sum(weak) <= 1


def test_the_control_is_centred_where_nothing_can_be_known():
    found = attack(*sets(3.0), seed=0)
    assert found["control_auc"] == pytest.approx(0.5, abs=0.05)
    assert found["control_auc_95"][0] < 0.5 < found["control_auc_95"][1]
    assert found["members"] == found["others"] == 30


def test_denoising_betrays_what_a_denoiser_knows():
    """A denoiser that knows ten rows answers with the nearest of them: no error there, some elsewhere."""
    known = torch.from_numpy(RNG.normal(0, 1, (10, 1, 4, 4))).float()
    unknown = torch.from_numpy(RNG.normal(0, 1, (10, 1, 4, 4))).float()

    class Knows(torch.nn.Module):
        sigma_data = 1.0

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x, sigma):
            return known[torch.cdist(x.flatten(1), known.flatten(1)).argmin(1)]

    inside, outside = (by_denoising(Knows(), rows, seed=0) for rows in (known, unknown))
    assert auc(inside, outside) > 0.9 and (inside <= 0).all()
