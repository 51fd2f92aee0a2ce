"""Distances against closed forms, and what the features must and must not notice."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.ndimage import gaussian_filter

from medsynth_lib.metrics.fidelity import (
    FeatureSpace,
    distance_with_floor,
    features,
    frechet_distance,
    shrink,
    unbiased_mmd,
)


def pictures(n, seed, mode="blob"):
    """Discs of random place and size with texture."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    centre, radius = rng.uniform(13, 19, (n, 2, 1, 1)), rng.uniform(8, 12, (n, 1, 1))
    inside = (y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2 < radius**2
    texture = gaussian_filter(rng.normal(0, 1, (n, 32, 32)), (0, 1, 1)) * 0.3
    return np.where(inside, 0.2 + texture, -1).clip(-1, 1)[:, None].astype(np.float32)


def test_frechet_equals_the_matrix_root_form():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (300, 5)) @ rng.normal(0, 1, (5, 5)), rng.normal(0.5, 2, (200, 5))
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * sqrtm(ca @ cb).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="too few"):
        frechet_distance(a[:9], b)


def test_mmd_equals_the_double_loop_and_is_unbiased():
    rng = np.random.default_rng(1)
    a, b, h = rng.normal(0, 1, (12, 3)), rng.normal(1, 1, (9, 3)), 1.3

    def k(x, y):
        return np.exp(-((x - y) ** 2).sum() / (2 * h**2))

    aa = np.mean([k(a[i], a[j]) for i in range(12) for j in range(12) if i != j])
    bb = np.mean([k(b[i], b[j]) for i in range(9) for j in range(9) if i != j])
    assert unbiased_mmd(a, b, h) == pytest.approx(aa + bb - 2 * np.mean([k(x, y) for x in a for y in b]))
    same = [unbiased_mmd(*rng.normal(0, 1, (2, 40, 3))) for _ in range(60)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(60) + 1e-4


def test_blur_noise_and_shift_raise_the_distance_above_the_floor():
    train, holdout = pictures(200, 0), pictures(120, 1)
    space = FeatureSpace(train, dimensions=8)
    people = np.repeat(np.arange(40), 3)
    a, b = space(train), space(holdout)
    rng = np.random.default_rng(2)
    fresh = pictures(150, 5)
    good = distance_with_floor(space(fresh), a, b, people, seed=0)
    assert good["distance"] < 1.5 * good["distance_floor"]
    for bad in (
        gaussian_filter(fresh, (0, 0, 1, 1)),
        (fresh + 0.1 * rng.standard_normal(fresh.shape)).clip(-1, 1).astype(np.float32),
        np.roll(fresh, 5, axis=-1),
    ):
        result = distance_with_floor(space(bad), a, b, people, seed=0)
        assert result["distance"] > 3 * result["distance_floor"]
        assert result["distance_n"] == 120 and result["mmd"] > result["mmd_floor"]


def test_features_refuse_nan_and_survive_constant_images():
    assert np.isfinite(features(np.full((3, 1, 32, 32), -1, np.float32))).all()
    with pytest.raises(ValueError, match="NaN"):
        features(np.full((3, 1, 32, 32), np.nan, np.float32))


def test_shrinking_is_block_means():
    images = np.arange(2 * 128 * 128, dtype=np.float32).reshape(1, 2, 128, 128)
    assert shrink(images).shape == (1, 2, 64, 64)
    assert shrink(images)[0, 0, 0, 0] == images[0, 0, :2, :2].mean()
