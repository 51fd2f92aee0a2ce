"""How close are synthetic to real images? Distances in a feature space that needs no downloaded weights.

A Frechet distance is only comparable at equal n, features and reference: between two sets of REAL images it is far
from 0, and at n = 100 it is 2 to 2.6 times that at n = 400. So every distance here comes with n and with the real-real
floor at the same n. Wu et al. 2025 (arXiv 2502.17160): such distances rank generators otherwise than their usefulness
does; read them as secondary.
"""

from __future__ import annotations

import numpy as np
import pywt
from scipy import stats
from scipy.spatial.distance import cdist, pdist

WAVELET, DEPTH = "db2", 2
BACKGROUND = -0.95  # image values below are background
LARGEST_SIDE = 64  # larger images are averaged down first
GROUPS = 10  # of held-out subjects, for the jackknife interval


def shrink(images: np.ndarray, side: int = LARGEST_SIDE) -> np.ndarray:
    """Block means of images [N, C, H, W] so that the last side does not exceed `side`."""
    factor = -(-images.shape[-1] // side)
    if factor == 1:
        return images
    n, c, h, w = images.shape
    h, w = h // factor * factor, w // factor * factor
    return images[..., :h, :w].reshape(n, c, h // factor, factor, w // factor, factor).mean((3, 5))


def wavelet_features(images: np.ndarray) -> np.ndarray:
    """Log energies of the 4^DEPTH wavelet packets of every channel: [N, 4^DEPTH C]. Sees blur, noise and texture.

    The packets of Veeramacheneni et al. 2023 (Frechet wavelet distance, arXiv 2312.15289), one number for each.
    """
    packets = [images]
    for _ in range(DEPTH):
        split = (pywt.dwt2(x, WAVELET, mode="symmetric", axes=(-2, -1)) for x in packets)
        packets = [band for coarse, details in split for band in (coarse, *details)]
    return np.concatenate([np.log((x**2).mean((-2, -1)) + 1e-6) for x in packets], axis=1)


def moment_features(images: np.ndarray) -> np.ndarray:
    """Intensity, place and texture in the foreground, radiomics style: [N, 12 C + C (C - 1) / 2].

    Per channel: mean, deviation, skewness, 10 / 50 / 90 % quantiles, foreground share, centre of mass (2), mean
    gradient (log), correlation with the neighbour at 1 and 4 pixels. Per pair of channels: their correlation.
    """
    n, c, h, w = images.shape
    inside = images > BACKGROUND
    # An (almost) empty image has no foreground to describe: the whole picture stands in for it.
    inside |= (inside.sum((-2, -1)) < 5)[..., None, None]
    count = inside.sum((-2, -1))
    mean = (images * inside).sum((-2, -1)) / count
    centred = (images - mean[..., None, None]) * inside
    deviation = np.sqrt((centred**2).sum((-2, -1)) / count)
    skewness = (centred**3).sum((-2, -1)) / count / np.maximum(deviation, 1e-3) ** 3
    ordered = np.sort(np.where(inside, images, np.inf).reshape(n, c, -1), axis=-1)
    places = [np.rint(q * (count - 1)).astype(int)[..., None] for q in (0.1, 0.5, 0.9)]
    quantiles = [np.take_along_axis(ordered, at, axis=-1)[..., 0] for at in places]
    weight = np.clip(images + 1, 0, None)
    total = weight.sum((-2, -1)) + 1e-6
    rows, columns = np.mgrid[:h, :w].astype(images.dtype) / max(h, w) - 0.5
    centre = [(weight * axis).sum((-2, -1)) / total for axis in (rows, columns)]
    steps = np.abs(np.diff(images, axis=-1)).mean((-2, -1)) + np.abs(np.diff(images, axis=-2)).mean((-2, -1))
    variance = (centred**2).sum((-2, -1)) + 1e-6
    neighbours = [
        (
            (centred[..., k:] * centred[..., :-k]).sum((-2, -1))
            + (centred[..., k:, :] * centred[..., :-k, :]).sum((-2, -1))
        )
        / (2 * variance)
        for k in (1, 4)
    ]
    parts = [mean, deviation, skewness, *quantiles, inside.mean((-2, -1)), *centre, np.log(steps + 1e-4), *neighbours]
    pairs = [
        (centred[:, i] * centred[:, j]).sum((-2, -1)) / np.sqrt(variance[:, i] * variance[:, j])
        for i in range(c)
        for j in range(i)
    ]
    return np.concatenate([*parts, *[pair[:, None] for pair in pairs]], axis=1)


def features(images: np.ndarray) -> np.ndarray:
    """Wavelet and moment features of images [N, C, H, W] in [-1, 1], not yet standardised: float64 [N, D].

    Raises ValueError for images that are not finite.
    """
    images = np.asarray(images, dtype=np.float32)
    if not np.isfinite(images).all():
        raise ValueError("the images hold NaN or infinite values, which have no features; look at the generator.")
    parts = []
    # In portions: the temporary arrays of a few hundred images stay small.
    for portion in np.array_split(shrink(images), -(-len(images) // 256)):
        parts.append(np.concatenate([wavelet_features(portion), moment_features(portion)], axis=1))
    return np.concatenate(parts).astype(np.float64)


class FeatureSpace:
    """Features standardised and decorrelated with the statistics of ONE reference set (the generator's training part).

    `dimensions` - 1 principal components, so that a covariance can be estimated from a few hundred images, and the
    log distance to their plane: artefacts that no real image has leave the plane and would be invisible inside it.
    Test subjects must not be part of the reference.
    """

    def __init__(self, reference: np.ndarray, dimensions: int = 16):
        raw = features(reference)
        self.mean, self.scale = raw.mean(0), raw.std(0) + 1e-3
        standard = (raw - self.mean) / self.scale
        _, _, directions = np.linalg.svd(standard, full_matrices=False)
        self.directions = directions[: dimensions - 1].T
        found = self._project(standard)
        self.centre, self.spread = found.mean(0), found.std(0) + 1e-6

    def _project(self, standard: np.ndarray) -> np.ndarray:
        inside = standard @ self.directions
        rest = standard - inside @ self.directions.T
        return np.column_stack([inside, 0.5 * np.log((rest**2).sum(1) + 1e-3)])

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """[N, dimensions] with mean 0 and unit variance per direction on the reference."""
        return (self._project((features(images) - self.mean) / self.scale) - self.centre) / self.spread


class LayoutSpace:
    """Coarse pictures: block means on an 8 x 8 grid, on the principal components of ONE reference set, not whitened.

    Sees outline, brightness, ventricles and large lesions and is blind to blur, noise and texture: here a soft
    generator can be as varied as real people, which the texture of `FeatureSpace` would hide.
    """

    def __init__(self, reference: np.ndarray, dimensions: int = 12):
        raw = self._coarse(reference)
        self.mean = raw.mean(0)
        self.directions = np.linalg.svd(raw - self.mean, full_matrices=False)[2][:dimensions].T

    @staticmethod
    def _coarse(images: np.ndarray) -> np.ndarray:
        return shrink(np.asarray(images, dtype=np.float32), 8).reshape(len(images), -1).astype(np.float64)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """[N, dimensions] in intensity units."""
        return (self._coarse(images) - self.mean) @ self.directions


def checked(*sets: np.ndarray) -> None:
    """ValueError unless all are finite feature tables [., D] of one width."""
    for x in sets:
        if np.ndim(x) != 2 or x.shape[1] != sets[0].shape[1]:
            raise ValueError(
                f"features of shape {[np.shape(s) for s in sets]} do not fit; give tables [N, D] of one D."
            )
        if not np.isfinite(x).all():
            raise ValueError("the features hold NaN or infinite values, which have no distance; look at the generator.")


def _frechet(a: np.ndarray, b: np.ndarray) -> float:
    cov_a, cov_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    values, vectors = np.linalg.eigh(cov_a)
    root_a = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    root = np.sqrt(np.clip(np.linalg.eigvalsh(root_a @ cov_b @ root_a), 0, None)).sum()
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * root)


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """|mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a^(1/2) S_b S_a^(1/2))^(1/2)) of Gaussians fitted to [N, D] and [M, D].

    Dowson & Landau 1982; Heusel et al. 2017 made it the FID. The symmetric form has real eigenvalues >= 0 also where
    a covariance is nearly singular. Raises ValueError when a set has fewer than 2 D rows: below, the estimate is
    mostly bias.
    """
    checked(a, b)
    for x in (a, b):
        if len(x) < 2 * x.shape[1]:
            raise ValueError(f"{len(x)} images are too few for a covariance of {x.shape[1]} features; use more images.")
    return _frechet(a, b)


def unbiased_mmd(a: np.ndarray, b: np.ndarray, bandwidth: float | None = None, kernel: str = "rbf") -> float:
    """Squared maximum mean discrepancy of [N, D] and [M, D], unbiased (Gretton et al. 2012, eq. 3): may be negative.

    kernel  "rbf": exp(-|x - y|^2 / (2 h^2)), h = `bandwidth`, by default the median distance within b (the reference);
            "polynomial": (x y / D + 1)^3, the kernel inception distance's (Binkowski et al. 2018).
    """
    checked(a, b)
    n, m = len(a), len(b)
    if min(n, m) < 2:
        raise ValueError(f"{n} and {m} images: pairs within each set need at least two.")
    if kernel == "polynomial":
        within_a, within_b, across = ((x @ y.T / a.shape[1] + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    else:
        h = np.median(pdist(b)) if bandwidth is None else bandwidth
        within_a, within_b, across = (
            np.exp(-cdist(x, y, "sqeuclidean") / (2 * h**2)) for x, y in ((a, a), (b, b), (a, b))
        )
    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (within_a, within_b)]
    return float(sum(within) - 2 * across.mean())


def distance_with_floor(synthetic, training, holdout, subjects, seed: int, repeats: int = 5) -> dict:
    """Frechet distance synthetic - holdout beside the floor training - holdout, all at the same n.

    synthetic, training, holdout  features [., D]; subjects [.] of the holdout rows. n is the smallest of the three
    sets; of a larger set n rows are drawn, `repeats` times, and the distances averaged. "distance_excess" is distance
    minus floor. The intervals hold the chance of which SUBJECTS were held out and which images were drawn: a grouped
    jackknife (Kott 2001) leaves out a tenth of the subjects, and of the drawn images, at a time. Drawing subjects
    with replacement instead would repeat rows and so raise the distance itself. ValueError for fewer than two subjects.
    """
    checked(synthetic, training, holdout)
    rng, subjects = np.random.default_rng(seed), np.asarray(subjects)
    n = min(len(synthetic), len(training), len(holdout))
    people = rng.permutation(np.unique(subjects))
    groups = min(GROUPS, len(people))
    if groups < 2:
        raise ValueError("the holdout has one subject; an interval over subjects needs at least two.")
    group_of = dict(zip(people.tolist(), np.arange(len(people)) % groups, strict=True))
    group = np.array([group_of[s] for s in subjects.tolist()])
    part = np.arange(n) % groups
    whole, left_out = np.zeros(2), np.zeros((groups, 2))
    for _ in range(repeats):
        rows = rng.permutation(len(holdout))[:n]
        for column, pool in enumerate((synthetic, training)):
            drawn = pool[rng.permutation(len(pool))[:n]]
            whole[column] += frechet_distance(drawn, holdout[rows]) / repeats
            for g in range(groups):
                left_out[g, column] += _frechet(drawn[part != g], holdout[rows[group[rows] != g]]) / repeats
    out = {"distance_n": n, "distance_subjects": len(people)}
    excess = np.array([1, -1])
    for name, value, values in (
        ("distance", whole[0], left_out[:, 0]),
        ("distance_floor", whole[1], left_out[:, 1]),
        ("distance_excess", whole @ excess, left_out @ excess),
    ):
        error = np.sqrt((groups - 1) / groups * ((values - values.mean()) ** 2).sum())
        half = stats.t.ppf(0.975, groups - 1) * error
        out |= {name: float(value), f"{name}_ci95": [float(value - half), float(value + half)]}
    for name, kernel in (("mmd", "rbf"), ("mmd_polynomial", "polynomial")):
        out[name] = unbiased_mmd(synthetic, holdout, kernel=kernel)
        out[f"{name}_floor"] = unbiased_mmd(training, holdout, kernel=kernel)
    return out
