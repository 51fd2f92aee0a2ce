"""Hyperintensities lie where they should, follow their law, and are never labelled."""

import numpy as np
import pytest

from medsynth_lib.data.phantom.anatomy import COARSE, coarse_grid, fractions, slice_grid, template
from medsynth_lib.data.phantom.hyperintensities import CAP_LIMIT, FOCI, Hyperintensities, hyperintensities

GRID = coarse_grid()


@pytest.fixture(scope="module")
def brain():
    from scipy.ndimage import distance_transform_edt

    tissue = fractions(template(COARSE), GRID)
    return tissue, distance_transform_edt(tissue[2] > 0.5, sampling=COARSE)


def test_loads_and_foci_follow_their_law(brain):
    found = [hyperintensities(np.random.default_rng(seed), (1.0, 0.8), GRID, *brain) for seed in range(60)]
    loads = np.log([spots.load for spots in found])
    assert abs(np.median(loads)) < 0.4 and np.std(loads) == pytest.approx(0.8, rel=0.3)
    assert sum(len(spots.radii) for spots in found) == pytest.approx(FOCI * np.exp(loads).sum(), rel=0.2)


def test_caps_lie_at_the_ventricles(brain):
    tissue, depth = brain
    spots = hyperintensities(np.random.default_rng(0), (4.0, 0.0), GRID, *brain)
    white = (spots.caps > 0) & (tissue[1] > 0.5)
    deep_csf = np.argwhere((tissue[2] - tissue[0] - tissue[1] > 0.5) & (depth > 18))
    away = [np.sqrt(((deep_csf - voxel) ** 2).sum(1).min()) * COARSE for voxel in np.argwhere(white)[::7]]
    assert white.any() and max(away) < 3.5 * CAP_LIMIT, "the noise makes some parts thicker"
    assert np.median(away) < 8


def test_a_focus_is_a_ball_at_its_place():
    where = slice_grid(np.array([0.0, 3.0, 30.0]), 192)  # pixels of 1 mm
    spots = Hyperintensities(np.empty(0), np.array([[10.0, -20.0, 0.0]]), np.array([4.0]), load=1.0)
    share = spots.share(np.full(where.shape[1:], -50.0), where, 1.0)
    assert share[0].sum() == pytest.approx(np.pi * 4**2, rel=0.05)
    assert share[1].sum() == pytest.approx(np.pi * (4**2 - 3**2), rel=0.12) and share[2].sum() == 0
    row, column = np.argwhere(share[0] == 1).mean(0).round().astype(int)
    assert where[0, 0, row, column] == pytest.approx(10, abs=1) and where[1, 0, row, column] == pytest.approx(
        -20, abs=1
    )
