"""Large sets in portions: what a measure holds beside its input must not grow with the number of slices.

100,000 slices of 128 pixels and four channels take 26 GB and stay on the disk (`SliceSet.load` maps them). Measures
read them portion by portion and keep a row of numbers per slice; tables of all pairs of rows come block by block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

PORTION = 256  # images of SIDE pixels at once; as many pixels of larger ones
SIDE = 64
CELLS = 2**23  # entries at once of a table of all pairs: 64 MiB


def spans(n: int, size: int) -> list[slice]:
    """0 ... n - 1 in spans of `size`, the last one shorter."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def blocks(n: int, m: int) -> list[slice]:
    """Spans of the n rows of a table of n x m pairs, of at most CELLS entries each (or of one row)."""
    return spans(n, max(1, CELLS // max(1, m)))


def length(images: np.ndarray, most: int | None = None) -> int:
    """How many of the images [N, ..., H, W] make a portion: `most` (PORTION), or fewer that are larger than SIDE."""
    h, w = images.shape[-2:]
    return max(1, (most or PORTION) * SIDE**2 // max(SIDE**2, h * w))


def finite(images: np.ndarray) -> np.ndarray:
    """The images as float32; ValueError when they hold NaN or infinite values."""
    images = np.asarray(images, dtype=np.float32)
    if not np.isfinite(images).all():
        raise ValueError("the images hold NaN or infinite values, which cannot be measured; look at the generator.")
    return images


def portions(images: np.ndarray, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """The images [N, C, H, W], or those at the positions `rows`, as float32, portion by portion.

    Raises ValueError at the first portion that is not finite.
    """
    for span in spans(len(images) if rows is None else len(rows), length(images)):
        yield finite(images[span if rows is None else rows[span]])


def mean_picture(parts: Iterable[np.ndarray]) -> np.ndarray:
    """Mean over N and C of images [N, C, h, w] that come in portions: [h, w].

    Added up image after image, as numpy does with all at once: equal to the last digit.
    """
    total, count = None, 0
    for part in parts:
        pictures = part.reshape(-1, *part.shape[-2:])
        count += len(pictures)
        total = np.add.reduce(pictures if total is None else np.concatenate([total[None], pictures]))
    return total / count
