"""Distances against closed forms."""

import numpy as np
import pytest
from disc_images import disc_images
from scipy.linalg import sqrtm
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist, pdist

from medsynth_lib.core import portions
from medsynth_lib.metrics import fidelity
from medsynth_lib.metrics.features import FeatureSpace
from medsynth_lib.metrics.fidelity import distance_with_floor, frechet_distance, unbiased_mmd


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
    a, b = rng.normal(0, 1, (12, 3)), rng.normal(1, 1, (9, 3))
    h = np.median([np.linalg.norm(b[i] - b[j]) for i in range(9) for j in range(i)])

    def k(x, y):
        return np.exp(-((x - y) ** 2).sum() / (2 * h**2))

    aa = np.mean([k(a[i], a[j]) for i in range(12) for j in range(12) if i != j])
    bb = np.mean([k(b[i], b[j]) for i in range(9) for j in range(9) if i != j])
    assert unbiased_mmd(a, b) == pytest.approx(aa + bb - 2 * np.mean([k(x, y) for x in a for y in b]))
    same = [unbiased_mmd(*rng.normal(0, 1, (2, 40, 3))) for _ in range(60)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(60) + 1e-4


def test_blur_noise_and_shift_raise_the_distance_above_the_floor():
    train, holdout = disc_images(200, 0), disc_images(120, 1)
    space = FeatureSpace(train, dimensions=8)
    subjects = np.repeat(np.arange(40), 3)
    a, b = space(train), space(holdout)
    rng = np.random.default_rng(2)
    fresh = disc_images(150, 5)
    good = distance_with_floor(space(fresh), a, b, subjects, seed=0)
    assert good["distance"] < 1.5 * good["distance_floor"]
    for bad in (
        gaussian_filter(fresh, (0, 0, 1, 1)),
        (fresh + 0.1 * rng.standard_normal(fresh.shape)).clip(-1, 1).astype(np.float32),
        np.roll(fresh, 5, axis=-1),
    ):
        result = distance_with_floor(space(bad), a, b, subjects, seed=0)
        assert result["distance"] > 3 * result["distance_floor"]
        assert result["distance_n"] == 120 and result["mmd"] > result["mmd_floor"]


def gaussian(n, mean, covariance, seed):
    """n rows whose SAMPLE mean and covariance are exactly these."""
    raw = np.random.default_rng(seed).normal(0, 1, (n, len(mean)))
    raw -= raw.mean(0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False))).T
    return white @ np.linalg.cholesky(covariance).T + mean


def test_frechet_of_known_gaussians():
    """Commuting covariances: |mu|^2 + sum (sqrt(a) - sqrt(b))^2; also where one is nearly singular."""
    for b_values in ([1.0, 9.0], [1e-12, 9.0]):
        a = gaussian(50, [0.0, 0.0], np.diag([4.0, 1.0]), 0)
        b = gaussian(70, [3.0, 4.0], np.diag(b_values), 1)
        expected = 25 + (2 - np.sqrt(b_values[0])) ** 2 + (1 - 3) ** 2
        assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-5)


def test_polynomial_mmd_equals_the_double_loop():
    rng = np.random.default_rng(4)
    a, b = rng.normal(0, 1, (8, 3)), rng.normal(1, 1, (7, 3))

    def k(x, y):
        return (x @ y / 3 + 1) ** 3

    aa = np.mean([k(a[i], a[j]) for i in range(8) for j in range(8) if i != j])
    bb = np.mean([k(b[i], b[j]) for i in range(7) for j in range(7) if i != j])
    expected = aa + bb - 2 * np.mean([k(x, y) for x in a for y in b])
    assert unbiased_mmd(a, b, kernel="polynomial") == pytest.approx(expected)


def test_n_decides_the_frechet_distance_of_equal_distributions():
    samples = np.random.default_rng(6).normal(0, 1, (2, 10, 400, 8))
    small, large = (
        np.mean([frechet_distance(a[:n], b[:n]) for a, b in zip(*samples, strict=True)]) for n in (100, 400)
    )
    assert 3 < small / large < 5  # the bias goes as 1 / n


def test_the_interval_is_as_wide_as_the_variation_over_held_out_subjects():
    rng = np.random.default_rng(7)

    def subject_features(n, slices):
        return (rng.normal(0, 0.8, (n, 1, 3)) + rng.normal(0, 0.6, (n, slices, 3))).reshape(-1, 3)

    synthetic, subjects, results = subject_features(400, 1) + 0.4, np.repeat(np.arange(40), 4), []
    for seed in range(60):
        results.append(
            distance_with_floor(synthetic, subject_features(80, 4), subject_features(40, 4), subjects, seed, repeats=2)
        )
    centre, spread = (f([r["distance"] for r in results]) for f in (np.mean, np.std))
    widths = [np.diff(r["distance_ci95"])[0] / (2 * 2.262) for r in results]
    assert 0.75 < np.mean(widths) / spread < 1.35
    covered = np.mean([r["distance_ci95"][0] < centre < r["distance_ci95"][1] for r in results])
    assert covered > 0.85


@pytest.mark.parametrize(
    "call, sentence",
    [
        (lambda x: frechet_distance(x, x * np.nan), "NaN"),
        (lambda x: frechet_distance(x, x[:, :2]), "do not fit"),
        (lambda x: unbiased_mmd(x, x[:1]), "at least two"),
        (lambda x: distance_with_floor(x, x, x, np.zeros(len(x)), 0), "one subject"),
    ],
)
def test_wrong_features_raise_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(np.random.default_rng(0).normal(0, 1, (20, 3)))


def test_distances_are_those_of_torchmetrics():
    """torchmetrics 1.9.0, FrechetInceptionDistance on these features and poly_mmd (equal n; numbers kept here)."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (120, 6)), 1.1 * rng.normal(0, 1, (100, 6)) + 0.2
    assert frechet_distance(a, b) == pytest.approx(0.5795659834790818, rel=1e-6)
    assert unbiased_mmd(a[:100], b, kernel="polynomial") == pytest.approx(0.2600630760750291, rel=1e-6)


@pytest.mark.parametrize("cells", [1, 50, 10**6])
def test_mmd_in_blocks_is_that_of_all_pairs(monkeypatch, cells):
    monkeypatch.setattr(portions, "CELLS", cells)
    rng = np.random.default_rng(8)
    a, b = rng.normal(0, 1, (23, 3)), rng.normal(1, 1, (17, 3))
    h = np.median(pdist(b))
    kernels = {
        "rbf": lambda x, y: np.exp(-cdist(x, y, "sqeuclidean") / (2 * h**2)),
        "polynomial": lambda x, y: (x @ y.T / 3 + 1) ** 3,
    }
    for name, k in kernels.items():
        within = [k(x, x)[~np.eye(len(x), dtype=bool)].mean() for x in (a, b)]
        assert unbiased_mmd(a, b, name) == pytest.approx(sum(within) - 2 * k(a, b).mean())


def test_the_bandwidth_of_a_large_reference_is_that_of_some_of_its_rows(monkeypatch):
    """Near rows and far rows by turns: the median distance is that of both kinds."""
    rng = np.random.default_rng(9)
    a, b = rng.normal(0, 1, (30, 2)), rng.normal(0, 1, (600, 2)) * np.tile([[0.1], [3.0]], (300, 1))
    of_all = unbiased_mmd(a, b)
    monkeypatch.setattr(fidelity, "ROWS", 300)
    found = unbiased_mmd(a, b)
    assert found == unbiased_mmd(a, b) != of_all
    assert found == pytest.approx(of_all, rel=0.1)
