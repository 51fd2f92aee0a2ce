"""Training images that nearly repeat an image of a given test part, as public sets have them: found and left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..data.slices import SliceSet
from ..metrics.memorization import best_correlation

ALIKE = 0.995  # correlation from which two images count as one that was saved twice; neighbouring slices stay below


def without_leaks(slices: SliceSet) -> SliceSet:
    """`slices` without the images outside the given test part (`SliceSet.set_aside`) that nearly equal one within it.

    Mirrored and slightly shifted copies are found, too. They are printed and counted in `processing`; without a given
    test part nothing is done.
    """
    given = np.isin(slices.subjects, np.array(slices.set_aside, dtype=str))
    if not given.any() or given.all():
        return slices
    others = np.flatnonzero(~given)
    r, nearest = best_correlation(slices.images[others], slices.images[given])
    alike = r >= ALIKE
    text = f"{alike.sum()} of {len(others)} images outside the given test part nearly equal one in it"
    if alike.any():
        first = int(alike.argmax())
        inside = slices.subjects[given][nearest[first]]
        text += f" (correlation from {ALIKE}), such as {slices.subjects[others[first]]} and {inside}: left out"
    print(text)
    kept = np.ones(len(slices), dtype=bool)
    kept[others[alike]] = False
    left = slices.select(kept) if alike.any() else slices
    return replace(left, processing={**left.processing, "given test part": text})
