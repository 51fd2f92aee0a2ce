"""Interpolation against scipy's, and deformations that never fold the brain."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from medsynth_lib.data.phantom.anatomy import FOLD_LIMIT, coarse_grid, deformation, jacobian, large_pieces, sample


def test_interpolation_is_that_of_scipy():
    rng = np.random.default_rng(0)
    fields, at = rng.random((2, 9, 7, 5)).astype(np.float32), rng.uniform(-2, 10, (3, 400)).astype(np.float32)
    border = np.stack([map_coordinates(field, at, order=1, mode="nearest") for field in fields])
    assert np.allclose(sample(fields, at, outside="border"), border, atol=1e-5)
    inside = ((at >= 0) & (at <= np.array([[8], [6], [4]]))).all(0)
    assert inside.sum() > 30 and np.allclose(sample(fields, at)[:, inside], border[:, inside], atol=1e-5)
    assert (sample(fields, at + 20) == 0).all()


def test_jacobian_of_a_known_map():
    """(x, y, z) -> (2x, y + x / 2, 3z) has determinant 6 everywhere."""
    x, y, z = coarse_grid()
    assert jacobian(np.stack([2 * x, y + x / 2, 3 * z])) == pytest.approx(6.0, rel=1e-3)


def test_deformations_never_fold_and_differ():
    grid = coarse_grid()
    first, second = (deformation(np.random.default_rng(seed), grid) for seed in (0, 1))
    assert min(jacobian(first).min(), jacobian(second).min()) >= FOLD_LIMIT
    assert 2 < np.abs(first - second).mean() < 15, "mm"


def test_small_pieces_of_a_slice_go_and_holes_are_filled():
    mask = np.zeros((1, 20, 20), bool)
    mask[0, 2:12, 2:12] = mask[0, 15:19, 2:6] = mask[0, 18, 18] = True
    mask[0, 5, 5] = False
    found = large_pieces(mask)[0]
    assert found[5, 5] and found[16, 4] and not found[18, 18] and found.sum() == 116
