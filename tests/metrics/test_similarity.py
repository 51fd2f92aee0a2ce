"""Nearness to a known truth: closed forms, another library, and a background that must not count."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from medsynth_lib.data.foreground import foreground
from medsynth_lib.metrics.similarity import similarity


def disc_images(n=4, seed=0):
    return np.random.default_rng(seed).uniform(-0.9, 1, (n, 1, 16, 16)).astype(np.float32)


def test_a_constant_offset_has_the_psnr_of_the_closed_form():
    truth = disc_images() * 0.5
    found = similarity(truth + 0.1, truth, list("aabb"), foreground(truth))
    assert found["psnr"] == pytest.approx([10 * np.log10(4 / 0.01)] * 2, abs=1e-3)
    assert found["error"] == pytest.approx([0.1, 0.1], abs=1e-6)


def test_like_scikit_image_where_everything_is_inside():
    truth, other = disc_images(1), disc_images(1, seed=1)
    found = similarity(other, truth, ["a"], np.ones((1, 16, 16), bool))
    assert found["psnr"][0] == pytest.approx(peak_signal_noise_ratio(truth[0, 0], other[0, 0], data_range=2), abs=1e-4)
    whole = structural_similarity(truth[0, 0], other[0, 0], data_range=2, full=True)[1].mean()
    assert found["ssim"][0] == pytest.approx(whole, abs=1e-6)


def test_the_background_does_not_count():
    truth = disc_images(2)
    truth[:, :, :8] = -1
    found = truth.copy()
    found[:, :, :4] = -0.99  # wrong, but in air
    inside = foreground(truth, found)
    assert not inside[:, :4].any()
    assert similarity(found, truth, ["a", "b"], inside)["error"] == pytest.approx([0, 0])


def test_subjects_count_once_each():
    truth = disc_images(3) * 0.5
    found = truth + np.array([0.1, 0.1, 0.3], np.float32)[:, None, None, None]
    assert similarity(found, truth, list("aab"), foreground(truth))["error"] == pytest.approx([0.1, 0.3], abs=1e-6)


def test_shapes_and_empty_slices_are_refused():
    truth = disc_images(2)
    with pytest.raises(ValueError, match="shapes differ"):
        similarity(truth[:1], truth, ["a", "b"], foreground(truth))
    with pytest.raises(ValueError, match="no pixel inside"):
        similarity(truth, truth, ["a", "b"], np.zeros((2, 16, 16), bool))
