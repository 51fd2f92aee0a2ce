"""Large sets in portions, so that the working memory of a measure does not grow with the images of the set.

100,000 slices of 128 x 128 pixels and four channels take 26 GB and stay on disk (`SliceSet.load` memory-maps them).
Measures read them in portions and keep one row of numbers per slice; tables of all pairs are computed in blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

PORTION = 256  # images of SIDE x SIDE pixels at once; fewer if they are larger
SIDE = 64
CELLS = 2**23  # entries of a table of all pairs at once: 64 MiB


def spans(n: int, size: int) -> list[slice]:
    """Slices of length `size` that cover 0 to n - 1; the last may be shorter."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def blocks(n: int, m: int) -> list[slice]:
    """Slices of the rows of an n x m table, of at most CELLS entries each (or of one row)."""
    return spans(n, max(1, CELLS // max(1, m)))


def length(images: np.ndarray, most: int | None = None) -> int:
    """Images [N, ..., H, W] per portion: `most` (default: PORTION), fewer if larger than SIDE x SIDE pixels."""
    h, w = images.shape[-2:]
    return max(1, (most or PORTION) * SIDE**2 // max(SIDE**2, h * w))


def finite(images: np.ndarray) -> np.ndarray:
    """The images as float32; ValueError when they hold NaN or infinite values."""
    images = np.asarray(images, dtype=np.float32)
    if not np.isfinite(images).all():
        raise ValueError("the images hold NaN or infinite values, which cannot be measured; check the generator.")
    return images


def portions(images: np.ndarray, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """The images [N, C, H, W], or those at the indices `rows`, as float32, in portions.

    Raises ValueError at the first portion that is not finite.
    """
    for span in spans(len(images) if rows is None else len(rows), length(images)):
        yield finite(images[span if rows is None else rows[span]])


def mean_image(parts: Iterable[np.ndarray]) -> np.ndarray:
    """Mean over N and C of portions of images [N, C, h, w]: [h, w].

    Images are added in the order in which numpy adds all of them, so the result is the same bit for bit.
    """
    total, count = None, 0
    for part in parts:
        images = part.reshape(-1, *part.shape[-2:])
        count += len(images)
        total = np.add.reduce(images if total is None else np.concatenate([total[None], images]))
    return total / count
