"""Where an image shows something: everything brighter than background, in some channel."""

from __future__ import annotations

import numpy as np

from ..core.portions import length, spans

BACKGROUND = -0.95  # image values below are background


def foreground(*sets: np.ndarray) -> np.ndarray:
    """Where any of the images [N, C, H, W] shows more than background: bool [N, H, W]."""
    first = sets[0]
    found = np.empty((len(first), *first.shape[2:]), bool)
    for span in spans(len(first), length(first)):
        found[span] = np.any([images[span].max(axis=1) > BACKGROUND for images in sets], axis=0)
    return found
