"""Known faults, added to sets of real slices to test which measure detects which fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from scipy.ndimage import gaussian_filter

from ..data.slices import SliceSet
from .memorization import KINDS, planted_copies

BLUR = 0.01  # standard deviation of the Gaussian, as a fraction of the image's side
NOISE = 0.05  # standard deviation; intensities are in [-1, 1]
ROTATED = 0.5  # share of images with a rotated disc
DISC = 0.25  # radius of the disc, as a fraction of the image's side


def blurred(slices: SliceSet, rng: np.random.Generator) -> SliceSet:
    """Images smoothed with a Gaussian of BLUR; `rng` is not used."""
    sigma = BLUR * slices.size
    return replace(slices, images=gaussian_filter(slices.images, (0, 0, sigma, sigma)))


def noisy(slices: SliceSet, rng: np.random.Generator) -> SliceSet:
    """Images with Gaussian noise of NOISE added, clipped to [-1, 1]."""
    noise = NOISE * rng.standard_normal(slices.images.shape, dtype=np.float32)
    return replace(slices, images=np.clip(slices.images + noise, -1, 1))


def with_rotated_disc(slices: SliceSet, rng: np.random.Generator) -> SliceSet:
    """Impossible anatomy: in some of the images (and labels) a central disc is rotated by 180 degrees.

    No intensity is interpolated, so the texture changes only along the rim of the disc.
    """
    images = slices.images.copy()
    labels = None if slices.labels is None else slices.labels.copy()
    size = slices.size
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    disc = y**2 + x**2 < (DISC * size) ** 2
    chosen = rng.choice(len(slices), round(ROTATED * len(slices)), replace=False)
    images[chosen] = np.where(disc, images[chosen][..., ::-1, ::-1], images[chosen])
    if labels is not None:
        labels[chosen] = np.where(disc, labels[chosen][..., ::-1, ::-1], labels[chosen])
    return replace(slices, images=images, labels=labels)


def lesion_sizes(slices: SliceSet) -> np.ndarray:
    """Lesion pixels per slice [N]; for sets without labels, the slice position instead."""
    return slices.levels if slices.labels is None else (slices.labels > 0).sum((1, 2))


def without_mode(slices: SliceSet, rng: np.random.Generator) -> SliceSet:
    """N slices sampled with replacement, without the third of the slices with the smallest lesions (or none)."""
    size = lesion_sizes(slices)
    kept = np.flatnonzero(size > np.quantile(size, 1 / 3))
    return slices.select(rng.choice(kept, len(slices)))


def lesions_too_large(slices: SliceSet, rng: np.random.Generator) -> SliceSet:
    """N slices sampled with replacement, with probability proportional to lesion size + 1."""
    weight = lesion_sizes(slices).astype(float) + 1
    return slices.select(rng.choice(len(slices), len(slices), p=weight / weight.sum()))


def with_copies(slices: SliceSet, rng: np.random.Generator, training: SliceSet, kind: str, share: float) -> SliceSet:
    """A random `share` of the images replaced by copies of training images (`memorization.planted_copies`)."""
    n = max(1, round(share * len(slices)))
    images = slices.images.copy()
    at = rng.choice(len(slices), n, replace=False)
    images[at] = planted_copies(training.images, n, kind, int(rng.integers(2**31)))
    return replace(slices, images=images)


def faults(training: SliceSet, share: float = 0.05) -> dict[str, Callable]:
    """{name: function(SliceSet, random generator) -> SliceSet} of all faults; `share` of images that are copies."""
    found = {
        "blur": blurred,
        "noise": noisy,
        "wrong anatomy": with_rotated_disc,
        "dropped mode": without_mode,
        "lesion sizes": lesions_too_large,
    }
    copies = {f"copies, {kind}": partial(with_copies, training=training, kind=kind, share=share) for kind in KINDS}
    return found | copies
