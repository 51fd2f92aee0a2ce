"""Baselines of translation: histogram matching, and the best intensity curve that can be learned from pairs."""

from __future__ import annotations

import numpy as np
from skimage.exposure import match_histograms

from ...data.foreground import BACKGROUND


def matched(images: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Images [N, C, H, W] with every channel matched to the histogram of the reference images [M, C, H, W].

    The cheapest adaptation to another scanner (Nyul & Udupa 1999 use landmarks of the histogram): a monotone curve.
    Only the foreground is matched; otherwise the air around a small head would be matched with tissue.
    """
    out = images.copy()
    for c in range(images.shape[1]):
        goal = reference[:, c][reference[:, c] > BACKGROUND]
        for n, image in enumerate(images[:, c]):
            inside = image > BACKGROUND
            if inside.any() and goal.size:
                out[n, c][inside] = match_histograms(image[inside], goal)
    return out


class PairedCurve:
    """The intensity curve from one contrast to another with the smallest squared error: the mean of b per bin of a.

    Learned from *pairs* a, b of one channel, [N, 1, H, W] in [-1, 1]. No pixel-wise translation is better, monotone or
    not; only context can improve on it.
    """

    def __init__(self, a: np.ndarray, b: np.ndarray, bins: int = 64):
        self.edges = np.linspace(-1, 1, bins + 1)[1:-1]
        where = np.digitize(a.ravel(), self.edges)
        count = np.bincount(where, minlength=bins)
        total = np.bincount(where, weights=b.ravel(), minlength=bins)
        known = count > 0
        self.values = np.interp(np.arange(bins), np.flatnonzero(known), total[known] / count[known])

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """The curve's values, float32 of the same shape, for intensities in [-1, 1]."""
        return self.values[np.digitize(images, self.edges)].astype(np.float32)
