"""Masks as a condition: the head is found, a transplanted lesion stays inside it, `without_head` is the inverse."""

import numpy as np
import pytest

from medsynth_lib.data.masks import transplant_lesions, with_head, without_head
from medsynth_lib.data.slices import DataError, SliceSet


def subject_slices(n=6, size=32, lesion=True):
    """Round heads with a dark hole; every second one with a lesion of two labels, left of the middle."""
    y, x = np.mgrid[:size, :size] - size // 2
    head = (y**2 + x**2) < 12**2
    images = np.where(head, 0.2, -1.0).astype(np.float32)
    images[size // 2, size // 2] = -1
    labels = np.zeros((n, size, size), np.uint8)
    if lesion:
        labels[::2, 14:20, 8:14] = 1
        labels[::2, 16:18, 10:12] = 2
    return SliceSet(
        images=np.repeat(images[None, None], n, axis=0),
        labels=labels,
        subjects=[f"p{k}" for k in range(n)],
        channels=("x",),
        label_names=("background", "oedema", "core"),
        source="made",
    )


def test_the_head_is_the_label_below_the_lesion_s_without_holes():
    slices = subject_slices()
    found = with_head(slices)
    assert found.label_names == ("background", "head", "oedema", "core")
    assert found.labels[1, 16, 16] == 1 and found.labels[1, 0, 0] == 0 and found.labels[0, 16, 11] == 3
    assert np.array_equal(without_head(found.labels), slices.labels)
    with pytest.raises(DataError, match="has no masks"):
        with_head(SliceSet(images=slices.images, subjects=slices.subjects, channels=("x",), source="made"))


def test_a_transplanted_lesion_stays_inside_the_head_with_its_parts_and_about_its_size():
    labels = with_head(subject_slices()).labels
    new = transplant_lesions(labels, 40, seed=0)
    assert new.shape == (40, 32, 32) and new.dtype == np.uint8 and set(np.unique(new)) == {0, 1, 2, 3}
    assert np.array_equal(new > 0, np.repeat(labels[1:2] > 0, 40, axis=0))
    area = (new > 1).sum(axis=(1, 2))
    assert 0.25 < (area == 0).mean() < 0.75  # as many without lesion as in the masks given
    assert (area[area > 0] > 0.45 * 36).all() and (area[area > 0] < 1.8 * 36).all()
    centres = {tuple(np.argwhere(mask > 1).mean(axis=0).round()) for mask in new[area > 0]}
    assert len(centres) > 10
    assert np.array_equal(transplant_lesions(labels, 40, seed=0), new) and not np.array_equal(
        transplant_lesions(labels, 40, seed=1), new
    )


def test_without_lesions_there_is_nothing_to_move():
    labels = with_head(subject_slices(lesion=False)).labels
    assert set(np.unique(transplant_lesions(labels, 5, seed=0))) == {0, 1}
