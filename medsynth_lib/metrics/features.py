"""What images are compared by: numbers that need no downloaded weights, and the spaces in which they are distances.

An extractor is a function from images [N, C, H, W] in [-1, 1] to a table [N, D]: `wavelet_features`, `features` below,
`radiomics.radiomics`, an encoder of this project or one from a file (`models.encoder`). No single one sees everything.
"""

from __future__ import annotations

import numpy as np
import pywt

from ..core.portions import SIDE, portions
from ..data.foreground import BACKGROUND

WAVELET, DEPTH = "db2", 2
SHOWN = -0.8  # the brightest channel of a pixel that shows something; a generated background is not quite black


def shrink(images: np.ndarray, side: int = SIDE) -> np.ndarray:
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


def shown(images: np.ndarray) -> np.ndarray:
    """Where pictures [N, C, H, W] show something in some channel: bool [N, H, W].

    With the tighter BACKGROUND the grain that a diffusion model leaves in the black counts as tissue, and every
    statistic of the tissue is of that grain.
    """
    return images.max(1) > SHOWN


def features(images: np.ndarray, of=(wavelet_features, moment_features)) -> np.ndarray:
    """Wavelet and moment features of images [N, C, H, W] in [-1, 1], not yet standardised: float64 [N, D].

    Raises ValueError for images that are not finite.
    """
    small = map(shrink, portions(images))
    return np.concatenate([np.concatenate([extract(x) for extract in of], axis=1) for x in small]).astype(np.float64)


def wavelets(images: np.ndarray) -> np.ndarray:
    """`wavelet_features` alone, for any number of images of any size."""
    return features(images, (wavelet_features,))


class FeatureSpace:
    """Features standardised and decorrelated with the statistics of ONE reference set (the generator's training part).

    `dimensions` - 1 principal components, so that a covariance can be estimated from a few hundred images, and the
    log distance to their plane: artefacts that no real image has leave the plane and would be invisible inside it.
    Test subjects must not be part of the reference.
    """

    def __init__(self, reference: np.ndarray, dimensions: int = 16, extract=features):
        self.extract = extract
        raw = extract(reference)
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
        return (self._project((self.extract(images) - self.mean) / self.scale) - self.centre) / self.spread


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
        coarse = np.concatenate([shrink(some, 8) for some in portions(images)])
        return coarse.reshape(len(coarse), -1).astype(np.float64)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """[N, dimensions] in intensity units; ValueError for images that are not finite."""
        return (self._coarse(images) - self.mean) @ self.directions
