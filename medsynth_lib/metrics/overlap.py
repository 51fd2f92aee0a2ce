"""Overlap of predicted and true masks, per subject over all of its slices together."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..core.portions import length, spans


def dice(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Dice (1945) of two boolean masks of equal shape: 2 |A and B| / (|A| + |B|).

    NaN without a truth, as in MONAI: the statistics leave it out and count it, see `false_alarms`. If a single wrong
    pixel there counted as 0 and none as nothing, two segmenters would be compared on different subjects.
    """
    if not truth.any():
        return float("nan")
    return 2 * int((predicted & truth).sum()) / (int(predicted.sum()) + int(truth.sum()))


def iou(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Intersection over union (Jaccard 1901) of boolean masks [N, H, W], per slice: [N]; NaN where both are empty."""
    union = (predicted | truth).sum(axis=(1, 2))
    return np.where(union > 0, (predicted & truth).sum(axis=(1, 2)) / np.maximum(union, 1), np.nan)


def dice_per_subject(
    predicted: ArrayLike, truth: ArrayLike, subjects: ArrayLike, n_labels: int
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Dice per subject over all of its slices together (not a mean over slices).

    predicted, truth  whole numbers [N, H, W] in 0 ... n_labels - 1; subjects [N]; n_labels includes the background
    Returns (subject ids [S], Dice per label [S, n_labels - 1], Dice of the whole lesion (any label > 0) [S]); NaN where
    a subject does not have the label. Raises ValueError when shapes differ or a value is no label.
    """
    predicted, truth, subjects = checked(predicted, truth, subjects, n_labels)
    ids = sorted(set(subjects.tolist()))
    per_label, whole = np.empty((len(ids), n_labels - 1)), np.empty(len(ids))
    for i, subject in enumerate(ids):
        rows = subjects == subject
        p, t = predicted[rows], truth[rows]
        per_label[i] = [dice(p == k, t == k) for k in range(1, n_labels)]
        whole[i] = dice(p > 0, t > 0)
    return ids, per_label, whole


def pooled_dice(predicted: ArrayLike, truth: ArrayLike, n_labels: int) -> np.ndarray:
    """Dice per label [n_labels - 1] of all slices [N, H, W] as if they were one volume; NaN for a label without truth.

    For synthetic slices, which are of no subject. Raises ValueError as `dice_per_subject`.
    """
    return dice_per_subject(predicted, truth, np.zeros(len(truth), np.uint8), n_labels)[1][0]


def mean_over_labels(per_label: np.ndarray) -> np.ndarray:
    """Per subject the mean [S] over the labels that it has (not NaN in `per_label` [S, K]); NaN without any."""
    there = np.isfinite(per_label)
    return np.where(there, per_label, 0).sum(1) / np.where(there.any(1), there.sum(1), np.nan)


def false_alarms(predicted: ArrayLike, truth: ArrayLike, subjects: ArrayLike, n_labels: int) -> np.ndarray:
    """Pixels of each label that are predicted in subjects who do not have it: [S, n_labels], any label > 0 first.

    NaN where a subject has the label. Arguments, errors and the order of subjects as in `dice_per_subject`.
    """
    predicted, truth, subjects = checked(predicted, truth, subjects, n_labels)
    found = np.full((len(set(subjects.tolist())), n_labels), np.nan)
    for row, subject in zip(found, sorted(set(subjects.tolist())), strict=True):
        p, t = predicted[subjects == subject], truth[subjects == subject]
        row[0] = np.nan if t.any() else (p > 0).sum()
        row[1:] = [np.nan if (t == k).any() else (p == k).sum() for k in range(1, n_labels)]
    return found


def checked(
    predicted: ArrayLike, truth: ArrayLike, subjects: ArrayLike, n_labels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three as arrays; ValueError when shapes differ or a value is no label."""
    predicted, truth, subjects = np.asarray(predicted), np.asarray(truth), np.asarray(subjects)
    if predicted.shape != truth.shape or len(subjects) != len(truth) or not len(truth):
        raise ValueError(
            f"predictions {predicted.shape}, truth {truth.shape} and {len(subjects)} subjects do not fit together; "
            "give one prediction and one subject per true mask."
        )
    for name, maps in (("predicted", predicted), ("true", truth)):
        # This also rejects NaN and fractions (probabilities).
        if not all(np.isin(maps[span], np.arange(n_labels)).all() for span in spans(len(maps), length(maps))):
            raise ValueError(f"the {name} masks hold values other than 0 ... {n_labels - 1}; take the argmax first.")
    return predicted, truth, subjects
