"""The baselines of a translation: histograms that match, a curve that pairs teach and histograms cannot."""

import numpy as np
import pytest

from medsynth_lib.models.translation.baselines import PairedCurve, matched


def images(n, seed):
    return np.random.default_rng(seed).uniform(-0.9, 1, (n, 1, 32, 32)).astype(np.float32)


def test_a_matched_picture_has_the_reference_s_quantiles():
    found = matched(images(2, 0), images(5, 1) ** 3)
    levels = np.linspace(0.02, 0.98, 25)
    for image in found:
        assert np.quantile(image, levels) == pytest.approx((1.9 * levels - 0.9) ** 3, abs=0.08)


def test_a_rising_curve_is_undone_by_histograms_and_a_falling_one_is_not():
    image, reference = images(1, 0), images(20, 1)
    assert np.abs(matched(image, reference**3) - image**3).mean() < 0.05
    assert np.abs(matched(image, -(reference**3)) + image**3).mean() > 0.3


def test_the_paired_curve_is_the_conditional_mean():
    a = images(40, 0)
    b = np.cos(3 * a) + 0.1 * np.random.default_rng(1).standard_normal(a.shape)
    unseen = images(5, 2)
    assert PairedCurve(a, b)(unseen) == pytest.approx(np.cos(3 * unseen), abs=0.08)


def test_grey_values_that_no_pair_showed_are_interpolated():
    a = np.where(images(10, 0) > 0, 0.9, -0.9).astype(np.float32)
    assert PairedCurve(a, -a)(np.zeros((1, 1, 2, 2), np.float32)) == pytest.approx(0, abs=0.1)


def test_air_stays_air_however_small_the_head():
    image, reference = -np.ones((1, 1, 32, 32), np.float32), images(3, 1)
    image[:, :, 10:14, 10:14] = 0.5
    found = matched(image, reference)
    assert (found[image == -1] == -1).all() and np.isfinite(found).all()
    assert np.array_equal(matched(-np.ones((1, 1, 4, 4), np.float32), reference), -np.ones((1, 1, 4, 4)))
