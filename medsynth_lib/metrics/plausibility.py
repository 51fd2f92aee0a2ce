"""Are generated masks possible? Shares of empty and of impossible ones, beside the share among unseen real masks.

"Impossible" means: a measure of the mask beyond what real training masks show. It knows no anatomy of its own, so it
holds for any labels: an enhancing rim away from its lesion shows as an unusual contact with the background.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import label

from ..core.portions import length, spans
from ..data.slices import SliceSet

BACKGROUND = -0.9  # an image value below, in every channel, is empty background
REJECTED = 0.01  # share of the training masks that the limits turn away


def _pieces(masks: np.ndarray) -> np.ndarray:
    """8-connected components in every mask of bool [N, H, W]: [N]. One call for all, joined within slices only."""
    joined = np.zeros((3, 3, 3))
    joined[1] = 1
    # Components are numbered slice by slice, so the highest number so far counts those of all slices so far.
    highest = np.maximum.accumulate(label(masks, joined)[0].max((1, 2)))
    return np.diff(highest, prepend=0)


def _outside(images: np.ndarray) -> np.ndarray:
    """Pixels of [N, C, H, W] that are empty and connected with the border through empty pixels: bool [N, H, W]."""
    joined = np.zeros((3, 3, 3))
    joined[1, 1], joined[1, :, 1] = 1, 1
    regions, count = label(images.max(axis=1) <= BACKGROUND, joined)
    touching = np.zeros(count + 1, bool)
    for edge in (regions[:, 0], regions[:, -1], regions[:, :, 0], regions[:, :, -1]):
        touching[edge] = True
    touching[0] = False
    return touching[regions]


def measures(slices: SliceSet) -> tuple[np.ndarray, list[str]]:
    """What each slice with a mask shows: float [M, F] over the M slices whose mask is not empty, and F names.

    Of the whole lesion: its pieces, its share of the image, its share outside the filled foreground. Of every label:
    its pieces, its share of the lesion, and which part of its outline touches each other label or the background
    (4-neighbours; 0 where the label is absent).
    """
    names = ["pieces of the lesion", "area of the lesion", "lesion outside the foreground"]
    for i, own in list(enumerate(slices.label_names))[1:]:
        touching = [f"{own} touching {other}" for j, other in enumerate(slices.label_names) if j != i]
        names += [f"pieces of {own}", f"share of {own}", *touching]
    drawn = np.flatnonzero(slices.labels.any((1, 2)))
    tables = [_of_portion(slices, drawn[span]) for span in spans(len(drawn), length(slices.images))]
    return np.concatenate([np.empty((0, len(names))), *tables]), names


def _of_portion(slices: SliceSet, rows: np.ndarray) -> np.ndarray:
    """`measures` of the slices at `rows`, none with an empty mask: [len(rows), F]."""
    k, labels = len(slices.label_names), slices.labels[rows].astype(np.int64)
    lesion, area = labels > 0, (labels > 0).sum((1, 2))
    columns = [_pieces(lesion), lesion.mean((1, 2)), (lesion & _outside(slices.images[rows])).sum((1, 2)) / area]
    contacts = np.zeros((len(rows), k, k))
    for one, two in ((labels[:, 1:], labels[:, :-1]), (labels[:, :, 1:], labels[:, :, :-1])):
        codes = (np.arange(len(rows))[:, None, None] * k + one) * k + two
        counted = np.bincount(codes.ravel(), minlength=contacts.size).reshape(contacts.shape)
        contacts += counted + counted.transpose(0, 2, 1)
    contacts[:, np.arange(k), np.arange(k)] = 0
    contacts /= np.maximum(contacts.sum(2, keepdims=True), 1)
    for i in range(1, k):
        mask, others = labels == i, [j for j in range(k) if j != i]
        columns += [_pieces(mask), mask.sum((1, 2)) / area, *contacts[:, i, others].T]
    return np.stack(columns, axis=1).astype(float)


def limits(found: np.ndarray) -> np.ndarray:
    """Upper limit of each measure of [M, F]: one common quantile, as low as rejecting at most REJECTED allows: [F].

    One measure at its 99 % quantile rejects 1 %, but many measures at theirs together reject much more. With fewer
    than 1 / REJECTED rows the limits are the largest values seen.
    """
    ranks = np.stack([np.searchsorted(np.sort(column), column) for column in found.T], axis=1)
    # A row is rejected when its highest rank in any measure is beyond the common level.
    highest = np.sort(ranks.max(1))
    level = highest[len(highest) - 1 - int(REJECTED * len(highest))]
    return np.array([column[rank <= level].max() for column, rank in zip(found.T, ranks.T, strict=True)])


def mask_report(synthetic: SliceSet, training: SliceSet, holdout: SliceSet) -> dict:
    """Percent of empty masks and of impossible ones among the others, for synthetic and for holdout real slices.

    Impossible: any measure above its limit (see `limits`). Unseen real masks are "impossible" in a few percent too:
    that share, "impossible_percent_real", is the null beside the number. "reasons": percent of synthetic masks
    beyond each limit, largest first. "masks", "masks_real": how many masks that are not empty were judged.
    Sets without masks, and training masks that are all empty, give {}.
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
