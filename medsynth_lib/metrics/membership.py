"""Membership inference: can training subjects be recognised from the published generator or its samples?

An attack gives every real slice a score that is higher for likely members. Its strength is the AUC between members
(training subjects) and non-members (held-out subjects), and the true positive rate at a false positive rate of 1 %.

An AUC above 0.5 is no proof by itself: two groups of subjects may differ by chance, and the attack then recognises the
split. As a control, the same attack therefore also has to distinguish *members from members*, over many random
partitions of the training subjects; an attack succeeds only if it exceeds this control.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import gaussian_kde
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from .neighbours import nearest

SPLITS = 200  # random partitions of the members, and bootstrap samples of subjects
FALSE_POSITIVE_RATE = 0.01
NOISE_LEVELS = (0.3, 0.6, 1.2)  # sigma / sigma_data of the noise in `by_denoising`


def auc(members: np.ndarray, others: np.ndarray) -> float:
    """Area under the ROC curve of scores [N] and [M]: the probability that a member's score is the higher one."""
    truth = np.repeat([True, False], [len(members), len(others)])
    return float(roc_auc_score(truth, np.concatenate([members, others])))


def true_positive_rate(members: np.ndarray, others: np.ndarray, fpr: float = FALSE_POSITIVE_RATE) -> float:
    """Share of members [N] above the lowest threshold that at most the share `fpr` of the others [M] exceeds."""
    allowed = int(fpr * len(others))
    return float((members > np.sort(others)[::-1][allowed]).mean())


def by_distance(synthetic: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Attack scores [N]: minus the distance of `rows` [N, D] to the nearest synthetic row [M, D] (Chen et al. 2020)."""
    return -nearest(rows, synthetic)[0]


def by_density_ratio(synthetic: np.ndarray, reference: np.ndarray, rows: np.ndarray, dimensions: int = 6) -> np.ndarray:
    """Attack scores [N]: log p_synthetic - log p_reference of `rows` [N, D] (DOMIAS, arXiv 2302.12580).

    van Breugel et al. 2023. reference [R, D]: real subjects who are neither attacked nor trained on. A high density of
    samples indicates a member only where the population's density is low. Both are kernel density estimates on the
    first `dimensions` principal components of synthetic and reference rows together (at most half as many as rows).
    Raises ValueError for fewer than four rows.
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
def by_denoising(denoiser: nn.Module, clean: Tensor, seed: int, batch_size: int = 64) -> np.ndarray:
    """Attack scores [N]: minus the denoising error of an `edm.Denoiser` on images `clean` [N, ...] with added noise.

    Carlini et al. 2023 (arXiv 2301.13188): training images are denoised slightly better. Mean squared error in units of
    sigma^2, mean over NOISE_LEVELS, with the same noise for all images. The attack needs the model, not only samples.
    """
    device = next(denoiser.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(len(clean))
    for level in NOISE_LEVELS:
        sigma = level * float(denoiser.sigma_data)
        noise = sigma * torch.randn(clean.shape[1:], generator=generator)
        for rows in torch.arange(len(clean)).split(batch_size):
            x = clean[rows].to(device)
            found = denoiser(x + noise.to(device), torch.full((len(x),), sigma, device=device))
            total[rows] += ((found - x) / sigma).square().flatten(1).mean(1).cpu()
    return -total.numpy()


def attack(scores: np.ndarray, members: np.ndarray, subjects: np.ndarray, seed: int) -> dict:
    """Strength of an attack from its scores [N] of slices; members bool [N], subjects [N] of the slices.

    A subject's score is the mean over its slices. Returns "auc" over subjects, "tpr" over slices at a false positive
    rate of 1 %, each with "..._ci95" (bootstrap of subjects); the means of both for members against members,
    "control_auc" and "control_tpr", with "..._95" (2.5 to 97.5 % of random partitions); "beats_control", whether the
    lower end of the AUC's interval is above the upper end of the control's; and the numbers of "members" and "others".
    """
    rng = np.random.default_rng(seed)
    names, first = np.unique(subjects, return_index=True)
    is_member = members[first]
    scores_of = [scores[subjects == name] for name in names]
    score = np.array([x.mean() for x in scores_of])
    inside, outside = np.flatnonzero(is_member), np.flatnonzero(~is_member)

    def of_slices(chosen: np.ndarray) -> np.ndarray:
        return np.concatenate([scores_of[i] for i in chosen])

    resampled, control = [], []
    for _ in range(SPLITS):
        a, b = rng.choice(inside, len(inside)), rng.choice(outside, len(outside))
        resampled.append((auc(score[a], score[b]), true_positive_rate(of_slices(a), of_slices(b))))
        # As many subjects as there are non-members, so that control and attack have the same sampling error.
        mixed = rng.permutation(inside)
        k = min(len(outside), len(inside) // 2)
        a, b = mixed[k:], mixed[:k]
        control.append((auc(score[a], score[b]), true_positive_rate(of_slices(a), of_slices(b))))
    bounds = np.percentile(resampled, [2.5, 97.5], axis=0)
    control_bounds = np.percentile(control, [2.5, 97.5], axis=0)
    return {
        "auc": auc(score[inside], score[outside]),
        "auc_ci95": bounds[:, 0].tolist(),
        "tpr": true_positive_rate(of_slices(inside), of_slices(outside)),
        "tpr_ci95": bounds[:, 1].tolist(),
        "control_auc": float(np.mean(control, axis=0)[0]),
        "control_auc_95": control_bounds[:, 0].tolist(),
        "control_tpr": float(np.mean(control, axis=0)[1]),
        "control_tpr_95": control_bounds[:, 1].tolist(),
        "beats_control": bool(bounds[0, 0] > control_bounds[1, 0]),
        "members": len(inside),
        "others": len(outside),
    }
