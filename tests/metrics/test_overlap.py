"""Dice per subject against MONAI, and the empty-mask rule."""

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice, compute_iou

from medsynth_lib.metrics.overlap import dice, dice_per_subject, false_alarms, iou, mean_over_labels, pooled_dice


def test_stacked_slices_agree_with_monai_in_3d():
    rng = np.random.default_rng(0)
    predicted, truth = rng.integers(0, 3, (2, 12, 9, 9)).astype(np.uint8)
    subjects = np.repeat(["a", "b", "c"], 4)
    ids, per_label, whole = dice_per_subject(predicted, truth, subjects, 3)
    assert ids == ["a", "b", "c"]
    for row, subject in enumerate(ids):
        p, t = (torch.from_numpy(x[subjects == subject])[None] for x in (predicted, truth))
        one_hot = [torch.stack([x == k for k in range(3)], 1).float() for x in (p, t)]
        assert per_label[row] == pytest.approx(compute_dice(*one_hot, include_background=False)[0].numpy(), abs=1e-6)
        both = compute_dice((p > 0)[None].float(), (t > 0)[None].float()).item()
        assert whole[row] == pytest.approx(both, abs=1e-6)


def test_a_missed_lesion_scores_zero_and_nothing_to_find_is_left_open_as_in_monai():
    empty, full = np.zeros((2, 4, 4), bool), np.ones((2, 4, 4), bool)
    assert dice(empty, full) == 0 and dice(full, full) == 1
    for predicted in (empty, full):
        one = torch.from_numpy(predicted)[None, None].float()
        assert np.isnan(dice(predicted, empty)) and compute_dice(one, torch.zeros_like(one)).isnan().all()


def test_a_mean_over_slices_would_be_another_number():
    truth = np.zeros((2, 4, 4), np.uint8)
    truth[0] = 1
    truth[1, 0, 0] = 1
    predicted = truth.copy()
    predicted[1, 0, 0] = 0
    assert dice_per_subject(predicted, truth, ["a", "a"], 2)[2][0] == pytest.approx(32 / 33)


def test_shapes_must_fit():
    with pytest.raises(ValueError, match="do not fit together"):
        dice_per_subject(np.zeros((2, 4, 4)), np.zeros((3, 4, 4)), ["a", "a", "a"], 2)


def test_pooled_dice_is_that_of_all_slices_as_one_volume():
    truth, predicted = np.zeros((2, 3, 4, 4), np.uint8)
    truth[0, 0], predicted[0, 0, :2], predicted[2, 0, :2] = 1, 1, 1
    found = pooled_dice(predicted, truth, 3)
    assert found[0] == pytest.approx(2 * 2 / (4 + 4)) and np.isnan(found[1])


def test_the_mean_over_labels_is_that_of_the_labels_that_a_subject_has():
    nan = np.nan
    found = mean_over_labels(np.array([[0.2, 0.4], [0.0, nan], [nan, nan]]))
    assert found[:2] == pytest.approx([0.3, 0.0]) and np.isnan(found[2])


def test_subjects_without_the_label_are_counted_apart():
    truth, predicted = np.zeros((2, 4, 4, 4), np.uint8)
    truth[1, 0, 0], predicted[2, 0], truth[3, 0, 0], predicted[3, 1, :3] = 1, 2, 2, 1
    names = ["clean", "missed", "invented", "other label"]
    ids, per_label, whole = dice_per_subject(predicted, truth, names, 3)
    alarms = dict(zip(ids, false_alarms(predicted, truth, names, 3), strict=True))
    assert dict(zip(ids, np.isnan(whole), strict=True)) == {
        "clean": True,
        "invented": True,
        "missed": False,
        "other label": False,
    }
    assert np.array_equal(np.isnan(per_label[:, 0]), [name != "missed" for name in ids])
    assert alarms["clean"].tolist() == [0, 0, 0] and alarms["invented"].tolist() == [4, 0, 4]
    assert np.isnan(alarms["missed"][:2]).all() and alarms["missed"][2] == 0
    assert np.isnan(alarms["other label"][[0, 2]]).all() and alarms["other label"][1] == 3


@pytest.mark.parametrize("value", [np.nan, 0.3, 2])
def test_values_that_are_no_label_are_refused(value):
    with pytest.raises(ValueError, match="predicted masks hold values other than 0 ... 1; take the argmax"):
        dice_per_subject(np.full((2, 4, 4), value), np.zeros((2, 4, 4), np.uint8), ["a", "b"], 2)


def test_iou_agrees_with_monai_and_is_open_where_both_are_empty():
    rng = np.random.default_rng(1)
    predicted, truth = rng.random((2, 5, 9, 9)) < 0.3
    expected = compute_iou(*(torch.from_numpy(x)[:, None] for x in (predicted, truth)))[:, 0]
    assert iou(predicted, truth) == pytest.approx(expected.numpy())
    predicted[0], truth[0], truth[1] = False, False, False
    found = iou(predicted, truth)
    assert np.isnan(found[0]) and found[1] == 0
