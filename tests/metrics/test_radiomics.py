"""Radiomics against scikit-image's co-occurrence matrices, scipy's moments and closed forms."""

import numpy as np
import pytest
from scipy import stats
from skimage.feature import graycomatrix, graycoprops

from medsynth_lib.metrics import radiomics as module
from medsynth_lib.metrics.radiomics import BINS, INTENSITY, SHAPE, TEXTURE, cooccurrence, names, radiomics


def disc_images(n=3, c=2, size=20, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.uniform(-0.7, 1, (n, c, size, size)).astype(np.float32)
    images[..., :4, :] = -1  # background
    return images


def column(table, name, channels=("a", "b"), channel="a"):
    return table[:, names(channels).index(f"{channel}: {name}")]


def test_every_column_has_a_name():
    assert (
        radiomics(disc_images()).shape
        == (3, len(names(("a", "b"))))
        == (3, 2 * (len(INTENSITY) + len(TEXTURE)) + len(SHAPE))
    )


def test_intensities_are_those_of_scipy():
    images = disc_images()
    inside = images[:, 0][:, 4:].reshape(3, -1).astype(float)
    table = radiomics(images)
    assert column(table, "mean") == pytest.approx(inside.mean(1))
    assert column(table, "variance") == pytest.approx(inside.var(1))
    assert column(table, "skewness") == pytest.approx(stats.skew(inside, axis=1))
    assert column(table, "excess kurtosis") == pytest.approx(stats.kurtosis(inside, axis=1))
    low = np.quantile(inside, 0.1, axis=1, method="inverted_cdf")
    assert column(table, "10th percentile") == pytest.approx(low)
    counts = [np.bincount(((x + 1) / 2 * BINS).astype(int), minlength=BINS) for x in inside]
    entropy = [stats.entropy(count / count.sum(), base=2) for count in counts]
    assert column(table, "histogram entropy") == pytest.approx(entropy)


def test_texture_is_that_of_scikit_image():
    """Where the whole image is foreground; the matrices of four directions are added up before they are read."""
    images = np.random.default_rng(1).uniform(-0.7, 1, (2, 1, 16, 16)).astype(np.float32)
    table = radiomics(images)
    for row, image in zip(table, images[:, 0], strict=True):
        levels = ((image + 1) / 2 * BINS).astype(np.uint8)
        angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
        counts = graycomatrix(levels, [1], angles, BINS, symmetric=True).sum(3, keepdims=True)
        shares = counts / counts.sum()
        found = dict(zip(names(("a",)), row, strict=True))
        for mine, theirs in (
            ("contrast", "contrast"),
            ("correlation", "correlation"),
            ("inverse difference moment", "homogeneity"),
            ("angular second moment", "ASM"),
        ):
            assert found[f"a: {mine}"] == pytest.approx(graycoprops(shares, theirs)[0, 0]), mine
        assert found["a: joint entropy"] == pytest.approx(stats.entropy(shares.ravel(), base=2))


def test_only_pairs_inside_the_foreground_count():
    bins, inside = np.zeros((1, 1, 3, 3), int), np.zeros((1, 1, 3, 3), bool)
    bins[0, 0, 0] = 3
    inside[0, 0, :2, 0] = True  # one pair: 3 above 0
    shares = cooccurrence(bins, inside)[0, 0]
    assert shares[0, 3] == shares[3, 0] == 0.5 and shares.sum() == 1


def test_shape_of_an_ellipse():
    y, x = np.mgrid[:64, :64]
    inside = ((y - 30) / 10) ** 2 + ((x - 36) / 20) ** 2 < 1
    images = np.where(inside, 0.3, -1.0).astype(np.float32)[None, None]
    area, row, across, elongation = radiomics(images)[0, -4:]
    assert area == pytest.approx(np.pi * 200 / 64**2, rel=0.02)
    assert (row, across) == pytest.approx((30 / 64 - 0.5, 36 / 64 - 0.5), abs=1e-6)
    assert elongation == pytest.approx(0.5, rel=0.03)


def test_nothing_breaks_on_empty_and_constant_pictures():
    assert np.isfinite(radiomics(np.full((2, 3, 16, 16), -1, np.float32))).all()
    assert np.isfinite(radiomics(np.full((2, 3, 16, 16), 0.5, np.float32))).all()
    with pytest.raises(ValueError, match="NaN"):
        radiomics(np.full((2, 3, 16, 16), np.nan, np.float32))


# pyradiomics 3.0.1 (numpy 2.4) of the image below: intensities as they are, texture and entropy of its BINS grey
# levels (binWidth 1), force2D, one symmetric matrix per direction, values averaged over the four directions.
PYRADIOMICS = {
    "mean": -0.0017888070392776474,
    "variance": 0.1417013974557239,
    "skewness": -0.095322798175918,
    "excess kurtosis": 1.8393944819978978 - 3,  # theirs is 3 for a normal law
    "histogram entropy": 3.491049476784012,
    "contrast": 1.1761107932875667,
    "correlation": 0.9361245770980116,
    "joint entropy": 5.3419504689071395,
    "angular second moment": 0.028647539634850568,
    "inverse difference moment": 0.621355358504958,
}


def test_agrees_with_pyradiomics(monkeypatch):
    """It is hard to install, so its numbers are kept here. One direction at a time: we merge the matrices instead."""
    y, x = np.mgrid[:24, :24]
    image = (0.5 * np.sin(x / 3 + y / 7) + 0.2 * np.cos(y / 2)).astype(np.float32)
    image[:4] = -1
    found = []
    for direction in module.DIRECTIONS:
        with monkeypatch.context() as patch:
            patch.setattr(module, "DIRECTIONS", (direction,))
            found.append(radiomics(image[None, None])[0])
    mine = dict(zip(names(("a",)), np.mean(found, axis=0), strict=True))
    for name, theirs in PYRADIOMICS.items():
        assert mine[f"a: {name}"] == pytest.approx(theirs, rel=1e-5), name


def test_background_pixels_of_one_channel_count_where_another_shows_something():
    images = np.full((1, 2, 16, 16), -1, np.float32)
    images[0, 0, 4:12, 4:12] = 0.5
    table = radiomics(images)
    assert column(table, "mean", channel="b") == pytest.approx(-1)
    assert column(table, "mean", channel="a") == pytest.approx(0.5)


def test_grain_in_the_black_is_no_tissue():
    images = disc_images()
    grain = images.copy()
    grain[..., :4, :] += np.random.default_rng(0).uniform(0, 0.1, grain[..., :4, :].shape)
    assert radiomics(grain) == pytest.approx(radiomics(images))
