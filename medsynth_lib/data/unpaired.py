"""Two domains of different subjects: training data of unpaired image translation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from .slices import DataError, SliceSet


def of_channels(slices: SliceSet, *names: str) -> SliceSet:
    """`slices` with the named image channels only; DataError for an unknown name."""
    unknown = [name for name in names if name not in slices.channels]
    if unknown:
        raise DataError(f"{slices.source}: no channel {unknown[0]!r}; known channels: {', '.join(slices.channels)}.")
    index = [slices.channels.index(name) for name in names]
    return replace(slices, images=np.ascontiguousarray(slices.images[:, index]), channels=names)


def with_intensity_inversion(slices: SliceSet) -> SliceSet:
    """Images [N, 1, H, W] with a second channel "inverted", the intensity inversion of the first: [N, 2, H, W].

    An artificial second contrast with a known ground truth. DataError for more than one channel.
    """
    if len(slices.channels) != 1:
        raise DataError(f"{slices.source}: has {len(slices.channels)} channels; intensity inversion needs exactly one.")
    images = np.concatenate([slices.images, -slices.images], axis=1)
    return replace(slices, images=images, channels=(*slices.channels, "inverted"))


def halves(slices: SliceSet, seed: int) -> tuple[SliceSet, SliceSet]:
    """Two sets, each with half of the subjects, as two domains; DataError with fewer than two subjects."""
    subjects = np.random.default_rng(seed).permutation(slices.unique_subjects())
    if len(subjects) < 2:
        raise DataError(f"{slices.source}: unpaired domains need at least two subjects, this set has {len(subjects)}.")
    return slices.of_subjects(subjects[::2]), slices.of_subjects(subjects[1::2])


def unpaired(a: SliceSet, b: SliceSet, seed: int) -> dict[str, Tensor]:
    """{"a": [N, Ca, H, W], "b": [N, Cb, H, W]} for `fit`; N is the size of the larger set, the smaller is repeated.

    Both are shuffled, so images of one row are unrelated; the losses of an unpaired method never compare them. Slices
    without content (constant in every channel, as where a scan ends early) are left out: instance norms multiply the
    gradient at a constant image by 300 in every layer, until it overflows.
    Raises DataError when a subject is in both sets, when the image sizes differ, or when no slice has content.
    """
    common = set(a.subjects) & set(b.subjects)
    if common:
        raise DataError(
            f"{len(common)} subjects (e.g. {min(common)}) are in both domains; an unpaired translation needs different "
            "subjects, or it could learn from hidden pairs."
        )
    if a.size != b.size:
        raise DataError(f"the domains have {a.size} and {b.size} pixels; load both at one image size.")
    content = [np.flatnonzero(np.ptp(part.images, axis=(1, 2, 3)) > 0) for part in (a, b)]
    for part, rows in zip((a, b), content, strict=True):
        if not len(rows):
            raise DataError(f"{part.source}: every slice of channel {part.channels[0]} is constant; choose another.")
    rng, n = np.random.default_rng(seed), max(map(len, content))
    order = [np.resize(rng.permutation(rows), n) for rows in content]
    return {name: torch.from_numpy(part.images[rows]) for name, part, rows in zip("ab", (a, b), order, strict=True)}
