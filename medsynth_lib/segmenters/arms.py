"""One arm of the comparison: train a segmenter on this training set, measure it on the real test subjects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..checkpoints import load_weights
from ..data.slices import DataError, SliceSet, concatenate
from ..generators.joint import tensors_of
from ..metrics.overlap import dice_per_subject
from ..training import fit
from .augment import augment
from .unet import UNetSegmenter


def require_masks(*sets: SliceSet) -> None:
    """DataError when one of the sets has no masks."""
    for slices in sets:
        if slices.labels is None:
            raise DataError(
                f"{slices.source}: segmentation needs masks, but this source has none; use another DATA, or leave "
                'out 06 and 07: NOTEBOOKS="00 01 02 05".'
            )


def both(real: SliceSet, synthetic: SliceSet) -> SliceSet:
    """Real and synthetic slices in equal numbers: the smaller set is repeated (Akbar et al. mix 1 : 1)."""
    n = max(len(real), len(synthetic))
    real, synthetic = (part.select(np.arange(n) % len(part)) for part in (real, synthetic))
    return concatenate(real, synthetic)


def train_arm(
    training: SliceSet, test: SliceSet, sizes, seed: int, folder: Path, augment=augment, start: Path | None = None
) -> dict:
    """Train a U-Net on `training` for `sizes.steps` steps and return its Dice on `test`, per subject.

    It begins with random weights, or with those of the finished arm in the folder `start` (fine-tuning).

    The number of optimiser steps and of slices seen is the same in every arm, whatever the size of `training`;
    the last weights are used, so nothing is chosen on test subjects.
    Returns {"record", "subjects" [S], "whole" [S], "per_label" [S, K - 1], "predictions" uint8 [N, H, W]}.
    Raises DataError when the sets have no masks or share a subject.
    """
    require_masks(training, test)
    shared = sorted(set(training.subjects.tolist()) & set(test.subjects.tolist()))
    if shared:
        raise DataError(
            f"{len(shared)} subject(s) stand in the training set and in the test set (the first: {shared[0]}); split "
            "by subject before anything is trained."
        )
    torch.manual_seed(seed)
    segmenter = UNetSegmenter(len(training.channels), len(training.label_names), sizes.channels, sizes.learning_rate)
    if start:
        weights, config = load_weights(start)
        segmenter.load(weights)
        folder = folder / f"from-{config['key']}"  # other weights to begin with are another training
    record = fit(
        segmenter,
        tensors_of(training),
        folder,
        images=sizes.steps * sizes.batch_size,
        batch_size=sizes.batch_size,
        seed=seed,
        augment=augment,
    )
    predictions = segmenter.predict(torch.from_numpy(np.array(test.images))).numpy()
    subjects, per_label, whole = dice_per_subject(predictions, test.labels, test.subjects, len(test.label_names))
    return {
        "record": record,
        "subjects": list(subjects),
        "per_label": per_label,
        "whole": whole,
        "predictions": predictions,
    }
