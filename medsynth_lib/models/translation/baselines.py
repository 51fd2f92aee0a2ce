"""What a translation has to beat: matched histograms, and the best curve of grey values that pairs could teach."""

from __future__ import annotations

import numpy as np
from skimage.exposure import match_histograms

from ...data.foreground import BACKGROUND


def matched(pictures: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Every channel of every image [N, C, H, W] with the histogram that the reference images [M, C, H, W] have.

    The cheapest adaptation to another scanner (Nyul & Udupa 1999 use landmarks of it). A curve that only rises, for
    what is brighter than air: else a small head in much air would have its air matched with tissue.
    """
    out = pictures.copy()
    for c in range(pictures.shape[1]):
        goal = reference[:, c][reference[:, c] > BACKGROUND]
        for n, picture in enumerate(pictures[:, c]):
            inside = picture > BACKGROUND
            if inside.any() and goal.size:
                out[n, c][inside] = match_histograms(picture[inside], goal)
    return out


class PairedCurve:
    """The curve from one contrast to another with the smallest squared error: per grey value the mean of what is there.

    Learned from *pairs* a, b of one channel, [N, 1, H, W] in [-1, 1]. What any translation pixel by pixel can reach,
    rising or not; only context can do better.
    """

    def __init__(self, a: np.ndarray, b: np.ndarray, bins: int = 64):
        self.edges = np.linspace(-1, 1, bins + 1)[1:-1]
        where = np.digitize(a.ravel(), self.edges)
        count = np.bincount(where, minlength=bins)
        total = np.bincount(where, weights=b.ravel(), minlength=bins)
        known = count > 0
        self.values = np.interp(np.arange(bins), np.flatnonzero(known), total[known] / count[known])

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """The curve's values, float32 of any shape given, for grey values in [-1, 1]."""
        return self.values[np.digitize(pictures, self.edges)].astype(np.float32)
