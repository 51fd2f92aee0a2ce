"""Membership inference: can who trained the generator be told from what it publishes?

An attack gives every real slice a score, the higher the more it looks like a member. Its strength is the AUC between
members (training people) and others (held-out people), and how many members it finds at 1 % false alarms.

An AUC above 0.5 proves nothing by itself: two groups of people may differ by chance, and then it is the split that is
recognised. So the same attack is also asked to tell *members from members*, over many random halves: an attack counts
only where it beats what these reach.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import gaussian_kde
from sklearn.metrics import roc_auc_score
from torch import Tensor

from .neighbours import nearest

SPLITS = 200  # random halves of the members, and bootstrap samples of people
FALSE_ALARMS = 0.01
LEVELS = (0.3, 0.6, 1.2)  # noise, in deviations of the data, at which a diffusion model is asked to denoise


def auc(members: np.ndarray, others: np.ndarray) -> float:
    """Area under the ROC curve of scores [N] and [M]: the chance that a member's score is the higher one."""
    truth = np.repeat([True, False], [len(members), len(others)])
    return float(roc_auc_score(truth, np.concatenate([members, others])))


def found_at(members: np.ndarray, others: np.ndarray, rate: float = FALSE_ALARMS) -> float:
    """Share of members above the lowest score that at most the share `rate` of the others exceeds: TPR at that FPR."""
    allowed = int(rate * len(others))
    return float((members > np.sort(others)[::-1][allowed]).mean())


def by_distance(synthetic: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Minus the distance of each of `rows` [N, D] to its nearest synthetic row [M, D] (Chen et al. 2020): [N]."""
    return -nearest(rows, synthetic)[0]


def by_density_ratio(synthetic: np.ndarray, reference: np.ndarray, rows: np.ndarray, dimensions: int = 6) -> np.ndarray:
    """log p_synthetic - log p_reference of `rows` [N, D] (DOMIAS; van Breugel et al. 2023, arXiv 2302.12580): [N].

    reference [R, D]: real people who are neither judged nor trained on. Where both are dense anybody may be; a member
    is betrayed by places where only the generator is. Both densities are Gaussian kernels on the same principal
    components of synthetic and reference rows together, `dimensions` or, of few rows, one for every two. ValueError
    for fewer than four rows.
    """
    least = min(len(synthetic), len(reference))
    if least < 4:
        raise ValueError(f"{least} rows are too few for a density; give at least four of samples and of reference.")
    dimensions = min(dimensions, least // 2)
    both = np.concatenate([synthetic, reference])
    mean = both.mean(0)
    _, _, directions = np.linalg.svd(both - mean, full_matrices=False)
    flat = [(x - mean) @ directions[:dimensions].T for x in (synthetic, reference, rows)]
    generated, real = (gaussian_kde(x.T).logpdf(flat[2].T) for x in flat[:2])
    return generated - real


@torch.no_grad()
def by_denoising(denoiser, clean: Tensor, seed: int, batch_size: int = 64) -> np.ndarray:
    """Minus the error with which an `edm.Denoiser` takes noise off each of `clean` [N, ...]: [N].

    Carlini et al. 2023 (arXiv 2301.13188): who was trained on is denoised a little better. The same noise for all rows,
    mean over LEVELS. The attack needs the model, not only what it draws.
    """
    device = next(denoiser.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(len(clean))
    for level in LEVELS:
        sigma = level * float(denoiser.sigma_data)
        noise = sigma * torch.randn(clean.shape[1:], generator=generator)
        for rows in torch.arange(len(clean)).split(batch_size):
            x = clean[rows].to(device)
            found = denoiser(x + noise.to(device), torch.full((len(x),), sigma, device=device))
            total[rows] += ((found - x) / sigma).square().flatten(1).mean(1).cpu()
    return -total.numpy()


def attack(scores: np.ndarray, members: np.ndarray, people: np.ndarray, seed: int) -> dict:
    """What one attack's scores [N] of slices tell; members bool [N], people [N] (names).

    A person's score is the mean over the slices. Returns "auc" over people with "auc_ci95" (bootstrap of people),
    "tpr" at 1 % false alarms over slices with "tpr_ci95", the same numbers of members against members
    ("control_auc_95": 2.5 to 97.5 % of random halves; "control_tpr"), and "beats_control": whether even the lower end
    of the AUC's interval lies above the upper end of the control's.
    """
    rng = np.random.default_rng(seed)
    names, first = np.unique(people, return_index=True)
    is_member = members[first]
    own = [scores[people == name] for name in names]
    score = np.array([x.mean() for x in own])
    inside, outside = np.flatnonzero(is_member), np.flatnonzero(~is_member)

    def of_slices(who):
        return np.concatenate([own[i] for i in who])

    drawn, control = [], []
    for _ in range(SPLITS):
        a, b = rng.choice(inside, len(inside)), rng.choice(outside, len(outside))
        drawn.append((auc(score[a], score[b]), found_at(of_slices(a), of_slices(b))))
        # As many people as there are outside, so that the control's spread is that of the attack.
        mixed = rng.permutation(inside)
        k = min(len(outside), len(inside) // 2)
        a, b = mixed[k:], mixed[:k]
        control.append((auc(score[a], score[b]), found_at(of_slices(a), of_slices(b))))
    bounds = np.percentile(drawn, [2.5, 97.5], axis=0)
    control_bounds = np.percentile(control, [2.5, 97.5], axis=0)
    return {
        "auc": auc(score[inside], score[outside]),
        "auc_ci95": bounds[:, 0].tolist(),
        "tpr": found_at(of_slices(inside), of_slices(outside)),
        "tpr_ci95": bounds[:, 1].tolist(),
        "control_auc": float(np.mean(control, axis=0)[0]),
        "control_auc_95": control_bounds[:, 0].tolist(),
        "control_tpr": float(np.mean(control, axis=0)[1]),
        "control_tpr_95": control_bounds[:, 1].tolist(),
        "beats_control": bool(bounds[0, 0] > control_bounds[1, 0]),
        "members": len(inside),
        "others": len(outside),
    }
