"""The foreground of an image: pixels that are brighter than the background in at least one channel."""

from __future__ import annotations

import numpy as np

from ..core.portions import length, spans

# Thresholds of intensities in [-1, 1]: higher where the background is not exactly -1
BACKGROUND = -0.95  # real images: values up to this one are background
LENIENT_BACKGROUND = -0.9  # the same for generated images and for averages of real ones
TISSUE = -0.8  # what is above is tissue, even where a generator left weak noise in the background


def foreground(*sets: np.ndarray) -> np.ndarray:
    """Pixels above BACKGROUND in any channel of any of the sets of images [N, C, H, W]: bool [N, H, W]."""
    first = sets[0]
    found = np.empty((len(first), *first.shape[2:]), bool)
    for span in spans(len(first), length(first)):
        found[span] = np.any([images[span].max(axis=1) > BACKGROUND for images in sets], axis=0)
    return found
