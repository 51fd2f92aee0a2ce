"""Visibility of the borders between the tiles of which a generated image is composed."""

from __future__ import annotations

import numpy as np

from ..core.portions import length, spans

IMAGES = 1024  # of 64 x 64 pixels at once


def seam_ratio(images: np.ndarray, every: int) -> float:
    """Mean absolute difference of adjacent pixels across tile borders, divided by that of all other adjacent pixels.

    images [N, C, H, W], square; the borders are at every `every`-th pixel in both directions. 1: the borders are
    invisible; real images show by how much the ratio differs from 1 without borders. ValueError when there is none.
    """
    size = images.shape[-1]
    if not 0 < every < size:
        raise ValueError(f"images of {size} pixels have no border every {every} pixels; choose a smaller distance.")
    at_border = np.arange(1, size) % every == 0
    rows, columns = (_mean_differences(images, axis) for axis in (2, 3))
    on, off = (np.concatenate([rows[at], columns[at]]).mean() for at in (at_border, ~at_border))
    return float(on / max(off, 1e-12))


def _mean_differences(images: np.ndarray, axis: int) -> np.ndarray:
    """Mean absolute difference between positions i and i + 1 along `axis` (2 or 3): [side - 1]."""
    parts = spans(len(images), length(images, IMAGES))
    means = [np.abs(np.diff(images[x], axis=axis)).mean(axis=tuple({0, 1, 2, 3} - {axis})) for x in parts]
    return np.average(means, axis=0, weights=[x.stop - x.start for x in parts]).astype(means[0].dtype)
