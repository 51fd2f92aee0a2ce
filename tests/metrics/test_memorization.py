"""The audit finds planted copies, flags few unseen subjects, and is not misled by blur."""

import numpy as np
import pytest
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter

from medsynth_lib.core import portions
from medsynth_lib.data.slices import SliceSet
from medsynth_lib.metrics import memorization
from medsynth_lib.metrics.memorization import (
    KINDS,
    best_correlation,
    copy_audit,
    filtered,
    matching_sigma,
    negative_control,
    planted_copies,
    roughness,
)


def as_smooth_as(images, target):
    """`images` filtered to the roughness of `target`, and the sigma of the filter."""
    sigma = matching_sigma(images, roughness(target))
    return filtered(images, sigma), sigma


def subject_slices(n, seed, source, per_subject=2) -> SliceSet:
    """Blobs with coarse and fine individual texture on a black ground; slices of one subject are alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    inside = (y - 16) ** 2 + (x - 16) ** 2 < 13**2
    coarse = gaussian_filter(rng.normal(0, 1, (n, 1, 32, 32)), (0, 0, 3, 3)) * 2.5
    images = np.repeat(coarse, per_subject, axis=0)
    images = images + gaussian_filter(rng.normal(0, 1, images.shape), (0, 0, 0.8, 0.8)) * 0.5
    images = np.where(inside, (0.3 * images).clip(-0.8, 1), -1).astype(np.float32)
    subjects = np.repeat([f"{source}{i}" for i in range(n)], per_subject)
    return SliceSet(images=images, subjects=subjects, channels=("x",), source=source)


TRAIN, HOLDOUT = subject_slices(60, 0, "t"), subject_slices(150, 1, "h")


def test_best_correlation_equals_numpy_without_shift_or_mirror():
    queries, training = TRAIN.images[:5], HOLDOUT.images[:7]
    inside = training.mean((0, 1)) > -0.9
    expected = np.corrcoef(queries[:, 0, inside], training[:, 0, inside])[:5, 5:]
    flipped = np.corrcoef(queries[:, 0, :, ::-1][:, inside], training[:, 0, inside])[:5, 5:]
    r, index = best_correlation(queries, training, shift=0)
    both = np.stack([expected, flipped])
    assert r == pytest.approx(both.max((0, 2)), abs=1e-5)
    assert np.array_equal(index, both.max(0).argmax(1))


@pytest.mark.parametrize("kind", ["exact", "noise", "shift+gain"])
def test_planted_copies_are_found(kind):
    copies = planted_copies(TRAIN.images, 50, kind, seed=0)
    audit = copy_audit(copies, TRAIN, HOLDOUT)
    assert audit["plain"]["percent"] > 90


def test_a_mirrored_and_shifted_copy_is_found_and_named():
    copies = np.roll(TRAIN.images[10:14, :, :, ::-1], 1, axis=2)
    r, index = best_correlation(copies, TRAIN.images)
    assert (r > 0.97).all() and np.array_equal(index, [10, 11, 12, 13])


def test_unseen_subjects_are_flagged_about_as_often_as_expected():
    audit = copy_audit(subject_slices(200, 7, "n").images, TRAIN, HOLDOUT)
    low, high = audit["plain"]["ci95"]
    assert low <= 2.0 and audit["plain"]["percent"] < 4
    assert audit["expected_percent"] == pytest.approx(1)
    assert audit["negative_control"]["percent"] < 5


def test_blur_looks_like_copying_to_the_plain_null_but_not_to_the_smooth_one():
    """Subjects who share their coarse anatomy and differ in fine texture, as brains do at this size."""
    common = subject_slices(1, 3, "common", per_subject=1).images

    def alike(n, seed, source):
        fine = gaussian_filter(np.random.default_rng(seed).normal(0, 1, (n, 1, 32, 32)), (0, 0, 0.8, 0.8))
        images = np.where(common > -0.9, (common + 1.5 * fine).clip(-0.85, 1), -1).astype(np.float32)
        return SliceSet(images=images, subjects=[f"{source}{i}" for i in range(n)], channels=("x",), source=source)

    blurred = gaussian_filter(alike(200, 9, "b").images, (0, 0, 1, 1))
    audit = copy_audit(blurred, alike(100, 10, "t"), alike(200, 11, "h"))
    assert audit["plain"]["percent"] > 10
    assert audit["smooth"]["percent"] < 5
    assert audit["smooth"]["sigma_pixels"] == pytest.approx(1, abs=0.3)


def test_smoothing_reaches_the_target_and_never_sharpens():
    target = gaussian_filter(HOLDOUT.images, (0, 0, 1, 1))
    matched, sigma = as_smooth_as(TRAIN.images, target)
    assert roughness(matched) == pytest.approx(roughness(target), rel=0.05) and sigma > 0
    assert as_smooth_as(target, HOLDOUT.images)[1] == 0


def test_every_kind_of_copy_changes_the_image_as_it_says():
    copies = {kind: planted_copies(TRAIN.images, 20, kind, seed=0) for kind in KINDS}
    exact = copies.pop("exact")
    assert all(any(np.array_equal(copy, image) for image in TRAIN.images) for copy in exact)
    for copy in copies.values():
        assert copy.dtype == np.float32 and copy.min() >= -1 and copy.max() <= 1
        assert 0 < np.abs(copy - exact).mean() < 0.2


def test_unknown_kind_lists_the_known():
    with pytest.raises(ValueError, match="exact, noise, shift\\+gain, rotation"):
        planted_copies(TRAIN.images, 2, "mirror", 0)


def large(n, seed) -> np.ndarray:
    """64-pixel images that fill the frame: the search averages them down by 2."""
    return (
        (0.5 * gaussian_filter(np.random.default_rng(seed).normal(0, 1, (n, 2, 64, 64)), (0, 0, 2, 2)) * 6)
        .astype(np.float32)
        .clip(-1, 1)
    )


@pytest.mark.parametrize("dy, dx", [(0, 1), (-1, 1), (2, -1), (2, 2)])
def test_every_move_within_reach_is_undone_in_half_steps_of_the_search(dy, dx):
    training = large(12, 0)
    for copies in (training[:5], training[:5, ..., ::-1]):
        moved = np.roll(copies, (dy, dx), axis=(2, 3))
        r, index = best_correlation(moved, training)
        # Only the border, which the move brought in from the other side, differs.
        assert (r > 0.93).all() and np.array_equal(index, range(5))
        moved[..., :4, :], moved[..., -4:, :], moved[..., :4], moved[..., -4:] = (-1.0,) * 4
        inner = training.copy()
        inner[..., :4, :], inner[..., -4:, :], inner[..., :4], inner[..., -4:] = (-1.0,) * 4
        assert (best_correlation(moved, inner)[0] > best_correlation(moved, inner, shift=0)[0]).all()


def test_more_queries_than_one_portion_and_odd_sizes():
    training = large(8, 1)[:, :, :63, :63]
    r, index = best_correlation(np.tile(training, (70, 1, 1, 1)), training)
    assert np.allclose(r, 1, atol=1e-5) and np.array_equal(index, np.tile(np.arange(8), 70))


def test_a_mix_with_copies_is_flagged_by_their_share():
    honest = subject_slices(200, 7, "n").images[::2]
    for share in (5, 20):
        mixed = np.concatenate([planted_copies(TRAIN.images, 2 * share, "exact", 0), honest])[:200]
        audit = copy_audit(mixed, TRAIN, HOLDOUT)
        assert 2 * share / len(mixed) <= audit["plain"]["percent"] / 100 < 2 * share / len(mixed) + 0.05
        first = audit["nearest_pairs"][0]
        assert len(audit["nearest_pairs"]) == 8 and first["r"] > 0.999 and first["synthetic"] < 2 * share
        assert first["subject"] == TRAIN.subjects[first["training"]]


def test_noise_is_not_called_a_copy_and_shows_in_the_roughness():
    noise = np.random.default_rng(0).normal(0, 0.5, (100, 1, 32, 32)).clip(-1, 1).astype(np.float32)
    audit = copy_audit(noise, TRAIN, HOLDOUT)
    assert audit["plain"]["percent"] == audit["smooth"]["percent"] == 0
    assert audit["roughness_ratio"] > 2 and audit["smooth"]["sigma_pixels"] == 0
    assert 0.8 < copy_audit(subject_slices(100, 3, "n").images, TRAIN, HOLDOUT)["roughness_ratio"] < 1.25


def test_roughness_ignores_contrast_and_brightness():
    assert roughness(0.5 * HOLDOUT.images + 0.3) == pytest.approx(roughness(HOLDOUT.images), rel=1e-4)


def test_the_negative_control_knows_that_slices_of_one_subject_fall_together():
    rng = np.random.default_rng(0)
    subjects = np.repeat(np.arange(100), 8)
    null = np.repeat(rng.normal(0.8, 0.05, 100), 8) + rng.normal(0, 0.005, 800)
    control = negative_control(null, subjects, seed=0)
    low, high = control["ci95"]
    assert 0.5 < control["percent"] < 4 and low <= 1 <= high
    alone = negative_control(rng.permutation(null), subjects, seed=0)["ci95"]
    assert high - low > 1.5 * (alone[1] - alone[0])


def test_a_subject_on_both_sides_nan_and_a_lonely_subject_raise_a_sentence():
    with pytest.raises(ValueError, match="training and holdout"):
        copy_audit(TRAIN.images, TRAIN, TRAIN)
    with pytest.raises(ValueError, match="NaN"):
        best_correlation(TRAIN.images * np.nan, TRAIN.images)
    with pytest.raises(ValueError, match="one shape"):
        best_correlation(TRAIN.images[..., :16], TRAIN.images)
    with pytest.raises(ValueError, match="one subject"):
        negative_control(np.ones(4), np.zeros(4), 0)


def test_the_generators_own_softness_may_be_the_null():
    """Held-out subjects through a crude decoder (block means): samples that are as crude are honest by it."""

    def crude(images):
        return np.repeat(np.repeat(images.reshape(-1, 1, 8, 4, 8, 4).mean((3, 5)), 4, axis=2), 4, axis=3)

    samples = crude(subject_slices(200, 7, "n").images)
    audit = copy_audit(samples, TRAIN, HOLDOUT, reconstructed=crude(HOLDOUT.images))
    assert audit["smooth"]["sigma_pixels"] is None and audit["smooth"]["percent"] < 5
    assert audit["smooth"]["cut"] != audit["plain"]["cut"]


@pytest.fixture
def small_portions(monkeypatch):
    """Neither the queries nor the training images fit one portion, one block, or a whole number of them."""
    for module, name, size in ((portions, "PORTION", 3), (memorization, "QUERIES", 4), (memorization, "BLOCK", 7)):
        monkeypatch.setattr(module, name, size)


def test_the_search_in_portions_equals_numpy(small_portions):
    queries, training = TRAIN.images[:10], HOLDOUT.images[:17]
    inside = training.mean((0, 1)) > -0.9
    tables = [np.corrcoef(x[:, 0][:, inside], training[:, 0, inside])[:10, 10:] for x in (queries, queries[..., ::-1])]
    r, index = best_correlation(queries, training, shift=0)
    assert r == pytest.approx(np.max(tables, axis=0).max(1), abs=1e-5)
    assert np.array_equal(index, np.max(tables, axis=0).argmax(1)) and index.max() >= 14, "one is in the last block"


def test_copies_in_every_portion_are_found_with_half_steps_and_named(small_portions):
    training = large(17, 4)
    order = np.random.default_rng(0).permutation(17)
    r, index = best_correlation(np.roll(training[order], (1, -1), axis=(2, 3)), training)
    assert np.array_equal(index, order) and (r > 0.9).all()
    assert (r > best_correlation(np.roll(training[order], (1, -1), axis=(2, 3)), training, shift=0)[0] + 0.01).all()


def test_blurred_on_the_way_is_blurred_before(small_portions):
    """Queries that the search blurs portion by portion, against images that were blurred as a whole."""
    queries, training = TRAIN.images[:10], HOLDOUT.images[:17]
    blurred = gaussian_filter(queries, (0, 0, 2.0, 2.0), mode="reflect", truncate=8)
    assert filtered(queries, 2.0) == pytest.approx(blurred, abs=1e-3)
    r, index = best_correlation(queries, training, sigma=2.0)
    expected, at = best_correlation(blurred, training)
    assert r == pytest.approx(expected, abs=1e-3) and np.array_equal(index, at)
    assert np.abs(r - best_correlation(queries, training)[0]).max() > 0.01


def test_roughness_in_portions_is_that_of_all(small_portions):
    power = (dctn(HOLDOUT.images.astype(float), axes=(-2, -1), norm="ortho") ** 2).mean((0, 1))
    power[0, 0] = 0
    high = np.hypot(*np.meshgrid(np.arange(32) / 64, np.arange(32) / 64)) > 0.25
    assert roughness(HOLDOUT.images) == pytest.approx(power[high].sum() / power.sum(), rel=1e-5)
    sigma = matching_sigma(HOLDOUT.images, 0.5 * roughness(HOLDOUT.images))
    matched, same = as_smooth_as(HOLDOUT.images, filtered(HOLDOUT.images, sigma))
    assert same == pytest.approx(sigma, rel=1e-2) and len(matched) == len(HOLDOUT)
    assert roughness(matched) == pytest.approx(0.5 * roughness(HOLDOUT.images), rel=0.01)
    assert roughness(HOLDOUT.images, sigma) == pytest.approx(roughness(filtered(HOLDOUT.images, sigma)), rel=1e-4)
    assert np.array_equal(as_smooth_as(matched, HOLDOUT.images)[0], matched)


def test_the_audit_blurs_the_holdout_as_it_says(small_portions):
    soft = filtered(subject_slices(20, 7, "n").images, 1.2)
    train, holdout = TRAIN.select(slice(0, 17)), HOLDOUT.select(slice(0, 61))
    audit = copy_audit(soft, train, holdout)
    sigma = audit["smooth"]["sigma_pixels"]
    assert sigma == pytest.approx(1.2, abs=0.3)
    expected, _ = best_correlation(filtered(holdout.images, sigma), train.images)
    assert audit["r_null_smooth"] == pytest.approx(expected, abs=1e-6)
