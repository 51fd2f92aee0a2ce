"""Headers that agree, that differ, and that are wrong."""

import nibabel as nib
import numpy as np
import pytest

from medsynth_lib.data import grids
from medsynth_lib.data.slices import DataError

SHAPE = (12, 14, 4)


def save(file, affine, shape=SHAPE):
    nib.save(nib.Nifti1Image(np.ones(shape, np.uint8), affine), file)
    return file


def affine(*, sizes=(0.8, 0.8, 5.0), signs=(1, 1, 1), turned=0.0, origin=(-10.0, 20.0, 30.0)):
    """Voxels of `sizes` mm along axes of these signs, turned about z by so many degrees."""
    cos, sin = np.cos(np.radians(turned)), np.sin(np.radians(turned))
    out = np.eye(4)
    out[:3, :3] = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ np.diag(np.array(sizes) * signs)
    out[:3, 3] = origin
    return out


@pytest.mark.parametrize("turned", [0.0, 23.0])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"signs": (-1, -1, 1)}, "direction is LPS, not RAS"),
        ({"signs": (-1, 1, 1)}, "direction is LAS, not RAS"),
        ({"signs": (1, 1, -1)}, "direction is RAI, not RAS"),
        ({"turn": 1.0}, "an axis differs by 1 degrees"),
        ({"sizes": (0.8, 0.8, 2.5)}, r"voxel size is \(0.8, 0.8, 2.5\) mm, not \(0.8, 0.8, 5\) mm"),
        ({"sizes": (0.802, 0.8, 5)}, "voxel size is"),
        ({"origin": (-9.6, 20.0, 30.0)}, r"origin is \(-9.6, 20, 30\) mm, not \(-10, 20, 30\) mm"),  # half a voxel
        ({"origin": (-10.0, 20.0, 35.0)}, "origin is"),
        ({"shape": (14, 12, 4)}, r"shape is \(14, 12, 4\), not \(12, 14, 4\)"),
    ],
)
def test_a_differing_grid_is_refused_with_both_names(tmp_path, turned, change, words):
    change = dict(change)
    image = save(tmp_path / "image.nii.gz", affine(turned=turned))
    shape = change.pop("shape", SHAPE)
    other = affine(turned=turned + change.pop("turn", 0.0), **change)
    mask = save(tmp_path / "mask.nii.gz", other, shape)
    with pytest.raises(DataError, match=rf"mask.nii.gz does not lie on the grid of .*image.nii.gz: .*{words}"):
        grids.check_grid(image, image, mask)


def test_the_same_place_in_another_order_of_voxels_is_refused(tmp_path):
    image = nib.Nifti1Image(np.ones(SHAPE, np.uint8), affine())
    nib.save(image, tmp_path / "image.nii.gz")
    turn = nib.orientations.axcodes2ornt("LPS")
    nib.save(
        image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(affine()), turn)), tmp_path / "m.nii"
    )
    with pytest.raises(DataError, match="direction is LPS"):
        grids.check_grid(tmp_path / "image.nii.gz", tmp_path / "m.nii")


@pytest.mark.parametrize("turned", [0.0, 23.0])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"turn": 1e-4},
        {"sizes": (0.80002, 0.8, 5.0)},
        {"origin": (-10.004, 20.0, 30.1)},
        {"shape": (*SHAPE, 3)},  # channels
    ],
)
def test_rounding_and_channels_are_accepted(tmp_path, turned, change):
    change = dict(change)
    image = save(tmp_path / "image.nii.gz", affine(turned=turned), change.pop("shape", SHAPE))
    mask = save(tmp_path / "mask.nii.gz", affine(turned=turned + change.pop("turn", 0.0), **change))
    grids.check_grid(image, mask)


def test_a_slice_without_third_axis_fits_one_with_it(tmp_path):
    grids.check_grid(save(tmp_path / "a.nii", affine(), (9, 8)), save(tmp_path / "b.nii", affine(), (9, 8, 1)))


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAR", "PIR"])
def test_field_of_view_is_that_of_the_axial_plane(tmp_path, codes):
    image = nib.Nifti1Image(np.ones((20, 30, 6), np.uint8), np.diag([2.0, 3.0, 40.0, 1.0]))
    turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(codes))
    nib.save(image.as_reoriented(turn), tmp_path / "a.nii.gz")
    assert grids.field_of_view([tmp_path / "a.nii.gz"]) == pytest.approx(90)


@pytest.mark.parametrize(
    ("codes", "extent"),
    [("RAS", (40, 90)), ("ASR", (90, 120)), ("SPL", (90, 120)), ("RSA", (40, 120)), ("LIP", (40, 120))],
)
def test_the_extent_of_a_single_slice_is_that_of_its_plane(tmp_path, codes, extent):
    """20 x 30 x 40 voxels of 2 x 3 x 3 mm (x, y, z), of which the last axis of `codes` has one voxel."""
    normal = {"RL": 0, "AP": 1, "SI": 2}[next(pair for pair in ("RL", "AP", "SI") if codes[2] in pair)]
    shape = [1 if axis == normal else count for axis, count in enumerate((20, 30, 40))]
    image = nib.Nifti1Image(np.ones(shape, np.uint8), np.diag([2.0, 3.0, 3.0, 1.0]))
    turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(codes))
    nib.save(image.as_reoriented(turn), tmp_path / "a.nii.gz")
    assert grids.extent(tmp_path / "a.nii.gz") == pytest.approx(extent)


def volumes(folder, sizes):
    return [save(folder / f"{k}.nii.gz", np.diag([*size, 3.0, 1.0])) for k, size in enumerate(sizes)]


def test_patients_of_different_sizes_are_accepted(tmp_path):
    assert grids.field_of_view(volumes(tmp_path, [(1, 1), (1.5, 1.5), (2.5, 2.5), (0.6, 0.6)])) == pytest.approx(35)


@pytest.mark.parametrize(("x", "y"), [(10, 10), (1000, 1000), (0.1, 0.1), (10, 1), (1, 0.1)])
@pytest.mark.parametrize("there", [3, 9])
def test_one_wrong_voxel_size_is_named(tmp_path, x, y, there):
    files = volumes(tmp_path, [(1, 1), (x, y), *[(1, 1)] * (there - 2)])
    with pytest.raises(DataError, match=r"/1.nii.gz shows .* but the median of all . files is \(12, 14\) mm"):
        grids.field_of_view(files)


def test_an_empty_volume_is_named(tmp_path):
    with pytest.raises(DataError, match="a.nii.gz has shape"):
        grids.field_of_view([save(tmp_path / "a.nii.gz", np.eye(4), (0, 4, 4))])
