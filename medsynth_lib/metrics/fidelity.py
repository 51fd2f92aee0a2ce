"""Fidelity of synthetic images: distances between the feature distributions of two sets (see `features`).

Frechet distances are comparable only at equal n, features and reference: between two sets of REAL images the distance
is far above 0, and at n = 100 it is 2 to 2.6 times that at n = 400. So every distance here comes with n and with a
floor, the distance between two real sets at the same n. Wu et al. 2025 (arXiv 2502.17160) find that such distances do
not rank generators by their usefulness for segmentation: treat them as secondary.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.spatial.distance import cdist, pdist

from ..core.portions import blocks

GROUPS = 10  # of held-out subjects, for the jackknife interval
ROWS = 4096  # largest number of reference rows from whose distances the kernel bandwidth is computed


def check_features(*sets: np.ndarray) -> None:
    """Raises ValueError unless all sets are finite feature tables [., D] of equal D."""
    for x in sets:
        if np.ndim(x) != 2 or x.shape[1] != sets[0].shape[1]:
            raise ValueError(
                f"features of shape {[np.shape(s) for s in sets]} do not fit; give tables [N, D] of one D."
            )
        if not np.isfinite(x).all():
            raise ValueError("the features hold NaN or infinite values, which have no distance; check the generator.")


def _frechet(a: np.ndarray, b: np.ndarray) -> float:
    cov_a, cov_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    values, vectors = np.linalg.eigh(cov_a)
    root_a = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    root = np.sqrt(np.clip(np.linalg.eigvalsh(root_a @ cov_b @ root_a), 0, None)).sum()
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * root)


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a^(1/2) S_b S_a^(1/2))^(1/2)) of Gaussians fitted to [N, D] and [M, D].

    Dowson & Landau 1982; used as FID by Heusel et al. 2017. The symmetric form has real eigenvalues >= 0 even if a
    covariance is nearly singular. Raises ValueError when a set has fewer than 2 D rows, where bias dominates the
    estimate.
    """
    check_features(a, b)
    for x in (a, b):
        if len(x) < 2 * x.shape[1]:
            raise ValueError(f"{len(x)} images are too few for a covariance of {x.shape[1]} features; use more images.")
    return _frechet(a, b)


def unbiased_mmd(a: np.ndarray, b: np.ndarray, kernel: str = "rbf") -> float:
    """Squared maximum mean discrepancy of [N, D] and [M, D], unbiased (Gretton et al. 2012, eq. 3): may be negative.

    kernel  "rbf": exp(-|x - y|^2 / (2 h^2)), with h the median distance within the reference b, or within ROWS random
            rows of it (with a fixed seed);
            "polynomial": (x y / D + 1)^3, as in the kernel inception distance (Binkowski et al. 2018).
    """
    check_features(a, b)
    n, m = len(a), len(b)
    if min(n, m) < 2:
        raise ValueError(f"{n} and {m} images: pairs within each set need at least two.")
    if kernel == "rbf":
        few = b if m <= ROWS else b[np.random.default_rng(0).choice(m, ROWS, replace=False)]
        bandwidth = np.median(pdist(few))

    def table(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if kernel == "polynomial":
            return (x @ y.T / a.shape[1] + 1) ** 3
        return np.exp(-cdist(x, y, "sqeuclidean") / (2 * bandwidth**2))

    def within(x: np.ndarray) -> float:
        total = diagonal = 0.0
        for rows in blocks(len(x), len(x)):
            k = table(x[rows], x)
            total, diagonal = total + k.sum(), diagonal + np.trace(k, offset=rows.start)
        return (total - diagonal) / (len(x) * (len(x) - 1))

    across = sum(table(a[rows], b).sum() for rows in blocks(n, m)) / (n * m)
    return float(within(a) + within(b) - 2 * across)


def distance_with_floor(
    synthetic: np.ndarray, training: np.ndarray, holdout: np.ndarray, subjects: ArrayLike, seed: int, repeats: int = 5
) -> dict:
    """Frechet distance and MMD of synthetic to holdout, and as a floor of training to holdout, all at the same n.

    synthetic, training, holdout  features [., D]; subjects [.] of the holdout rows
    n is the size of the smallest set; distances are means over `repeats` random subsets of n rows. "distance_excess" is
    distance minus floor. "..._ci95" are 95 % intervals over the choice of held-out SUBJECTS and of images: a grouped
    jackknife (Kott 2001) leaves out a tenth of the subjects, and of the images of the other set, at a time. (A
    bootstrap of subjects, as in scipy.stats.bootstrap, would repeat rows and so increase the distance itself.)
    Raises ValueError for fewer than two subjects.
    """
    check_features(synthetic, training, holdout)
    rng, subjects = np.random.default_rng(seed), np.asarray(subjects)
    n = min(len(synthetic), len(training), len(holdout))
    names = rng.permutation(np.unique(subjects))
    groups = min(GROUPS, len(names))
    if groups < 2:
        raise ValueError("the holdout has one subject; an interval over subjects needs at least two.")
    group_of = dict(zip(names.tolist(), np.arange(len(names)) % groups, strict=True))
    group = np.array([group_of[s] for s in subjects.tolist()])
    part = np.arange(n) % groups
    whole, left_out = np.zeros(2), np.zeros((groups, 2))
    for _ in range(repeats):
        rows = rng.permutation(len(holdout))[:n]
        for column, pool in enumerate((synthetic, training)):
            subset = pool[rng.permutation(len(pool))[:n]]
            whole[column] += frechet_distance(subset, holdout[rows]) / repeats
            for g in range(groups):
                left_out[g, column] += _frechet(subset[part != g], holdout[rows[group[rows] != g]]) / repeats
    out = {"distance_n": n, "distance_subjects": len(names)}
    excess = np.array([1, -1])
    for name, value, values in (
        ("distance", whole[0], left_out[:, 0]),
        ("distance_floor", whole[1], left_out[:, 1]),
        ("distance_excess", whole @ excess, left_out @ excess),
    ):
        error = np.sqrt((groups - 1) / groups * ((values - values.mean()) ** 2).sum())
        half = stats.t.ppf(0.975, groups - 1) * error
        out |= {name: float(value), f"{name}_ci95": [float(value - half), float(value + half)]}
    # MMD at the same n, too: all pairs of 100,000 samples would take too long.
    few, other = (pool[rng.permutation(len(pool))[:n]] for pool in (synthetic, training))
    for name, kernel in (("mmd", "rbf"), ("mmd_polynomial", "polynomial")):
        out[name] = unbiased_mmd(few, holdout, kernel=kernel)
        out[f"{name}_floor"] = unbiased_mmd(other, holdout, kernel=kernel)
    return out
