"""The phantom: physics against hand values, the same subjects for a seed, labels where they belong."""

import numpy as np
import pytest

from medsynth_lib.data import phantom
from medsynth_lib.data import phantom_physics as physics
from medsynth_lib.data.phantom import (
    FOLD_LIMIT,
    coarse_grid,
    deformation,
    jacobian,
    lesions,
    mass_effect,
    simulate,
    simulate_subject,
)
from medsynth_lib.data.slices import DataError


@pytest.fixture(scope="module")
def slices():
    return simulate(6, image_size=64, slices_per_subject=6, seed=3)


def test_spin_echo_against_hand_values():
    # TR = T1: 1 - 1/e recovered; TE = T2: 1/e left
    assert physics.spin_echo(1.0, 0.1, 1.0, tr=1.0, te=0.1) == pytest.approx((1 - np.exp(-1)) * np.exp(-1))
    assert physics.spin_echo(0.83, 0.08, 0.70, 0.6, 0.012) == pytest.approx(0.7 * 0.514654 * 0.860708, rel=1e-4)


def test_inversion_recovery_vanishes_at_t1_ln2_and_recovers():
    assert physics.inversion_recovery(4.0, 2.0, 1.0, tr=1e4, te=0.0, ti=4.0 * np.log(2)) == pytest.approx(0, abs=1e-9)
    assert physics.inversion_recovery(1.0, 1e9, 0.8, tr=1e3, te=0.0, ti=1e2) == pytest.approx(0.8)
    assert physics.inversion_recovery(1.0, 1e9, 0.8, tr=1e3, te=0.0, ti=0.0) == pytest.approx(0.8)  # magnitude


def test_contrasts_are_those_a_radiologist_expects():
    s = {c: {name: physics.signal(t, c) for name, t in physics.TISSUES.items()} for c in physics.CHANNELS}
    assert s["T1"]["white"] > s["T1"]["grey"] > s["T1"]["csf"]
    assert s["T2"]["csf"] > s["T2"]["oedema"] > s["T2"]["grey"] > s["T2"]["white"]
    assert s["FLAIR"]["oedema"] > s["FLAIR"]["grey"] > s["FLAIR"]["csf"]
    assert s["T1ce"]["enhancing"] > 1.3 * s["T1ce"]["white"] and s["T1"]["enhancing"] < s["T1"]["white"]


def test_noise_is_rician():
    """Without signal the magnitude is Rayleigh: mean sigma sqrt(pi / 2); with much signal it is nearly unbiased."""
    rng = np.random.default_rng(0)
    assert physics.rician(np.zeros(200_000, np.float32), 2.0, rng).mean() == pytest.approx(
        2 * np.sqrt(np.pi / 2), rel=0.01
    )
    strong = physics.rician(np.full(200_000, 100, np.float32), 2.0, rng)
    assert strong.mean() == pytest.approx(np.sqrt(100**2 + 2**2), rel=1e-3) and strong.std() == pytest.approx(
        2, rel=0.02
    )


def test_same_seed_same_bytes_for_any_number_of_workers_and_subjects():
    one = simulate(3, 32, 3, seed=5, workers=1)
    assert one.hash() == simulate(3, 32, 3, seed=5, workers=2).hash()
    assert one.hash() != simulate(3, 32, 3, seed=6).hash()
    alone = simulate_subject(2, 32, 3, seed=5)
    assert np.array_equal(alone["images"], one.images[6:]) and np.array_equal(alone["labels"], one.labels[6:])


def test_labels_lie_inside_the_brain_and_all_occur(slices):
    brain = (slices.images > -1).any(axis=1)
    assert (brain[slices.labels > 0]).mean() > 0.999
    assert set(np.unique(slices.labels)) == {0, 1, 2, 3}
    empty = (slices.labels == 0).all(axis=(1, 2)).mean()
    assert 0 < empty < 0.6, "most slices show lesion, some do not"


