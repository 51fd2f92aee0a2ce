"""Portions: what is measured bit by bit is what is measured at once, and nothing at the border is lost or double."""

import numpy as np
import pytest
from disc_images import disc_images

from medsynth_lib.core import portions
from medsynth_lib.core.portions import blocks, length, mean_image, spans
from medsynth_lib.data.foreground import foreground
from medsynth_lib.data.slices import SliceSet
from medsynth_lib.metrics import plausibility, seams
from medsynth_lib.metrics.features import LayoutSpace, features, moment_features, shrink, wavelet_features
from medsynth_lib.metrics.overlap import dice_per_subject
from medsynth_lib.metrics.radiomics import _of_portion, radiomics

IMAGES = np.concatenate([disc_images(23, 0), -disc_images(23, 1)], axis=1)  # three portions of seven and a rest of two


@pytest.fixture(autouse=True)
def sevens(monkeypatch):
    monkeypatch.setattr(portions, "PORTION", 7)


def test_spans_cover_every_row_once():
    assert [(x.start, x.stop) for x in spans(23, 7)] == [(0, 7), (7, 14), (14, 21), (21, 23)]
    assert spans(21, 7)[-1] == slice(14, 21) and spans(0, 7) == []


def test_blocks_of_pairs_hold_at_most_so_many_cells(monkeypatch):
    monkeypatch.setattr(portions, "CELLS", 100)
    assert [x.stop - x.start for x in blocks(7, 30)] == [3, 3, 1]
    assert len(blocks(5, 1000)) == 5, "one row at least"


@pytest.mark.parametrize(("side", "most"), [(16, 7), (64, 7), (128, 1), (1024, 1)])
def test_large_pictures_come_in_smaller_portions(side, most):
    assert length(np.broadcast_to(np.float32(0), (99, 1, side, side))) == most


def test_portions_are_the_images_or_those_asked_for():
    assert [len(x) for x in portions.portions(IMAGES)] == [7, 7, 7, 2]
    assert np.array_equal(np.concatenate(list(portions.portions(IMAGES))), IMAGES)
    rows = np.array([22, 3, 3, 0, 7, 8, 14, 13])
    assert np.array_equal(np.concatenate(list(portions.portions(IMAGES, rows))), IMAGES[rows])


def test_a_bad_value_in_the_last_portion_is_found():
    bad = IMAGES.copy()
    bad[-1, 0, 3, 3] = np.inf
    for measure in (features, radiomics, LayoutSpace(IMAGES, 4)):
        with pytest.raises(ValueError, match="NaN or infinite"):
            measure(bad)


@pytest.mark.parametrize("n", [1, 6, 7, 8, 23])
def test_the_mean_picture_is_that_of_numpy_to_the_last_digit(n):
    found = mean_image(portions.portions(IMAGES[:n]))
    assert found.dtype == np.float32 and np.array_equal(found, IMAGES[:n].mean((0, 1)))


def test_features_are_those_of_all_images_at_once():
    large = IMAGES.repeat(4, axis=2).repeat(4, axis=3)  # 128 pixels, which are averaged down to 64: one at a time
    for images in (IMAGES, large):
        small = shrink(images)
        whole = np.concatenate([wavelet_features(small), moment_features(small)], axis=1).astype(np.float64)
        assert np.array_equal(features(images), whole)
        assert np.array_equal(radiomics(images), _of_portion(images.astype(np.float64)))


def test_a_layout_is_that_of_block_means_of_all_images():
    space = LayoutSpace(IMAGES, dimensions=128)
    flat = IMAGES.reshape(23, 2, 8, 4, 8, 4).mean((3, 5)).reshape(23, -1).astype(float)
    inner = (flat - flat.mean(0)) @ (flat - flat.mean(0)).T
    assert space(IMAGES) @ space(IMAGES).T == pytest.approx(inner, abs=1e-4)


def test_foreground_and_seams_of_all_images_at_once(monkeypatch):
    monkeypatch.setattr(seams, "IMAGES", 7)
    assert np.array_equal(foreground(IMAGES, -IMAGES), (np.maximum(IMAGES, -IMAGES) > -0.95).any(1))
    rows, columns = (np.abs(np.diff(IMAGES.astype(float), axis=axis)) for axis in (2, 3))
    at = np.arange(7, 31, 8)  # the jump from pixel 7 to 8, 15 to 16, 23 to 24
    on = (rows[:, :, at].mean() + columns[..., at].mean()) / 2
    off = (np.delete(rows, at, 2).mean() + np.delete(columns, at, 3).mean()) / 2
    assert seams.seam_ratio(IMAGES, 8) == pytest.approx(on / off, rel=1e-5)


def test_masks_are_measured_one_by_one():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (23, 32, 32)).astype(np.uint8) * (rng.random((23, 32, 32)) < 0.1)
    labels[[0, 7, 20]] = 0
    people = [f"p{i}" for i in range(23)]
    slices = SliceSet(IMAGES, people, labels, channels=("x", "y"), label_names=("none", "rim", "core"))
    found, names = plausibility.measures(slices)
    alone = [plausibility.measures(slices.select([i]))[0] for i in range(23)]
    assert found.shape == (20, len(names)) and np.array_equal(found, np.concatenate(alone))


def test_a_value_that_is_no_label_is_found_in_the_last_portion():
    truth = np.zeros((23, 32, 32), np.uint8)
    wrong = truth.copy()
    wrong[-1, 0, 0] = 4
    with pytest.raises(ValueError, match="predicted masks hold values"):
        dice_per_subject(wrong, truth, np.arange(23), 3)
