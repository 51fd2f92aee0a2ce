"""Plausibility of generated masks: shares of empty and of impossible masks, compared with those of unseen real masks.

A mask is "impossible" if one of its measures exceeds the range of the real training masks. No anatomical knowledge is
built in, so this works for any labels: an enhancing rim separate from its lesion, for example, has an unusually long
border with the background.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import label

from ..core.portions import length, spans
from ..data.foreground import LENIENT_BACKGROUND
from ..data.slices import SliceSet

REJECTED = 0.01  # share of the training masks that exceed the limits


def _pieces(masks: np.ndarray) -> np.ndarray:
    """Number of 8-connected components of each mask, bool [N, H, W]: [N]."""
    neighbourhood = np.zeros((3, 3, 3))  # of pixels within a slice, so that one call labels all slices
    neighbourhood[1] = 1
    # Components are numbered slice by slice, so the running maximum is the number of components up to a slice.
    highest = np.maximum.accumulate(label(masks, neighbourhood)[0].max((1, 2)))
    return np.diff(highest, prepend=0)


def _outside(images: np.ndarray) -> np.ndarray:
    """Background pixels of images [N, C, H, W] that are connected to the image border: bool [N, H, W]."""
    neighbourhood = np.zeros((3, 3, 3))
    neighbourhood[1, 1], neighbourhood[1, :, 1] = 1, 1
    regions, count = label(images.max(axis=1) <= LENIENT_BACKGROUND, neighbourhood)
    touching = np.zeros(count + 1, bool)
    for edge in (regions[:, 0], regions[:, -1], regions[:, :, 0], regions[:, :, -1]):
        touching[edge] = True
    touching[0] = False
    return touching[regions]


def measures(slices: SliceSet) -> tuple[np.ndarray, list[str]]:
    """Measures of the masks: float [M, F] over the M slices whose mask is not empty, and their F names.

    Whole lesion: number of components, share of the image, share outside the filled foreground. Each label: number of
    components, share of the lesion, and the fractions of its border that touch each other label and the background
    (4-neighbours; 0 where the label is absent).
    """
    names = ["pieces of the lesion", "area of the lesion", "lesion outside the foreground"]
    for i, own in list(enumerate(slices.label_names))[1:]:
        touching = [f"{own} touching {other}" for j, other in enumerate(slices.label_names) if j != i]
        names += [f"pieces of {own}", f"share of {own}", *touching]
    filled = np.flatnonzero(slices.labels.any((1, 2)))
    tables = [_of_portion(slices, filled[span]) for span in spans(len(filled), length(slices.images))]
    return np.concatenate([np.empty((0, len(names))), *tables]), names


def _of_portion(slices: SliceSet, rows: np.ndarray) -> np.ndarray:
    """`measures` of the slices at `rows`, none with an empty mask: [len(rows), F]."""
    k, labels = len(slices.label_names), slices.labels[rows].astype(np.int64)
    lesion, area = labels > 0, (labels > 0).sum((1, 2))
    columns = [_pieces(lesion), lesion.mean((1, 2)), (lesion & _outside(slices.images[rows])).sum((1, 2)) / area]
    contacts = np.zeros((len(rows), k, k))
    for one, two in ((labels[:, 1:], labels[:, :-1]), (labels[:, :, 1:], labels[:, :, :-1])):
        pairs = (np.arange(len(rows))[:, None, None] * k + one) * k + two  # (slice, label, label) as one number
        counted = np.bincount(pairs.ravel(), minlength=contacts.size).reshape(contacts.shape)
        contacts += counted + counted.transpose(0, 2, 1)
    contacts[:, np.arange(k), np.arange(k)] = 0
    contacts /= np.maximum(contacts.sum(2, keepdims=True), 1)
    for i in range(1, k):
        mask, others = labels == i, [j for j in range(k) if j != i]
        columns += [_pieces(mask), mask.sum((1, 2)) / area, *contacts[:, i, others].T]
    return np.stack(columns, axis=1).astype(float)


def limits(found: np.ndarray) -> np.ndarray:
    """Upper limits [F] of measures [M, F]: the lowest common quantile at which at most REJECTED of the rows exceed any.

    The 99 % quantile of a single measure rejects 1 %, but those of many measures together reject many more. With
    fewer than 1 / REJECTED rows the limits are the largest values.
    """
    ranks = np.stack([np.searchsorted(np.sort(column), column) for column in found.T], axis=1)
    # A row is rejected when its highest rank in any measure is above the common rank.
    highest = np.sort(ranks.max(1))
    common = highest[len(highest) - 1 - int(REJECTED * len(highest))]
    return np.array([column[rank <= common].max() for column, rank in zip(found.T, ranks.T, strict=True)])


def mask_report(synthetic: SliceSet, training: SliceSet, holdout: SliceSet) -> dict:
    """Percent of empty masks, and of impossible ones among the others, for synthetic and for held-out real slices.

    Impossible: any measure above its limit (see `limits`). A few percent of unseen real masks are "impossible", too;
    their share "impossible_percent_real" is what a perfect generator would reach. "reasons": percent of synthetic masks
    beyond each limit, largest first. "masks", "masks_real": numbers of masks that are not empty.
    {} for sets without masks, and when all training masks are empty.
    """
    if training.labels is None:
        return {}
    real, names = measures(training)
    if not len(real):
        return {}
    limit = limits(real)
    out = {}
    for suffix, slices in (("", synthetic), ("_real", holdout)):
        found, _ = measures(slices)
        beyond = found > limit
        out[f"empty_percent{suffix}"] = round(100 * (1 - len(found) / len(slices)), 2)
        out[f"impossible_percent{suffix}"] = round(100 * float(beyond.any(1).mean()), 2) if len(found) else None
        out[f"masks{suffix}"] = len(found)
        if not suffix and len(found):
            shares = sorted(zip(100 * beyond.mean(0), names, strict=True), reverse=True)
            out["reasons"] = {name: round(float(share), 2) for share, name in shares if share}
    return out
