"""Planted faults do what they say, and leave the rest as it was."""

import numpy as np
import pytest

from medsynth_lib.data.slices import SliceSet
from medsynth_lib.metrics.faults import ROTATED, faults, lesion_sizes


def slices(n, seed, name="s"):
    rng = np.random.default_rng(seed)
    images = rng.uniform(-1, 1, (n, 2, 32, 32)).astype(np.float32)
    labels = np.zeros((n, 32, 32), np.uint8)
    for i in range(n):
        labels[i, 16 : 16 + i % 8, 10:18] = 1
    return SliceSet(
        images, [f"{name}{i}" for i in range(n)], labels, channels=("a", "b"), label_names=("background", "lesion")
    )


CLEAN, TRAIN = slices(80, 0), slices(40, 1, "t")


def planted(name):
    return faults(TRAIN)[name](CLEAN, np.random.default_rng(0))


@pytest.mark.parametrize("name", faults(TRAIN))
def test_a_fault_keeps_the_number_of_slices_and_is_a_valid_set(name):
    assert len(planted(name)) == len(CLEAN)
    assert not np.array_equal(planted(name).images, CLEAN.images)
    again = faults(TRAIN)[name](CLEAN, np.random.default_rng(0))
    assert np.array_equal(again.images, planted(name).images)


def test_blur_and_noise_keep_labels_and_move_the_variance():
    assert planted("blur").images.var() < CLEAN.images.var() < planted("noise").images.var() + 0.05
    for name in ("blur", "noise"):
        assert np.array_equal(planted(name).labels, CLEAN.labels)


def test_half_of_them_have_a_rotated_disc_and_no_pixel_is_lost():
    bad = planted("wrong anatomy")
    change = np.abs(bad.images - CLEAN.images)
    assert (change.max((1, 2, 3)) > 0).sum() == round(ROTATED * len(CLEAN))
    assert change[..., 14:18, 14:18].any() and not change[..., :6, :].any()
    assert np.array_equal(np.sort(bad.images.reshape(80, -1)), np.sort(CLEAN.images.reshape(80, -1)))
    assert bad.labels.sum() == CLEAN.labels.sum() and not np.array_equal(bad.labels, CLEAN.labels)


def test_a_mode_is_gone_and_the_distribution_of_sizes_is_another():
    least = np.quantile(lesion_sizes(CLEAN), 1 / 3)
    assert lesion_sizes(planted("dropped mode")).min() > least
    assert lesion_sizes(planted("lesion sizes")).mean() > 1.2 * lesion_sizes(CLEAN).mean()


def test_five_percent_are_copies():
    images = planted("copies, exact").images
    copied = [any(np.array_equal(x, t) for t in TRAIN.images) for x in images]
    assert sum(copied) == round(0.05 * len(CLEAN))
