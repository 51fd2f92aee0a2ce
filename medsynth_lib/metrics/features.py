"""Image features that need no downloaded weights, and the standardised feature spaces in which sets are compared.

A feature extractor is a function from images [N, C, H, W] in [-1, 1] to a table [N, D]: `wavelet_features` and
`features` below, `radiomics.radiomics`, or an encoder of `models.encoder`. No extractor is sensitive to all faults.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pywt

from ..core.portions import SIDE, portions
from ..data.foreground import BACKGROUND, TISSUE

Extractor = Callable[[np.ndarray], np.ndarray]
WAVELET, DEPTH = "db2", 2


def shrink(images: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Images [N, C, H, W] reduced by block means, by the smallest integer factor that makes W at most `side`."""
    factor = -(-images.shape[-1] // side)
    if factor == 1:
        return images
    n, c, h, w = images.shape
    h, w = h // factor * factor, w // factor * factor
    return images[..., :h, :w].reshape(n, c, h // factor, factor, w // factor, factor).mean((3, 5))


def wavelet_features(images: np.ndarray) -> np.ndarray:
    """Log energies of the 4^DEPTH wavelet packets of every channel: [N, 4^DEPTH C]. Sensitive to blur, noise, texture.

    The packets are those of the Frechet wavelet distance (Veeramacheneni et al. 2023, arXiv 2312.15289).
    """
    packets = [images]
    for _ in range(DEPTH):
        split = (pywt.dwt2(x, WAVELET, mode="symmetric", axes=(-2, -1)) for x in packets)
        packets = [band for coarse, details in split for band in (coarse, *details)]
    return np.concatenate([np.log((x**2).mean((-2, -1)) + 1e-6) for x in packets], axis=1)


def moment_features(images: np.ndarray) -> np.ndarray:
    """Statistics of intensity, position and texture in the foreground: [N, 12 C + C (C - 1) / 2].

    Per channel: mean, standard deviation, skewness, 10 / 50 / 90 % quantiles, foreground share, centre of mass (row,
    column), log of the mean gradient, autocorrelation at 1 and 4 pixels. Per pair of channels: their correlation.
    """
    n, c, h, w = images.shape
    inside = images > BACKGROUND
    # An image with (almost) no foreground is described by all of its pixels.
    inside |= (inside.sum((-2, -1)) < 5)[..., None, None]
    count = inside.sum((-2, -1))
    mean = (images * inside).sum((-2, -1)) / count
    centred = (images - mean[..., None, None]) * inside
    deviation = np.sqrt((centred**2).sum((-2, -1)) / count)
    skewness = (centred**3).sum((-2, -1)) / count / np.maximum(deviation, 1e-3) ** 3
    ordered = np.sort(np.where(inside, images, np.inf).reshape(n, c, -1), axis=-1)
    ranks = [np.rint(q * (count - 1)).astype(int)[..., None] for q in (0.1, 0.5, 0.9)]
    quantiles = [np.take_along_axis(ordered, rank, axis=-1)[..., 0] for rank in ranks]
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


def tissue_mask(images: np.ndarray) -> np.ndarray:
    """Pixels of images [N, C, H, W] above TISSUE in any channel: bool [N, H, W].

    At the lower threshold BACKGROUND, the weak noise that diffusion models leave in the background would count as
    tissue and dominate the statistics of the tissue.
    """
    return images.max(1) > TISSUE


def features(images: np.ndarray, extractors: Sequence[Extractor] = (wavelet_features, moment_features)) -> np.ndarray:
    """Wavelet and moment features of images [N, C, H, W] in [-1, 1], reduced to SIDE pixels: float64 [N, D].

    The features are not standardised. Raises ValueError for images that are not finite.
    """
    small = map(shrink, portions(images))
    table = [np.concatenate([extract(x) for extract in extractors], axis=1) for x in small]
    return np.concatenate(table).astype(np.float64)


def wavelets(images: np.ndarray) -> np.ndarray:
    """`wavelet_features` of any number of images [N, C, H, W] of any size: float64 [N, D]."""
    return features(images, (wavelet_features,))


class FeatureSpace:
    """Features standardised and decorrelated with the statistics of ONE reference set, the generator's training set.

    The dimensions are `dimensions` - 1 principal components, few enough to estimate a covariance from a few hundred
    images, and the log distance to their subspace: artefacts that no real image has increase this distance and may be
    invisible in the components. Test subjects must not be part of the reference.

    reference  images [N, C, H, W] in [-1, 1]; extract  feature extractor, see above
    """

    def __init__(self, reference: np.ndarray, dimensions: int = 16, extract: Extractor = features):
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
        """Coordinates [N, dimensions] of images [N, C, H, W]; on the reference they have mean 0 and variance 1."""
        return (self._project((self.extract(images) - self.mean) / self.scale) - self.centre) / self.spread


class LayoutSpace:
    """Principal components of 8 x 8 block means, fitted to ONE reference set; the components are not standardised.

    Sensitive to outline, brightness, ventricles and large lesions, and insensitive to blur, noise and texture. So the
    diversity of a generator with blurred images can be measured, which the texture features of `FeatureSpace` hide.

    reference  images [N, C, H, W] in [-1, 1]
    """

    def __init__(self, reference: np.ndarray, dimensions: int = 12):
        raw = self._coarse(reference)
        self.mean = raw.mean(0)
        self.directions = np.linalg.svd(raw - self.mean, full_matrices=False)[2][:dimensions].T

    @staticmethod
    def _coarse(images: np.ndarray) -> np.ndarray:
        coarse = np.concatenate([shrink(part, 8) for part in portions(images)])
        return coarse.reshape(len(coarse), -1).astype(np.float64)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Coordinates [N, dimensions] of images [N, C, H, W] in intensity units; ValueError if these are not finite."""
        return (self._coarse(images) - self.mean) @ self.directions
