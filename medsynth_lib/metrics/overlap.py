"""Overlap of predicted and true masks, per subject over all of its slices together."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..core.portions import length, spans


def dice(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Dice (1945) of two boolean masks of equal shape: 2 |A and B| / (|A| + |B|).

    Both empty: NaN, which the statistics leave out and count. One empty: 0.
    """
    total = int(predicted.sum()) + int(truth.sum())
    return 2 * int((predicted & truth).sum()) / total if total else float("nan")


def iou(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Intersection over union (Jaccard 1901) of boolean masks [N, H, W], per slice: [N]; NaN where both are empty."""
    union = (predicted | truth).sum(axis=(1, 2))
    return np.where(union > 0, (predicted & truth).sum(axis=(1, 2)) / np.maximum(union, 1), np.nan)


def dice_per_subject(
    predicted: ArrayLike, truth: ArrayLike, subjects: ArrayLike, n_labels: int
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Dice per subject over all of its slices together (not a mean over slices).

    predicted, truth  whole numbers [N, H, W] in 0 ... n_labels - 1; subjects [N]; n_labels includes the background
    Returns (subject ids [S], Dice per label [S, n_labels - 1], Dice of the whole lesion (any label > 0) [S]).
    Raises ValueError when shapes differ or a value is no label.
    """
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
    ids = sorted(set(subjects.tolist()))
    per_label, whole = np.empty((len(ids), n_labels - 1)), np.empty(len(ids))
    for i, subject in enumerate(ids):
        rows = subjects == subject
        p, t = predicted[rows], truth[rows]
        per_label[i] = [dice(p == k, t == k) for k in range(1, n_labels)]
        whole[i] = dice(p > 0, t > 0)
    return ids, per_label, whole
