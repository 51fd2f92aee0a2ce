"""An arm trains and is measured per subject; mixing keeps the balance; sources without masks are refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from medsynth_lib.data.augment import augment, random_intensity_curve
from medsynth_lib.data.slices import DataError, SliceSet
from medsynth_lib.experiment.profiles import SegmentationSizes
from medsynth_lib.studies import arms
from medsynth_lib.studies.arms import both, train_arm

SIZES = SegmentationSizes(steps=60, batch_size=8, widths=(8, 16), learning_rate=1e-2, seeds=1)


def discs(n: int, seed: int, source: str = "made") -> SliceSet:
    """Bright discs on a dark ground; the disc is the label."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16]
    centre = rng.uniform(5, 11, (n, 2, 1, 1))
    labels = ((y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2 < 12).astype(np.uint8)
    images = np.where(labels, 0.6, -0.6) + rng.normal(0, 0.05, labels.shape)
    return SliceSet(
        images=images[:, None].clip(-1, 1).astype(np.float32),
        labels=labels,
        subjects=[f"{source}{i // 2}" for i in range(n)],
        channels=("x",),
        label_names=("background", "disc"),
        source=source,
    )


def test_an_easy_task_is_learnt_and_measured_per_subject(tmp_path):
    result = train_arm(discs(32, 0), discs(10, 1, "test"), SIZES, seed=0, folder=tmp_path)
    assert len(result["subjects"]) == 5 and result["whole"].shape == (5,) and result["per_label"].shape == (5, 1)
    assert result["whole"].mean() > 0.9
    assert result["record"]["images"] == 480


def test_what_is_drawn_where_nothing_is_costs_a_checkpoint_its_rank_and_has_its_area_in_mm2():
    slices = SliceSet(
        images=np.zeros((2, 1, 8, 8), np.float32),
        labels=np.stack([np.eye(8, dtype=np.uint8), np.zeros((8, 8), np.uint8)]),
        subjects=["ill", "healthy"],
        channels=("x",),
        label_names=("background", "lesion"),
        spacing=(2.0, 3.0),
        source="made",
    )

    class Answers:
        def __init__(self, extra):
            self.maps = torch.from_numpy(np.array(slices.labels))
            self.maps[1, 0, :extra] = 1

        def predict(self, images):
            return self.maps

    right, eager = (arms.validation_dice(slices)(Answers(extra))["distance"] for extra in (0, 4))
    assert right == 0 and eager == pytest.approx(1 - 2 * 8 / (8 + 12))
    found = arms.measured(Answers(4), slices)
    assert dict(zip(found["subjects"], found["whole"], strict=True))["ill"] == 1
    false = dict(zip(found["subjects"], found["false_mm2"], strict=True))
    assert false["healthy"].tolist() == [24.0, 24.0] and np.isnan(false["ill"]).all()


def test_both_repeats_the_smaller_set():
    mixed = both(discs(6, 0, "real"), discs(20, 1, "synthetic"))
    assert len(mixed) == 40
    assert sum(s.startswith("real") for s in mixed.subjects) == 20


def test_a_source_without_masks_is_refused(tmp_path):
    plain = SliceSet(
        images=np.zeros((4, 1, 16, 16), np.float32), subjects=list("abcd"), channels=("x",), source="plain"
    )
    with pytest.raises(DataError, match="plain: segmentation needs masks"):
        train_arm(plain, plain, SIZES, 0, tmp_path)


def test_a_test_subject_among_the_training_subjects_is_refused(tmp_path):
    training, test = discs(8, 0), discs(4, 1, "test")
    leaked = replace(training, subjects=[*training.subjects[:-1], "test1"])
    with pytest.raises(DataError, match=r"1 subject\(s\) are in the training set and in the test set .*test1"):
        train_arm(leaked, test, SIZES, 0, tmp_path)


def test_fine_tuning_starts_where_the_other_arm_ended(tmp_path):
    first = train_arm(discs(32, 0), discs(10, 1, "test"), SIZES, seed=0, folder=tmp_path / "first")
    short = replace(SIZES, steps=1)
    tuned = train_arm(discs(8, 2), discs(10, 1, "test"), short, 0, tmp_path / "tuned", start=tmp_path / "first")
    fresh = train_arm(discs(8, 2), discs(10, 1, "test"), short, 0, tmp_path / "fresh")
    assert tuned["whole"].mean() > 0.8 > 0.6 > fresh["whole"].mean()
    assert first["whole"].mean() > 0.9


def test_another_augmentation_is_another_arm(tmp_path):
    one, other = (
        train_arm(discs(8, 0), discs(4, 1, "test"), replace(SIZES, steps=2), 0, tmp_path, augment=a)
        for a in (augment, random_intensity_curve)
    )
    assert one["record"]["losses"] != other["record"]["losses"]
