"""What the notebooks after 00 need of a data set."""

from __future__ import annotations

import numpy as np

from .slices import PARTS, DataError, SliceSet, Split

TRAINING_SLICES = 8  # the notebooks show and compute their first examples on a batch of eight
HELD_OUT_SUBJECTS = 2  # floors and intervals compare one half of the held-out subjects with the other
# Where more than one slice each is needed of them: five neighbours of a slice, four slices in each half
HELD_OUT_SLICES = {"05_ddpm": 6, "07_evaluation": 8}


def lacking(slices: SliceSet, split: Split, notebook: str = "07_evaluation") -> str:
    """What the data lack for a notebook after 00, in one sentence; "" if nothing. The default needs most.

    Each needs TRAINING_SLICES slices for training, HELD_OUT_SUBJECTS subjects in holdout and, where there are masks, a
    subject with a label in each part and, for training, a mask that is not one value everywhere.
    """
    everyone = slices.unique_subjects()
    size = f"{slices.source}: {len(slices)} slices of {len(everyone)} subjects"
    training = int(np.isin(slices.subjects, split.gen_train).sum())
    if training < TRAINING_SLICES:
        return (
            f"{size} leave {training} for training (gen_train), but {notebook} needs at least {TRAINING_SLICES}; add "
            "images (38 subjects are enough for all notebooks, with one slice each)."
        )
    held_out, people = int(np.isin(slices.subjects, split.holdout).sum()), len(split.holdout)
    needed = HELD_OUT_SLICES.get(notebook, HELD_OUT_SUBJECTS)
    if held_out < needed or people < HELD_OUT_SUBJECTS:
        return (
            f"{size} leave {held_out} of {people} subject(s) for the part holdout, but {notebook} needs at least "
            f"{needed} of {HELD_OUT_SUBJECTS}; add images (38 subjects are enough for all, with one slice each)."
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


def require_masks(*sets: SliceSet) -> None:
    """DataError when one of the sets has no masks."""
    for slices in sets:
        if slices.labels is None:
            raise DataError(
                f"{slices.source}: segmentation needs masks, but this source has none; use another DATA, or leave "
                'out 06 and 07: NOTEBOOKS="00 01 02 05".'
            )


def require_contrasts(slices: SliceSet) -> None:
    """DataError when the images have one channel only."""
    if len(slices.channels) == 1:
        raise DataError(
            f"{slices.source}: this notebook needs several contrasts of each slice, but this source has one; use "
            "another DATA (phantom, braintumour, brats), or leave this notebook out."
        )
