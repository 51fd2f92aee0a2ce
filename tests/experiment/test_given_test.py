"""Planted copies across a given test part are found and left out; different images are not."""

import numpy as np
import pytest
from scipy import ndimage

from medsynth_lib.data.slices import SliceSet
from medsynth_lib.experiment.given_test import without_leaks


def images(seed, n):
    """Smooth images of different content, float32 [n, 1, 32, 32] in [-1, 1]."""
    noise = np.random.default_rng(seed).standard_normal((n, 1, 32, 32))
    smooth = ndimage.gaussian_filter(noise, (0, 0, 2, 2))
    return np.clip(smooth / np.abs(smooth).max(), -1, 1).astype(np.float32)


def a_set(training, testing):
    subjects = [f"train/{k}" for k in range(len(training))] + [f"test/{k}" for k in range(len(testing))]
    aside = [name for name in subjects if name.startswith("test")]
    return SliceSet(images=np.concatenate([training, testing]), subjects=subjects, channels=("image",), set_aside=aside)


@pytest.mark.parametrize(
    "again",
    [
        lambda x: x,
        lambda x: x[..., ::-1],
        lambda x: np.round(x * 40) / 40,  # as a lossy format leaves it
        lambda x: 0.6 * x - 0.3,  # brightness and contrast
        lambda x: np.roll(x, 1, axis=-1),
    ],
)
def test_copies_are_left_out_of_training(again, capsys):
    training, testing = images(0, 9), images(1, 5)
    training[4] = again(testing[2]).astype(np.float32)
    left = without_leaks(a_set(training, testing))
    assert set(a_set(training, testing).subjects) - set(left.subjects) == {"train/4"}
    assert "1 of 9 images" in left.processing["given test part"]
    assert "train/4 and test/2: left out" in capsys.readouterr().out


def test_other_images_stay(capsys):
    slices = a_set(images(0, 9), images(1, 5))
    left = without_leaks(slices)
    assert len(left) == len(slices) and "0 of 9 images" in capsys.readouterr().out


def test_without_a_given_part_nothing_happens(capsys):
    slices = SliceSet(images=images(0, 3), subjects=["a", "b", "c"], channels=("image",))
    assert without_leaks(slices) is slices and not capsys.readouterr().out
