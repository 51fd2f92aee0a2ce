"""How varied are synthetic images? k-nearest-neighbour measures in a feature space, each beside its real value."""

from __future__ import annotations

import numpy as np
import torch
from monai.metrics import MultiScaleSSIMMetric
from scipy.spatial.distance import cdist

from ..core.portions import blocks, length, spans
from .fidelity import checked
from .neighbours import nearest

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, the finest first (Wang et al. 2003)
KERNEL = 7  # pixels of its window


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
    """Mean distance of two different points of [N, D]."""
    total, n = 0.0, len(points)
    for rows in blocks(n, n):
        distances = cdist(points[rows], points[rows.start :])
        total += distances[~np.tri(*distances.shape, dtype=bool)].sum()
    return float(total / (n * (n - 1) // 2))


def covered(real: np.ndarray, synthetic: np.ndarray, k: int = 5) -> np.ndarray:
    """Which real points [N, D] have a synthetic one nearer than their k-th nearest real neighbour: bool [N]."""
    checked(real, synthetic)
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
    checked(real, synthetic)
    if min(len(real), len(synthetic)) <= k:
        raise ValueError(
            f"{len(real)} real and {len(synthetic)} synthetic points; more than k = {k} are needed of each."
        )
    real_radii, synthetic_radii = radii(real, k)[:, None], radii(synthetic, k)[None]
    # Of real points: near a synthetic one (recall), with one inside (coverage); of synthetic ones: inside how many.
    near, filled, inside = np.empty(len(real), bool), np.empty(len(real), bool), np.zeros(len(synthetic), np.int64)
    for rows in blocks(len(real), len(synthetic)):
        distances = cdist(real[rows], synthetic)
        within = distances < real_radii[rows]
        near[rows], filled[rows] = (distances < synthetic_radii).any(1), within.any(1)
        inside += within.sum(0)
    return {
        "precision": float((inside > 0).mean()),
        "recall": float(near.mean()),
        "density": float(inside.mean() / k),
        "coverage": float(filled.mean()),
    }


def diversity_with_ceiling(synthetic, training, holdout, seed: int, k: int = 5, repeats: int = 5) -> dict:
    """The measures of synthetic against holdout, beside those of training against holdout, all at the same n.

    Features [., D]; n is the smallest of the three sets, and results are means over `repeats` draws of n rows.
    "pairwise" is the mean distance of two points of the set, divided by that of the holdout (1 = as varied as real).
    "real" is what other real people reach: a generator cannot be asked for more. It stays below the textbook values
    (coverage 1 - 2^-k), because the neighbours of a held-out slice are slices of the same subject.
    """
    checked(synthetic, training, holdout)
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


def ms_ssim_of_pairs(images: np.ndarray, subjects, seed: int, pairs: int = 200) -> float:
    """Mean MS-SSIM of random pairs of different people of one set [N, C, H, W]; 1: all alike.

    As many scales of Wang et al. 2003 as the pictures bear, so a value is comparable at one size only. It saturates
    and reacts to trifles (arXiv 2409.19436): read it beside that of real people, never alone.
    """
    rng, subjects = np.random.default_rng(seed), np.asarray(subjects)
    first = rng.integers(0, len(images), 4 * pairs)
    second = rng.integers(0, len(images), 4 * pairs)
    of_two = np.flatnonzero(subjects[first] != subjects[second])[:pairs]
    if not len(of_two):
        raise ValueError("all slices are of one person; pairs of different people are needed.")
    scales = max(1, min(5, int(np.log2(images.shape[-1] / KERNEL))))
    weights = np.array(MS_SSIM_WEIGHTS[:scales])
    metric = MultiScaleSSIMMetric(
        spatial_dims=2, data_range=2.0, kernel_size=KERNEL, kernel_sigma=1.5, weights=tuple(weights / weights.sum())
    )
    found = []
    for span in spans(len(of_two), length(images, pairs)):
        found.append(metric(*(torch.from_numpy(np.array(images[index[of_two[span]]])) for index in (first, second))))
    return float(torch.cat(found).mean())
