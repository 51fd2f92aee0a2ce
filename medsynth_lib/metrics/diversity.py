"""How varied are synthetic images? k-nearest-neighbour measures in a feature space, each beside its real value."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist


def radii(points: np.ndarray, k: int) -> np.ndarray:
    """Distance of every point [N, D] to its k-th nearest other point: [N]."""
    distances = cdist(points, points)
    np.fill_diagonal(distances, np.inf)
    return np.partition(distances, k - 1, axis=1)[:, k - 1]


def neighbour_measures(real: np.ndarray, synthetic: np.ndarray, k: int = 5) -> dict[str, float]:
    """Precision, recall (Kynkaanniemi 2019), density and coverage (Naeem 2020) of features [N, D] and [M, D].

    precision  share of synthetic points inside some real point's k-neighbour ball
    recall     share of real points inside some synthetic point's ball
    density    how many real balls hold a synthetic point, divided by k (may exceed 1)
    coverage   share of real balls that hold a synthetic point: falls when modes are dropped
    Raises ValueError when a set has k points or fewer.
    """
    if min(len(real), len(synthetic)) <= k:
        raise ValueError(
            f"{len(real)} real and {len(synthetic)} synthetic points; more than k = {k} are needed of each."
        )
    distances = cdist(real, synthetic)
    real_radii, synthetic_radii = radii(real, k)[:, None], radii(synthetic, k)[None]
    inside = distances < real_radii
    return {
        "precision": float(inside.any(0).mean()),
        "recall": float((distances < synthetic_radii).any(1).mean()),
        "density": float(inside.sum(0).mean() / k),
        "coverage": float(inside.any(1).mean()),
    }


def diversity_with_ceiling(synthetic, training, holdout, seed: int, k: int = 5) -> dict:
    """The measures of synthetic against holdout, beside those of training against holdout, all at the same n.

    Features [., D]. "real" is what other real people reach: a generator cannot be asked for more.
    """
    rng = np.random.default_rng(seed)
    n = min(len(synthetic), len(training), len(holdout))
    drawn = [x[rng.permutation(len(x))[:n]] for x in (synthetic, training, holdout)]
    return {
        "synthetic": neighbour_measures(drawn[2], drawn[0], k),
        "real": neighbour_measures(drawn[2], drawn[1], k),
        "n": n,
        "k": k,
    }
