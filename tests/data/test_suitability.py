"""What the notebooks cannot use is told in a sentence with numbers."""

from dataclasses import replace

import numpy as np
import pytest

from medsynth_lib.data.slices import PARTS, DataError, SliceSet, Split, split_subjects
from medsynth_lib.data.suitability import lacking, require_contrasts, require_masks

SIZES = {"gen_train": 10, "holdout": 8, "test": 3}
SPLIT = Split(*(tuple(f"{part}{k}" for k in range(n)) for part, n in SIZES.items()), seed=0)
NAMES = ("background", *(f"label {k}" for k in range(1, 30)))


def made(labels, names=NAMES, **more) -> SliceSet:
    """One slice for each subject of SPLIT; `labels` is a map [8, 8] for all, or a function of the subject."""
    subjects = [subject for part in PARTS for subject in getattr(SPLIT, part)]
    if labels is not None:
        labels = np.stack([labels(s) if callable(labels) else labels for s in subjects]).astype(np.uint8)
    images = np.random.default_rng(0).uniform(-1, 1, (len(subjects), 1, 8, 8)).astype(np.float32)
    return SliceSet(
        images=images, labels=labels, subjects=subjects, channels=("x",), label_names=names, source="own folder", **more
    )


EMPTY, FULL, HALF = np.zeros((8, 8)), np.ones((8, 8)), np.repeat([[0], [1]], [4, 4], axis=0) * np.ones(8)


@pytest.mark.parametrize(
    "slices",
    [
        made(HALF),
        made(HALF * 29),
        made(HALF + 1),
        made(lambda subject: HALF if subject.endswith("2") else EMPTY),
        made(lambda subject: HALF if subject == "gen_train4" else FULL),
        made(None, names=()),
        made(None, names=(), classes=np.arange(21) % 2, class_names=("well", "ill")),
    ],
)
def test_nothing_is_lacking(slices):
    assert lacking(slices, SPLIT) == ""


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (EMPTY, "0 of 21 subjects have a label in their masks"),
        (FULL, "every mask for training is one value everywhere, so nothing is outlined"),
        (lambda s: FULL if s[-1] in "02" else EMPTY, "every mask for training is one value everywhere"),
        (lambda s: HALF * (s == "test1"), "1 of 21 subjects have a label in their masks, and none of them is in the"),
        (
            lambda s: HALF * ("train" not in s),
            "11 of 21 subjects have a label in their masks, and none of them is in the",
        ),
        (lambda s: HALF * ("holdout" not in s), "13 of 21 subjects have a label"),
        (lambda s: HALF * ("test" not in s), "18 of 21 subjects have a label"),
    ],
)
def test_masks_from_which_nothing_can_be_learnt_or_measured(labels, sentence):
    assert lacking(made(labels), SPLIT).startswith(f"own folder: {sentence}")


@pytest.mark.parametrize("part", PARTS)
def test_the_part_without_a_label_is_named(part):
    told = lacking(made(lambda subject: HALF * (part not in subject)), SPLIT)
    assert f"none of them is in the part {part}; add subjects with a label, or choose another seed." in told


@pytest.mark.parametrize(
    ("subjects", "each", "sentence"),
    [
        (3, 1, "3 slices of 3 subjects leave 1 for training (gen_train), but 07_evaluation needs at least 8"),
        (10, 1, "10 slices of 10 subjects leave 6 for training"),
        (5, 9, "45 slices of 5 subjects leave 9 of 1 subject(s) for the part holdout, but 07"),
        (14, 1, "14 slices of 14 subjects leave 3 of 3 subject(s) for the part holdout"),
        (28, 1, "28 slices of 28 subjects leave 6 of 6 subject(s) for the part holdout"),
        (38, 1, ""),
        (8, 4, ""),
    ],
)
def test_how_much_is_enough(subjects, each, sentence):
    """The numbers that the sentences promise to be enough, are."""
    images = np.random.default_rng(0).uniform(-1, 1, (subjects * each, 1, 8, 8)).astype(np.float32)
    names = [f"s{k // each}" for k in range(subjects * each)]
    slices = SliceSet(images=images, subjects=names, channels=("x",), source="own folder")
    for seed in range(5):
        told = lacking(slices, split_subjects(slices, seed))
        assert sentence in told and bool(told) == bool(sentence)


@pytest.mark.parametrize(
    ("notebook", "sentence"),
    [("02_dcgan", ""), ("05_ddpm", "leave 3 of 3 subject(s) for the part holdout, but 05_ddpm needs at least 6 of 2")],
)
def test_not_every_notebook_needs_as_much(notebook, sentence):
    slices = made(None, names=()).select(np.array([True] * 10 + [False] * 5 + [True] * 6))
    split = Split(SPLIT.gen_train, SPLIT.holdout[5:], SPLIT.test, seed=0)
    told = lacking(slices, split, notebook)
    assert sentence in told and bool(told) == bool(sentence)


def test_masks_and_contrasts_are_asked_for():
    one = made(HALF)
    require_masks(one, one)
    with pytest.raises(DataError, match="segmentation needs masks, but this source has none"):
        require_masks(one, made(None, names=()))
    with pytest.raises(DataError, match="own folder: this notebook needs several contrasts of each slice"):
        require_contrasts(one)
    require_contrasts(replace(one, images=np.repeat(one.images, 2, axis=1), channels=("x", "y")))
