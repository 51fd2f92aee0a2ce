"""One arm of the comparison: compose its training set, train a segmenter, evaluate it on the real test subjects."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.checkpoints import load_weights
from ..core.trainer import fit
from ..data.augment import augment
from ..data.joint import tensors_of
from ..data.slices import DataError, SliceSet, concatenate
from ..data.suitability import require_masks
from ..experiment.profiles import SegmentationSizes
from ..metrics.overlap import dice_per_subject, false_alarms, pooled_dice
from ..models.registry import method_class
from ..models.segmentation.segmenter import Segmenter
from . import segmentation_plan


def both(real: SliceSet, synthetic: SliceSet, amount: int | None = None) -> SliceSet:
    """Real and synthetic slices in equal numbers: the smaller set is repeated (Akbar et al. mix 1 : 1).

    With `amount`, all real slices once and `amount` synthetic ones for each (repeated where there are not so many).
    """
    n = max(len(real), len(synthetic))
    counts = (n, n) if amount is None else (len(real), amount * len(real))
    parts = (part.select(np.arange(n) % len(part)) for part, n in zip((real, synthetic), counts, strict=True))
    return concatenate(*parts)


def some_subjects(slices: SliceSet, n: int | None, seed: int) -> SliceSet:
    """The slices of at most n random subjects (None: all); with one seed, few are a subset of more."""
    names = np.array(sorted(set(slices.subjects.tolist())))
    order = np.random.default_rng(seed).permutation(len(names))
    return slices.of_subjects(names[order[:n]]) if n else slices


def pooled(sets: list[SliceSet]) -> SliceSet:
    """Equally many slices of each set, together as many as the smallest set has."""
    each = min(map(len, sets)) // len(sets)
    return reduce(concatenate, [part.select(np.arange(each)) for part in sets])


def new_segmenter(name: str, channels: int, n_labels: int, sizes: SegmentationSizes) -> Segmenter:
    """The segmenter called `name`, as large as the profile's `sizes` say."""
    width, rate = sizes.widths, sizes.learning_rate
    if name == "swin":
        width, rate = [sizes.swin_width], sizes.swin_learning_rate
    return method_class(name, "segmenter")(channels, n_labels, width, rate)


def validation_dice(validation: SliceSet) -> Callable[[Segmenter], dict[str, float]]:
    """A `monitor` for `fit`: 1 - mean over labels of the Dice of all validation slices pooled (smaller is better).

    Pooled, so that what is drawn in slices without a label counts, too: synthetic slices are of no subject.
    """
    images = torch.from_numpy(np.array(validation.images))

    def evaluate(segmenter: Segmenter) -> dict[str, float]:
        found = segmenter.predict(images).numpy()
        per_label = pooled_dice(found, validation.labels, len(validation.label_names))
        return {"distance": 1 - float(np.nanmean(per_label)) if np.isfinite(per_label).any() else 1.0}

    return evaluate


def keep_apart(test: SliceSet, training: SliceSet, validation: SliceSet | None = None) -> None:
    """DataError when one of the sets has no masks, or when the test set shares a subject with another one."""
    sets = {"training": training} | ({} if validation is None else {"validation": validation})
    require_masks(*sets.values(), test)
    for name, slices in sets.items():
        if shared := sorted(set(slices.subjects.tolist()) & set(test.subjects.tolist())):
            raise DataError(
                f"{len(shared)} subject(s) are in the {name} set and in the test set (the first: {shared[0]}); split "
                "by subject before anything is trained."
            )


def fine_tuned(folder: Path, start: Path) -> Path:
    """The folder below `folder` of a training that began with the weights in `start`, which its key does not cover."""
    return folder / f"from-{load_weights(start)[1]['key']}"


def fitted(
    training: SliceSet,
    sizes: SegmentationSizes,
    seed: int,
    folder: Path,
    augment: Callable | None = augment,
    start: Path | None = None,
    segmenter: str = "unet",
    validation: SliceSet | None = None,
) -> tuple[Segmenter, dict]:
    """A segmenter trained on `training` for `sizes.steps` steps, and the record of `fit`.

    It begins with random weights, or with those of the finished training in the folder `start` (fine-tuning). The
    number of optimiser steps and of slices seen does not depend on the size of `training`. The weights are the last
    ones or, with `validation`, those with the best Dice on it.
    Raises ValueError for an unknown segmenter, or one that cannot take images of this size.
    """
    segmentation_plan.check([segmenter], training.size)
    torch.manual_seed(seed)
    net = new_segmenter(segmenter, len(training.channels), len(training.label_names), sizes)
    if start:
        net.load(load_weights(start)[0])
        folder = fine_tuned(folder, start)
    record = fit(
        net,
        tensors_of(training),
        folder,
        images=sizes.steps * sizes.batch_size,
        batch_size=sizes.batch_size,
        seed=seed,
        augment=augment,
        monitor=validation_dice(validation) if validation is not None else None,
    )
    return net, record


def measured(net: Segmenter, test: SliceSet) -> dict:
    """Dice per subject: {"subjects" [S], "whole" [S], "per_label" [S, K - 1], "predictions" uint8 [N, H, W]}.

    "false_mm2" [S, K] is the area drawn in subjects without the label, any label first; NaN in all others.
    """
    predictions = net.predict(torch.from_numpy(np.array(test.images))).numpy()
    compared = predictions, test.labels, test.subjects, len(test.label_names)
    subjects, per_label, whole = dice_per_subject(*compared)
    found = {"subjects": list(subjects), "per_label": per_label, "whole": whole, "predictions": predictions}
    return found | {"false_mm2": false_alarms(*compared) * float(np.prod(test.spacing))}


def train_arm(
    training: SliceSet,
    test: SliceSet,
    sizes: SegmentationSizes,
    seed: int,
    folder: Path,
    validation: SliceSet | None = None,
    **how: Any,
) -> dict:
    """Train a segmenter on `training` (see `fitted`, also for `how`) and evaluate it on `test`, which selects nothing.

    Returns {"record"} and what `measured` returns. Raises what `fitted` raises, and DataError when the sets have no
    masks or the test set shares a subject with another one.
    """
    keep_apart(test, training, validation)
    net, record = fitted(training, sizes, seed, folder, validation=validation, **how)
    return {"record": record, **measured(net, test)}
