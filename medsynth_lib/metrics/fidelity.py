"""How close are synthetic to real images? Distances in a feature space that needs no downloaded weights.

A Frechet distance is only comparable at equal n, features and reference, and its value for two sets of REAL images is
far from 0. So every distance here comes with the real-real floor at the same n. Evidence: Wu et al. 2025
(arXiv 2502.17160): such distances rank generators otherwise than their usefulness does; read them as secondary.
"""

from __future__ import annotations

import numpy as np
import pywt
from scipy.stats import skew

WAVELET, DEPTH = "db2", 3
SOFT_BACKGROUND = -0.95  # image values below are background
LARGEST_SIDE = 64  # larger images are averaged down first


def shrink(images: np.ndarray, side: int = LARGEST_SIDE) -> np.ndarray:
    """Block means of images [N, C, H, W] so that no side exceeds `side`."""
    factor = -(-images.shape[-1] // side)
    if factor == 1:
        return images
    n, c, h, w = images.shape
    h, w = h // factor * factor, w // factor * factor
    return images[..., :h, :w].reshape(n, c, h // factor, factor, w // factor, factor).mean((3, 5))


def wavelet_features(images: np.ndarray) -> np.ndarray:
    """Log energies of a wavelet decomposition per channel: [N, C (3 DEPTH + 1)]. Sees sharpness, noise and texture.

    The idea of Veeramacheneni et al. 2023 (Frechet wavelet distance), with a plain instead of a packet tree.
    """
    depth = min(DEPTH, pywt.dwt_max_level(images.shape[-1], WAVELET))
    parts = []
    coarse = images
    for _ in range(depth):
        coarse, details = pywt.dwt2(coarse, WAVELET, mode="symmetric", axes=(-2, -1))
        parts += [np.log((band**2).mean((-2, -1)) + 1e-6) for band in details]
    parts.append(np.log((coarse**2).mean((-2, -1)) + 1e-6))
    return np.concatenate(parts, axis=1)


def shape_features(images: np.ndarray) -> np.ndarray:
    """First-order and shape measures per channel, radiomics style: [N, 8 C]. Sees contrast and gross anatomy.

    Per channel: mean, deviation, skewness and 10/90 % quantiles of the foreground, foreground share, centre of mass.
    """
    n, c, h, w = images.shape
    out = np.empty((n, c, 8))
    rows, columns = np.mgrid[:h, :w] / max(h, w) - 0.5
    for i, channels in enumerate(images):
        for k, image in enumerate(channels):
            inside = image > SOFT_BACKGROUND
            values = image[inside] if inside.sum() > 4 else image.ravel()
            spread = values.std()
            weight = np.clip(image + 1, 0, None)
            total = weight.sum() + 1e-6
            asymmetry = skew(values) if spread > 1e-4 else 0.0
            quantiles = np.percentile(values, [10, 90])
            centre = (weight * rows).sum() / total, (weight * columns).sum() / total
            out[i, k] = (values.mean(), spread, asymmetry, *quantiles, inside.mean(), *centre)
    return out.reshape(n, -1)


def features(images: np.ndarray) -> np.ndarray:
    """Wavelet and shape features of images [N, C, H, W] in [-1, 1], not yet standardised: float64 [N, D].

    Raises ValueError for images that are not finite.
    """
    images = np.asarray(images, dtype=np.float32)
    if not np.isfinite(images).all():
        raise ValueError("the images hold NaN or infinite values, which have no features; look at the generator.")
    images = shrink(images)
    return np.concatenate([wavelet_features(images), shape_features(images)], axis=1).astype(np.float64)


class FeatureSpace:
    """Features standardised and decorrelated with the statistics of ONE reference set (the generator's training part).

    Principal components keep at most `dimensions` directions, so that a covariance can be estimated from a few hundred
    images. Test subjects must not be part of the reference.
    """

    def __init__(self, reference: np.ndarray, dimensions: int = 16):
        raw = features(reference)
        self.mean, self.scale = raw.mean(0), raw.std(0) + 1e-8
        standard = (raw - self.mean) / self.scale
        _, _, directions = np.linalg.svd(standard, full_matrices=False)
        self.directions = directions[:dimensions].T
        self.spread = (standard @ self.directions).std(0) + 1e-8

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """[N, D] with unit variance per direction on the reference."""
        return (features(images) - self.mean) / self.scale @ self.directions / self.spread


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)) of Gaussians fitted to features [N, D] and [M, D].

    The trace of the root is the sum of roots of the eigenvalues of S_a S_b, which are real and not negative
    (Dowson & Landau 1982; Heusel et al. 2017 made it the FID). Raises ValueError when a set has fewer than 2 D rows.
    """
    for x in (a, b):
        if len(x) < 2 * x.shape[1]:
            raise ValueError(f"{len(x)} images are too few for a covariance of {x.shape[1]} features; use more images.")
    cov_a, cov_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    eigenvalues = np.linalg.eigvals(cov_a @ cov_b).real
    root = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * root)


def unbiased_mmd(a: np.ndarray, b: np.ndarray, bandwidth: float | None = None) -> float:
    """Squared maximum mean discrepancy with an RBF kernel, unbiased (Gretton et al. 2012, eq. 3): may be negative.

    `bandwidth` defaults to the median distance within `b` (the reference).
    """

    def squared(x, y):
        return np.maximum((x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T, 0)

    if bandwidth is None:
        bandwidth = np.sqrt(np.median(squared(b, b)[np.triu_indices(len(b), 1)]))
    kernel = [np.exp(-squared(x, y) / (2 * bandwidth**2)) for x, y in ((a, a), (b, b), (a, b))]
    n, m = len(a), len(b)
    within = (kernel[0].sum() - n) / (n * (n - 1)) + (kernel[1].sum() - m) / (m * (m - 1))
    return float(within - 2 * kernel[2].mean())


def distance_with_floor(synthetic, training, holdout, subjects, seed: int, repeats: int = 20) -> dict:
    """Frechet distance synthetic - holdout beside the floor training - holdout, all at the same n.

    synthetic, training, holdout  features [., D]; subjects [.] of the holdout rows.
    Each repeat draws n synthetic and n training rows and resamples the holdout by SUBJECT, so that the 95 % interval
    holds the chance of which people were held out. n is the smallest of the three sets.
    """
    rng = np.random.default_rng(seed)
    n = min(len(synthetic), len(training), len(holdout))
    people = np.unique(subjects)
    rows_of = {person: np.flatnonzero(subjects == person) for person in people}
    values = {"distance": [], "floor": []}
    for _ in range(repeats):
        drawn = np.concatenate([rows_of[p] for p in rng.choice(people, len(people))])
        reference = holdout[drawn]
        for name, pool in (("distance", synthetic), ("floor", training)):
            values[name].append(frechet_distance(pool[rng.permutation(len(pool))[:n]], reference))
    return {
        "distance": float(np.mean(values["distance"])),
        "distance_ci95": [float(x) for x in np.percentile(values["distance"], [2.5, 97.5])],
        "distance_floor": float(np.mean(values["floor"])),
        "distance_floor_ci95": [float(x) for x in np.percentile(values["floor"], [2.5, 97.5])],
        "distance_n": n,
        "mmd": unbiased_mmd(synthetic, holdout),
        "mmd_floor": unbiased_mmd(training, holdout),
    }
