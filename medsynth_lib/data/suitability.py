"""What the notebooks that train need of a data set."""

from __future__ import annotations

import numpy as np

from .slices import PARTS, SliceSet, Split

TRAINING_SLICES = 8  # the notebooks show and compute their first examples on a batch of eight
HELD_OUT_SUBJECTS = 2  # floors and intervals compare one half of the held-out subjects with the other


def lacking(slices: SliceSet, split: Split) -> str:
    """What the data lack for the notebooks that train, in one sentence; "" if nothing.

    These need TRAINING_SLICES slices for training, HELD_OUT_SUBJECTS subjects in holdout, and, where there are masks, a
    subject with a label in each part of the split, and for training a mask that is not one value everywhere.
    """
    everyone = slices.unique_subjects()
    size = f"{slices.source}: {len(slices)} slices of {len(everyone)} subjects"
    training = int(np.isin(slices.subjects, split.gen_train).sum())
    if training < TRAINING_SLICES:
        return (
            f"{size} leave {training} for training (gen_train), but the notebooks that train need at least "
            f"{TRAINING_SLICES} slices; add images (14 subjects are enough, with one slice each)."
        )
    if len(split.holdout) < HELD_OUT_SUBJECTS:
        return (
            f"{size} leave {len(split.holdout)} subject for the part holdout, but the notebooks that train need at "
            f"least {HELD_OUT_SUBJECTS}; add subjects (8 are enough), or name them in subjects.csv."
        )
    if slices.labels is None:
        return ""
    low, high = np.array([(mask.min(), mask.max()) for mask in slices.labels]).T  # one by one: they may lie on disk
    labelled, outlined = (set(slices.subjects[chosen].tolist()) for chosen in (high > 0, high > low))
    for part in PARTS:
        if labelled.isdisjoint(getattr(split, part)):
            return (
                f"{slices.source}: {len(labelled)} of {len(everyone)} subjects have a label in their masks, and none "
                f"of them is in the part {part}; add subjects with a label, or choose another seed."
            )
    if outlined.isdisjoint(split.gen_train):
        return (
            f"{slices.source}: every mask for training is one value everywhere, so nothing is outlined in it; save "
            "masks in which 0 is the background."
        )
    return ""