def test_labels_look_as_they_should(slices):
    """Medians over all pixels: bright rim on T1ce, bright oedema on FLAIR, each against the healthy brain."""
    brain = (slices.images > -1).any(axis=1)
    healthy = brain & (slices.labels == 0)
    t1ce, flair = slices.images[:, 1], slices.images[:, 3]
    assert np.median(t1ce[slices.labels == 3]) > np.median(t1ce[healthy]) + 0.15
    assert np.median(flair[slices.labels == 2]) > np.median(flair[healthy]) + 0.3
    # The brightest 3 % of the healthy brain on T2 are CSF: FLAIR turns them dark.
    t2 = slices.images[:, 2]
    csf = healthy & (t2 > np.quantile(t2[healthy], 0.97))
    assert np.median(flair[csf]) < np.median(flair[healthy]) - 0.2


def test_levels_ascend_and_background_is_exactly_black(slices):
    for subject in slices.unique_subjects():
        assert (np.diff(slices.levels[slices.subjects == subject]) > 0).all()
    assert (slices.images[:, :, 0, 0] == -1).all()


def test_jacobian_of_a_known_map():
    """(x, y, z) -> (2x, y + x / 2, 3z) has determinant 6 everywhere."""
    x, y, z = coarse_grid()
    assert jacobian(np.stack([2 * x, y + x / 2, 3 * z])) == pytest.approx(6.0, rel=1e-3)


def test_deformation_never_folds_the_brain_with_or_without_the_lesions_push():
    grid = coarse_grid()
    for seed in range(5):
        rng = np.random.default_rng(seed)
        source = deformation(rng, grid)
        assert jacobian(source).min() >= FOLD_LIMIT
        _, tissue, pushed = lesions(rng, grid, source)
        assert jacobian(pushed)[tissue[2] > 0.5].min() > 0


def test_vessels_stay_out_of_the_ventricles():
    """Deep CSF holds no contrast agent: as dark on T1ce as on T1, relative to white matter."""
    size, pixel = 64, 3.0
    grey = np.zeros((2, size, size), np.float32)
    white = np.ones_like(grey)
    white[:, 26:38, 26:38] = 0  # a ventricle, more than 20 mm below the surface
    mask = np.ones(grey.shape, bool)
    mask[:, [0, -1]] = mask[:, :, [0, -1]] = False
    nowhere = np.full((3, *grey.shape), -50, np.float32)
    images, labels = phantom.paint(np.random.default_rng(0), grey, white, mask, nowhere, pixel)
    assert images[:, 1, 27:37, 27:37].max() < np.median(images[:, 1][mask])
    assert not labels.any()


def test_a_focus_is_one_mass():
    core = np.full((9, 9, 9), -1.0)
    core[2:5, 2:5, 2:5] = core[7, 7, 7] = 2.0
    whole = phantom.without_islands(core, (3, 3, 3))
    assert whole[3, 3, 3] == 2 and whole[7, 7, 7] < 0 and (whole > 0).sum() == 27


def test_mass_effect_pushes_outwards_and_fades():
    grid = coarse_grid()
    centre, radius = np.array([0.0, -18.0, 15.0]), 15.0
    pushed = mass_effect(grid, grid, centre, radius, np.full(grid.shape[1:], 40.0))
    away = grid - centre.reshape(3, 1, 1, 1)
    r = np.sqrt((away**2).sum(0))
    delta = np.sqrt(((pushed - grid) ** 2).sum(0))
    near, far = (r > 15) & (r < 18), r > 80
    assert (((grid - pushed) * away).sum(0)[near] > 0).all(), "tissue comes from deeper inside"
    assert delta[near].mean() == pytest.approx(0.35 * radius * np.exp(-1.5 / (1.5 * radius)), rel=0.1)
    assert delta[far].max() < 0.3
    assert (jacobian(pushed)[r > radius] > 0).mean() > 0.999


def test_core_radii_follow_the_stated_law():
    radii = [simulate_subject(index, 16, 1, seed=1)["core_radius"] for index in range(14)]
    median, deviation = phantom.CORE_RADIUS
    assert np.median(np.log(radii)) == pytest.approx(np.log(median), abs=3 * 1.25 * deviation / np.sqrt(14))
    assert np.std(np.log(radii)) == pytest.approx(deviation, rel=0.5)
    assert "log-normal, median 15 mm" in simulate(1, 16, 1).processing["lesion size"]


@pytest.mark.parametrize("arguments", [(-1, 64, 8), (2, 8, 4), (2, 64, -2)])
def test_impossible_requests_are_refused(arguments):
    with pytest.raises(DataError, match="phantom: .* cannot be made; ask for at least 1 subject"):
        simulate(*arguments)
