"""Faults planted in a set of real slices: what each measure must notice, and what it must leave alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from scipy.ndimage import gaussian_filter

from ..data.slices import SliceSet
from .memorization import KINDS, planted_copies

BLUR = 0.01  # of the side: the Gaussian's deviation
NOISE = 0.05  # deviation, of a range of 2
TORN = 0.5  # share of pictures with wrong anatomy
DISC = 0.25  # radius of the disc that is turned, of the side


def blurred(slices: SliceSet, rng) -> SliceSet:
    sigma = BLUR * slices.size
    return replace(slices, images=gaussian_filter(slices.images, (0, 0, sigma, sigma)))


def noisy(slices: SliceSet, rng) -> SliceSet:
    noise = NOISE * rng.standard_normal(slices.images.shape, dtype=np.float32)
    return replace(slices, images=np.clip(slices.images + noise, -1, 1))


def torn(slices: SliceSet, rng) -> SliceSet:
    """A disc in the middle of some pictures turned upside down: every pixel is there, at a place where it cannot be.

    No value is interpolated, so texture changes only along the rim of the disc.
    """
    images = slices.images.copy()
    labels = None if slices.labels is None else slices.labels.copy()
    size = slices.size
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    disc = y**2 + x**2 < (DISC * size) ** 2
    chosen = rng.choice(len(slices), round(TORN * len(slices)), replace=False)
    images[chosen] = np.where(disc, images[chosen][..., ::-1, ::-1], images[chosen])
    if labels is not None:
        labels[chosen] = np.where(disc, labels[chosen][..., ::-1, ::-1], labels[chosen])
    return replace(slices, images=images, labels=labels)


def lesions(slices: SliceSet) -> np.ndarray:
    """Pixels of lesion per slice [N]; of sets without labels the slice level stands in."""
    return slices.levels if slices.labels is None else (slices.labels > 0).sum((1, 2))


def without_mode(slices: SliceSet, rng) -> SliceSet:
    """The third of the slices with the smallest lesions (or none) is never drawn; others take its place."""
    size = lesions(slices)
    kept = np.flatnonzero(size > np.quantile(size, 1 / 3))
    return slices.select(rng.choice(kept, len(slices)))


def lesions_too_large(slices: SliceSet, rng) -> SliceSet:
    """Slices drawn in proportion to their lesion's size: everything is there, by another law."""
    weight = lesions(slices).astype(float) + 1
    return slices.select(rng.choice(len(slices), len(slices), p=weight / weight.sum()))


def with_copies(slices: SliceSet, rng, training: SliceSet, kind: str, share: float) -> SliceSet:
    """Some slices replaced by copies of training slices (see `memorization.planted_copies`)."""
    n = max(1, round(share * len(slices)))
    images = slices.images.copy()
    at = rng.choice(len(slices), n, replace=False)
    images[at] = planted_copies(training.images, n, kind, int(rng.integers(2**31)))
    return replace(slices, images=images)


def faults(training: SliceSet, share: float = 0.05) -> dict[str, Callable]:
    """{name: function(SliceSet, random generator) -> SliceSet} of all faults; copies are of `training`, that many."""
    found = {
        "blur": blurred,
        "noise": noisy,
        "wrong anatomy": torn,
        "dropped mode": without_mode,
        "lesion sizes": lesions_too_large,
    }
    copies = {f"copies, {kind}": partial(with_copies, training=training, kind=kind, share=share) for kind in KINDS}
    return found | copies
