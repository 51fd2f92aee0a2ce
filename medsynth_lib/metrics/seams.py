"""Does a picture that was put together from tiles show where they meet?"""

from __future__ import annotations

import numpy as np

from ..core.portions import length, spans

PICTURES = 1024  # of 64 pixels at once


def seam_ratio(images: np.ndarray, every: int) -> float:
    """Mean jump across lines that lie `every` pixels apart, divided by that between all other neighbours.

    images [N, C, H, W]; a jump is the absolute difference of two neighbours in a row or a column. 1: nothing shows;
    real images give the spread around 1 that is not a seam. ValueError when there is no such line.
    """
    size = images.shape[-1]
    if not 0 < every < size:
        raise ValueError(f"lines every {every} pixels do not cut pictures of {size}; take a smaller distance.")
    across = np.arange(1, size) % every == 0
    rows, columns = (_jumps(images, axis) for axis in (2, 3))
    on, off = (np.concatenate([rows[at], columns[at]]).mean() for at in (across, ~across))
    return float(on / max(off, 1e-12))


def _jumps(images: np.ndarray, axis: int) -> np.ndarray:
    """Mean absolute difference across each line that is crossed along `axis` (2 or 3): [side - 1]."""
    parts = spans(len(images), length(images, PICTURES))
    means = [np.abs(np.diff(images[x], axis=axis)).mean(axis=tuple({0, 1, 2, 3} - {axis})) for x in parts]
    return np.average(means, axis=0, weights=[x.stop - x.start for x in parts]).astype(means[0].dtype)
