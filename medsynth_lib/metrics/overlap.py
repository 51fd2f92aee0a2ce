"""Overlap of predicted and true masks, per subject on stacked slices."""

from __future__ import annotations

import numpy as np

from ..core.portions import length, spans


def dice(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Dice (1945) of two boolean masks of equal shape: 2 |A and B| / (|A| + |B|).

    Both empty: NaN (nothing to find and nothing found; left out of means and counted). One empty: 0.
    """
    total = int(predicted.sum()) + int(truth.sum())
    return 2 * int((predicted & truth).sum()) / total if total else float("nan")


def iou(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Intersection over union (Jaccard 1901) of boolean masks [N, H, W], per slice: [N]; NaN where both are empty."""
    union = (predicted | truth).sum(axis=(1, 2))
    return np.where(union > 0, (predicted & truth).sum(axis=(1, 2)) / np.maximum(union, 1), np.nan)


def dice_per_subject(predicted, truth, subjects, n_labels: int):
    """Dice per subject on all of its slices together, never a mean over slices.

    predicted, truth  whole numbers [N, H, W] in 0 ... n_labels - 1; subjects [N]; n_labels counts the background.
    Returns (subject ids [S], per label [S, n_labels - 1], whole lesion (any label > 0) [S]).
    Raises ValueError when shapes differ or a value is no label.
    """
    predicted, truth, subjects = np.asarray(predicted), np.asarray(truth), np.asarray(subjects)
    if predicted.shape != truth.shape or len(subjects) != len(truth) or not len(truth):
        raise ValueError(
            f"predictions {predicted.shape}, truth {truth.shape} and {len(subjects)} subjects do not fit together; "
            "give one prediction and one subject per true mask."
        )
    for name, maps in (("predicted", predicted), ("true", truth)):
        # NaN and fractions (probabilities) end here too.
        if not all(np.isin(maps[span], np.arange(n_labels)).all() for span in spans(len(maps), length(maps))):
            raise ValueError(f"the {name} masks hold values other than 0 ... {n_labels - 1}; take the argmax first.")
    ids = sorted(set(subjects.tolist()))
    per_label, whole = np.empty((len(ids), n_labels - 1)), np.empty(len(ids))
    for row, subject in enumerate(ids):
        mine = subjects == subject
        p, t = predicted[mine], truth[mine]
        per_label[row] = [dice(p == k, t == k) for k in range(1, n_labels)]
        whole[row] = dice(p > 0, t > 0)
    return ids, per_label, whole
