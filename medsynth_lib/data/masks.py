"""Masks for mask-to-image networks: the head as an additional label, and lesions transplanted into other heads.

A lesion mask alone does not say where the head is. The condition therefore has the labels 0 = air, 1 = head, and the
source's labels increased by 1 (Shin et al. 2018 merge lesions and brain labels in the same way).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from .foreground import foreground
from .slices import DataError, SliceSet

TRIES = 20  # positions tried for each lesion


def with_head(slices: SliceSet) -> SliceSet:
    """`slices` with labels uint8 [N, H, W]: 0 air, 1 head, k + 1 for the source's label k.

    The head is the foreground after morphological closing and hole filling. Raises DataError without masks.
    """
    if slices.labels is None:
        raise DataError(f"{slices.source}: has no masks to generate images from; set DATA to a source with masks.")
    closed = (ndimage.binary_fill_holes(ndimage.binary_closing(head)) for head in foreground(slices.images))
    head = np.stack(list(closed))
    labels = np.where(slices.labels > 0, slices.labels + 1, head).astype(np.uint8)
    return replace(slices, labels=labels, label_names=(slices.label_names[0], "head", *slices.label_names[1:]))


def without_head(labels: np.ndarray) -> np.ndarray:
    """The inverse of `with_head` on labels [N, H, W] or [H, W]: the source's labels, uint8, 0 = background."""
    return np.where(labels > 1, labels - 1, 0).astype(np.uint8)


def transplant_lesions(labels: np.ndarray, n: int, seed: int) -> np.ndarray:
    """n new masks uint8 [n, H, W] from masks [N, H, W] of `with_head`: the lesion of one mask in the head of another.

    Head and lesion come from randomly chosen masks. The lesion is mirrored, rotated by any angle, scaled by 0.7 to 1.3
    and moved; a position is accepted if at least 95 % of the lesion lie inside the head. The new mask has no lesion if
    the chosen mask has none or if no position is accepted.
    """
    rng = np.random.default_rng(seed)
    out = np.empty((n, *labels.shape[1:]), np.uint8)
    for k in range(n):
        head, lesion = labels[rng.integers(len(labels))] > 0, without_head(labels[rng.integers(len(labels))])
        out[k] = head
        for _ in range(TRIES if lesion.any() and head.any() else 0):
            placed = _random_position(lesion, head, rng)
            inside = (placed > 0) & head
            if inside.sum() >= 0.95 * (placed > 0).sum() > 0:
                out[k] = np.where(inside, placed + 1, head)
                break
    return out


def _random_position(lesion: np.ndarray, head: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The lesion [H, W] after a random transform, with its centre at a random pixel of the head [H, W]."""
    angle, scale = rng.uniform(0, 2 * np.pi), rng.uniform(0.7, 1.3)
    mirror = np.diag([1, rng.choice([-1, 1])])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ mirror / scale
    target = rng.choice(np.argwhere(head))
    centre = np.argwhere(lesion > 0).mean(axis=0)
    return ndimage.affine_transform(lesion, turn, offset=centre - turn @ target, order=0)
