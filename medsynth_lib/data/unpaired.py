"""Two domains of different people: what an unpaired translator may see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from .slices import DataError, SliceSet


def of_channels(slices: SliceSet, *names: str) -> SliceSet:
    """The named image channels alone; DataError with the known names for an unknown one."""
    unknown = [name for name in names if name not in slices.channels]
    if unknown:
        raise DataError(f"{slices.source}: no channel {unknown[0]!r}; known channels: {', '.join(slices.channels)}.")
    index = [slices.channels.index(name) for name in names]
    return replace(slices, images=np.ascontiguousarray(slices.images[:, index]), channels=names)


def with_negative(slices: SliceSet) -> SliceSet:
    """Images [N, 1, H, W] with a second channel, "negative": [N, 2, H, W], light and dark exchanged.

    A made-up second contrast, for sources that have none; its truth is known. DataError for more than one channel.
    """
    if len(slices.channels) != 1:
        raise DataError(f"{slices.source}: has {len(slices.channels)} channels; only one channel gets a negative.")
    images = np.concatenate([slices.images, -slices.images], axis=1)
    return replace(slices, images=images, channels=(*slices.channels, "negative"))


def halves(slices: SliceSet, seed: int) -> tuple[SliceSet, SliceSet]:
    """Two sets of different subjects, for two domains of one source; DataError with fewer than two subjects."""
    people = np.random.default_rng(seed).permutation(slices.unique_subjects())
    if len(people) < 2:
        raise DataError(f"{slices.source}: unpaired domains need at least two subjects, this set has {len(people)}.")
    return slices.of_subjects(people[::2]), slices.of_subjects(people[1::2])


def unpaired(a: SliceSet, b: SliceSet, seed: int) -> dict[str, Tensor]:
    """{"a": [N, Ca, H, W], "b": [N, Cb, H, W]} for `fit`, N that of the larger set, the smaller one repeated.

    Neighbours in the two stacks are drawn by chance. The losses of an unpaired method never compare them.
    Raises DataError when a person is in both sets, or the sizes differ.
    """
    common = set(a.subjects) & set(b.subjects)
    if common:
        raise DataError(
            f"{len(common)} subjects (e.g. {min(common)}) are in both domains; an unpaired translation needs different "
            "people, or it could learn from hidden pairs."
        )
    if a.size != b.size:
        raise DataError(f"the domains have {a.size} and {b.size} pixels; load both at one image size.")
    rng, n = np.random.default_rng(seed), max(len(a), len(b))
    order = (np.resize(rng.permutation(len(part)), n) for part in (a, b))
    return {name: torch.from_numpy(part.images[rows]) for name, part, rows in zip("ab", (a, b), order, strict=True)}
