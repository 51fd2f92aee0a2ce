"""Distances between mask outlines: HD95 (in mm) and normalised surface Dice (NSD), per subject.

Slices of one subject need not be adjacent here, so distances are measured within each slice and pooled over slices. The
outline of a mask consists of its pixels with a background pixel (or the image border) above, below, left or right.

If only one of the two masks of a slice is empty, the distance is undefined. Leaving such slices out, as libraries do,
hides missed lesions: the mean HD95 is the same whether none or 75 of 100 lesions are missed. Here the distance is the
image diagonal instead. Slices in which both masks are empty do not count, nor do subjects without any true mask (see
`overlap.false_alarms`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import binary_erosion, distance_transform_edt


def outline(mask: np.ndarray) -> np.ndarray:
    """The outline of a boolean mask [H, W], as a mask bool [H, W]."""
    return mask & ~binary_erosion(mask)


def distances(first: np.ndarray, second: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    """Distance in mm of every pixel of one outline, bool [H, W], to the nearest of another: [pixels of the first].

    spacing  mm per pixel along H and W. The image diagonal if the other outline is empty.
    """
    if not second.any():
        return np.full(int(first.sum()), np.hypot(*(np.array(first.shape) * spacing)))
    return distance_transform_edt(~second, sampling=spacing)[first]


def hd95_and_nsd(
    predicted: np.ndarray, truth: np.ndarray, spacing: tuple[float, float], tolerance: float
) -> tuple[float, float]:
    """HD95 in mm and NSD in [0, 1] of boolean masks [N, H, W]; both NaN if all true masks are empty.

    HD95  95th percentile of the distances from one outline to the other, the larger one of both directions
          (Huttenlocher et al. 1993; the 95th percentile as in MONAI)
    NSD   share of the pixels of both outlines within `tolerance` mm of the other outline (Nikolov et al. 2021)
    spacing  mm per pixel along H and W
    """
    if not truth.any():
        return float("nan"), float("nan")
    pairs = [(outline(p), outline(t)) for p, t in zip(predicted, truth, strict=True)]
    there = np.concatenate([distances(p, t, spacing) for p, t in pairs])
    back = np.concatenate([distances(t, p, spacing) for p, t in pairs])
    both = np.concatenate([there, back])
    # A direction without pixels is left out: the distances of the other one are the image diagonal then.
    worst = max(float(np.percentile(direction, 95)) for direction in (there, back) if len(direction))
    return worst, float((both <= tolerance).mean())


def surface_per_subject(
    predicted: ArrayLike, truth: ArrayLike, subjects: ArrayLike, spacing: tuple[float, float], tolerance: float
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """HD95 and NSD of the whole lesion (any label > 0) per subject, of label maps [N, H, W] and `subjects` [N].

    spacing in mm per pixel along H and W, tolerance in mm.
    Returns (subject ids [S], HD95 in mm [S], NSD [S]), in the order of `overlap.dice_per_subject`.
    """
    predicted, truth, subjects = (np.asarray(x) for x in (predicted, truth, subjects))
    ids = sorted(set(subjects.tolist()))
    masks = [subjects == name for name in ids]
    found = np.array([hd95_and_nsd(predicted[rows] > 0, truth[rows] > 0, spacing, tolerance) for rows in masks])
    return ids, found[:, 0], found[:, 1]
