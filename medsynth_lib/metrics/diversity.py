"""Diversity of synthetic images: nearest-neighbour measures in a feature space, compared with those of real images."""

from __future__ import annotations

import numpy as np
import torch
from monai.metrics import MultiScaleSSIMMetric
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

from ..core.portions import blocks, length, spans
from .fidelity import check_features
from .neighbours import nearest

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, the finest first (Wang et al. 2003)
KERNEL = 7  # pixels, window size of MS-SSIM


def radii(points: np.ndarray, k: int) -> np.ndarray:
    """Distance of every point [N, D] to its k-th nearest other point: [N]."""
    found = np.empty(len(points))
    for rows in blocks(len(points), len(points)):
        distances = cdist(points[rows], points)
        np.fill_diagonal(distances[:, rows], np.inf)
        distances.partition(k - 1, axis=1)
        found[rows] = distances[:, k - 1]
    return found


def mean_distance(points: np.ndarray) -> float:
    """Mean distance over all pairs of different points of [N, D]."""
    total, n = 0.0, len(points)
    for rows in blocks(n, n):
        distances = cdist(points[rows], points[rows.start :])
        total += distances[~np.tri(*distances.shape, dtype=bool)].sum()
    return float(total / (n * (n - 1) // 2))


def covered(real: np.ndarray, synthetic: np.ndarray, k: int = 5) -> np.ndarray:
    """Whether a synthetic point [M, D] is nearer to a real point [N, D] than its k-th nearest real one: bool [N]."""
    check_features(real, synthetic)
    return nearest(real, synthetic)[0] < radii(real, k)


def neighbour_measures(real: np.ndarray, synthetic: np.ndarray, k: int = 5) -> dict[str, float]:
    """Precision, recall (Kynkaanniemi 2019), density and coverage (Naeem 2020) of features [N, D] and [M, D].

    With NND_k(r) the distance of r to its k-th nearest neighbour in its own set:
    precision  share of synthetic points s with |s - r| < NND_k(r) for some real r
    recall     share of real points r with |s - r| < NND_k(s) for some synthetic s
    density    mean over s of #{r: |s - r| < NND_k(r)} / k (may exceed 1)
    coverage   share of real points r with |s - r| < NND_k(r) for some s: falls when modes are dropped
    Raises ValueError when a set has k points or fewer.
    """
    check_features(real, synthetic)
    if min(len(real), len(synthetic)) <= k:
        raise ValueError(
            f"{len(real)} real and {len(synthetic)} synthetic points; more than k = {k} are needed of each."
        )
    real_radii, synthetic_radii = radii(real, k)[:, None], radii(synthetic, k)[None]
    recalled, is_covered = np.empty(len(real), bool), np.empty(len(real), bool)
    inside = np.zeros(len(synthetic), np.int64)  # number of real neighbourhoods that hold each synthetic point
    for rows in blocks(len(real), len(synthetic)):
        distances = cdist(real[rows], synthetic)
        within = distances < real_radii[rows]
        recalled[rows], is_covered[rows] = (distances < synthetic_radii).any(1), within.any(1)
        inside += within.sum(0)
    return {
        "precision": float((inside > 0).mean()),
        "recall": float(recalled.mean()),
        "density": float(inside.mean() / k),
        "coverage": float(is_covered.mean()),
    }


def diversity_with_ceiling(
    synthetic: np.ndarray, training: np.ndarray, holdout: np.ndarray, seed: int, k: int = 5, repeats: int = 5
) -> dict:
    """`neighbour_measures` of synthetic against holdout, and of training against holdout, all at the same n.

    Features [., D]; n is the size of the smallest set, and results are means over `repeats` random subsets of n rows.
    "pairwise" is the mean distance of two points of the set, divided by that of the holdout (1 = as diverse as real).
    "real" is the ceiling, the value of other real subjects. It is below the theoretical values for independent points
    (coverage 1 - 2^-k), because the nearest neighbours of a held-out slice are slices of the same subject.
    """
    check_features(synthetic, training, holdout)
    rng = np.random.default_rng(seed)
    n = min(len(synthetic), len(training), len(holdout))
    found = {"synthetic": [], "real": []}
    for _ in range(repeats):
        own, other, reference = (x[rng.permutation(len(x))[:n]] for x in (synthetic, training, holdout))
        for name, points in (("synthetic", own), ("real", other)):
            measures = neighbour_measures(reference, points, k)
            found[name].append({**measures, "pairwise": mean_distance(points) / mean_distance(reference)})
    means = {name: {m: float(np.mean([row[m] for row in rows])) for m in rows[0]} for name, rows in found.items()}
    return {**means, "n": n, "k": k}


def ms_ssim_of_pairs(images: np.ndarray, subjects: ArrayLike, seed: int, pairs: int = 200) -> float:
    """Mean MS-SSIM of random pairs of images [N, C, H, W] of different `subjects` [N]; 1: all images are equal.

    It uses as many of the five scales of Wang et al. 2003 as the image size allows, so values are comparable at one
    image size only. MS-SSIM saturates and is sensitive to irrelevant changes (arXiv 2409.19436): compare it with the
    value of real subjects. ValueError when all images are of one subject.
    """
    rng, subjects = np.random.default_rng(seed), np.asarray(subjects)
    first = rng.integers(0, len(images), 4 * pairs)
    second = rng.integers(0, len(images), 4 * pairs)
    valid = np.flatnonzero(subjects[first] != subjects[second])[:pairs]
    if not len(valid):
        raise ValueError("all slices are of one subject; pairs of different subjects are needed.")
    scales = max(1, min(5, int(np.log2(images.shape[-1] / KERNEL))))
    weights = np.array(MS_SSIM_WEIGHTS[:scales])
    metric = MultiScaleSSIMMetric(
        spatial_dims=2, data_range=2.0, kernel_size=KERNEL, kernel_sigma=1.5, weights=tuple(weights / weights.sum())
    )
    found = []
    for span in spans(len(valid), length(images, pairs)):
        found.append(metric(*(torch.from_numpy(np.array(images[index[valid[span]]])) for index in (first, second))))
    return float(torch.cat(found).mean())
