"""Are generated masks possible? Shares of empty and of impossible ones, beside the share among unseen real masks."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import label

from ..data.slices import SliceSet

BACKGROUND = -0.98  # an image value at or below is empty background
QUANTILE = 0.99


def measures(slices: SliceSet) -> np.ndarray:
    """Per slice: number of pieces of the whole lesion, share of it on empty background, its share of the image.

    float [M, 3] over the slices whose mask is not empty.
    """
    rows = []
    brightest = slices.images.max(axis=1)
    for mask, image in zip(slices.labels > 0, brightest, strict=True):
        if mask.any():
            rows.append((label(mask)[1], (image[mask] <= BACKGROUND).mean(), mask.mean()))
    return np.array(rows).reshape(-1, 3)


def mask_report(synthetic: SliceSet, training: SliceSet, holdout: SliceSet) -> dict:
    """Percent of empty masks and of impossible ones among the others, for synthetic and for holdout real slices.

    Impossible: more pieces, more lesion on empty background, or a larger lesion than 99 % of the training masks have.
    By this rule a few percent of unseen real masks are "impossible" too: that share is the null beside the number.
    Sets without masks give {}.
    """
    if training.labels is None:
        return {}
    limit = np.quantile(measures(training), QUANTILE, axis=0)
    out = {}
    for name, slices in (("", synthetic), ("_real", holdout)):
        found = measures(slices)
        out[f"empty_percent{name}"] = round(100 * float((slices.labels == 0).all(axis=(1, 2)).mean()), 2)
        out[f"impossible_percent{name}"] = (
            round(100 * float((found > limit).any(axis=1).mean()), 2) if len(found) else None
        )
    return out
