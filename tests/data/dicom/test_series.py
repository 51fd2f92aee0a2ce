"""Series as volumes: against positions that the test computes itself."""

import nibabel as nib
import numpy as np
import pydicom
import pytest
from dicom_files import AXIAL, CORONAL, SAGITTAL, SPACING, THICK, item, plane, truth, write, write_series, write_slice

from medsynth_lib.data import dicom
from medsynth_lib.data import preprocess as pre
from medsynth_lib.data.dicom.header import hashed
from medsynth_lib.data.slices import DataError


def read_volume(files):
    """Voxels in RAS order [X, Y, Z] or [X, Y, Z, 3], and the voxel size (x, y, z) in mm."""
    image = dicom.read_stack(files)
    volume = dicom.as_nifti(image.pixels, image)
    voxels = np.asanyarray(volume.dataobj)
    return voxels[..., 0] if voxels.shape[3] == 1 else voxels, volume.header.get_zooms()[:3]


def rotated(turn, degrees, axis):
    """The two directions of `turn`, rotated about an axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = [k for k in range(3) if k != axis]
    matrix = np.eye(3)
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return tuple(np.round((np.reshape(turn, (2, 3)) @ matrix.T).ravel(), 6).tolist())


TURNS = {
    "axial": AXIAL,
    "sagittal": SAGITTAL,
    "coronal": CORONAL,
    "axial from below": (-1, 0, 0, 0, 1, 0),
    "axial upside down": (1, 0, 0, 0, -1, 0),
    "rows along the columns": (0, 1, 0, 1, 0, 0),
    "oblique axial": rotated(rotated(AXIAL, 20, 0), -15, 2),
    "oblique sagittal": rotated(rotated(SAGITTAL, 12, 1), 25, 0),
}


@pytest.mark.parametrize("name", TURNS)
@pytest.mark.parametrize("levels", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_every_voxel_lies_where_it_was_planted(tmp_path, name, levels):
    image = dicom.read_stack(write_series(tmp_path, TURNS[name], levels))
    volume = dicom.as_nifti(image.pixels, image)
    voxels = volume.get_fdata()[..., 0]
    places = nib.affines.apply_affine(volume.affine, np.moveaxis(np.indices(voxels.shape), 0, -1))
    np.testing.assert_allclose(voxels, truth(places), atol=0.06)  # stored in steps of 0.1
    assert nib.aff2axcodes(volume.affine) == ("R", "A", "S")
    assert np.allclose(np.diff(image.positions), THICK, atol=1e-4)


@pytest.mark.parametrize(
    ("turn", "size", "shape"),
    [
        (AXIAL, (0.75, 0.5, 3.0), (5, 6, 4)),
        (SAGITTAL, (3.0, 0.75, 0.5), (4, 5, 6)),
        (CORONAL, (0.75, 3.0, 0.5), (5, 4, 6)),
    ],
)
def test_the_same_as_read_nifti_of_the_same_volume(tmp_path, turn, size, shape):
    files = write_series(tmp_path, turn)
    voxels, spacing = read_volume(files)
    assert np.allclose(spacing, size) and voxels.shape == shape and voxels.dtype == np.float32
    for axis, gradient in enumerate((2, 4, 8)):  # values grow to the right, the front and the top
        assert np.allclose(np.diff(voxels, axis=axis), gradient * size[axis], atol=0.11)
    # A NIfTI file of the same voxels in DICOM's own order and with the affine of the standard (C.7.6.2.1.1).
    stack = np.stack([plane(turn, level)[0] for level in range(4)]) * 0.1
    row, column = np.array(turn[:3], float), np.array(turn[3:], float)
    lps = np.eye(4)
    lps[:3] = np.stack([row * SPACING[1], column * SPACING[0], np.cross(row, column) * THICK, plane(turn)[1]], axis=1)
    affine = lps * np.array([-1, -1, 1, 1])[:, None]
    nib.save(nib.Nifti1Image(stack.transpose(2, 1, 0).astype(np.float32), affine), tmp_path / "a.nii")
    other, other_spacing = pre.read_nifti(tmp_path / "a.nii")
    assert np.allclose(other, voxels, atol=1e-3) and np.allclose(other_spacing, spacing)


def test_upright_as_axial_slices(tmp_path):
    stack = dicom.read_stack(write_series(tmp_path))
    voxels, _ = read_volume(write_series(tmp_path))
    assert np.allclose(pre.to_axial(voxels), stack.pixels[:, 0]), "DICOM's axial images already lie like that"


def test_colour_series_keeps_its_channels(tmp_path):
    rgb = [np.full((6, 5, 3), [10 * k, 1, 2], np.uint8) for k in range(3)]
    for k, pixels in enumerate(rgb):
        write_rgb(tmp_path / f"{k}.dcm", pixels, k)
    voxels, _ = read_volume(sorted(tmp_path.iterdir()))
    assert voxels.shape == (5, 6, 3, 3) and voxels[0, 0, :, 0].tolist() == [0, 10, 20]
    write_slice(tmp_path / "3.dcm", level=3)
    with pytest.raises(DataError, match="one is grey, one in colour"):
        read_volume(sorted(tmp_path.iterdir()))


def write_rgb(file, pixels, level):
    geometry = {"ImagePositionPatient": plane(level=level)[1], "ImageOrientationPatient": list(AXIAL)}
    return write(file, pixels, "RGB", **geometry, PixelSpacing=list(SPACING))


def test_one_file_of_many_frames_in_any_order(tmp_path):
    levels = (2, 0, 1)
    groups = [item(PlanePositionSequence=[item(ImagePositionPatient=plane(level=k)[1])]) for k in levels]
    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=list(AXIAL))],
        PixelMeasuresSequence=[item(PixelSpacing=list(SPACING))],
        PixelValueTransformationSequence=[item(RescaleSlope=0.1, RescaleIntercept=0)],
    )
    file = write(
        tmp_path / "a.dcm",
        np.stack([plane(level=k)[0] for k in levels]),
        PerFrameFunctionalGroupsSequence=groups,
        SharedFunctionalGroupsSequence=[shared],
    )
    voxels, spacing = read_volume([file])
    single, _ = read_volume([write_slice(tmp_path / f"{k}.dcm", level=k) for k in range(3)])
    assert np.allclose(voxels, single) and spacing == (0.75, 0.5, 3.0)
    stored = [hashed("instance", f"{pydicom.dcmread(file).SOPInstanceUID} {frame}") for frame in (1, 2, 3)]
    assert dicom.read_header([file]).instances == (stored[1], stored[2], stored[0])


def test_a_tilted_gantry_keeps_its_slices(tmp_path):
    files = [write_slice(tmp_path / f"{k}.dcm", level=k, shift=(0, 0.6 * k, 0)) for k in range(5)]
    image = dicom.read_stack(files)
    volume = dicom.as_nifti(image.pixels, image)
    places = nib.affines.apply_affine(volume.affine, np.moveaxis(np.indices(volume.shape[:3]), 0, -1))
    np.testing.assert_allclose(volume.get_fdata()[..., 0], truth(places), atol=0.06)


def test_single_images_stay_as_stored(tmp_path):
    pixels = np.arange(30, dtype=np.uint8).reshape(6, 5)
    image = dicom.read_stack([write(tmp_path / "a.dcm", pixels)])
    assert np.array_equal(image.pixels[0, 0], pixels) and image.spacing is None and not image.is_volume
    film = dicom.read_stack([write(tmp_path / "b.dcm", np.stack([pixels, pixels + 1]))])
    assert film.size == (2, 6, 5) and film.pixels[1, 0, 0, 0] == 1
    placed = dicom.read_stack([write_slice(tmp_path / "c.dcm")])
    assert placed.size == (1, 6, 5)
    for wrong, lacks in ((image, "several frames"), (film, "positions"), (placed, "several frames")):
        with pytest.raises(DataError, match=f"{wrong.file.name} is no volume, it lacks {lacks}"):
            dicom.as_nifti(wrong.pixels, wrong)
    unsized = [write_slice(tmp_path / f"{k}.dcm", level=k, PixelSpacing=None) for k in range(2)]
    with pytest.raises(DataError, match="0.dcm is no volume, it lacks a pixel size"):
        read_volume(unsized)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"level": 1}, r"1.dcm and .*new.dcm lie at the same position"),
        ({"level": 1, "shift": (5, 0, 0)}, "1.dcm and .*new.dcm lie at the same position"),
        (
            {"level": 5},
            r"between .*2.dcm and .*new.dcm the position changes by \(0, 0, 9\) mm, elsewhere by \(0, 0, 3\)",
        ),
        ({"level": 3.4}, "between .*2.dcm and .*new.dcm the position changes"),
        ({"level": 3, "shift": (5, 0, 0)}, r"changes by \(5, 0, 3\) mm, elsewhere by \(0, 0, 3\) mm"),
        ({"level": 3, "size": (6, 6)}, "0.dcm and .*new.dcm differ in size"),
        ({"level": 3, "PixelSpacing": [0.5, 0.8]}, "0.dcm and .*new.dcm differ in pixel size"),
        ({"level": 3, "PixelSpacing": None}, "0.dcm and .*new.dcm differ in pixel size"),
        ({"turn": CORONAL}, "0.dcm and .*new.dcm differ in orientation"),
        ({"level": 3, "PatientID": "p2"}, "0.dcm and .*new.dcm differ in patient"),
        ({"level": 3, "SeriesInstanceUID": "1.2.3"}, "0.dcm and .*new.dcm differ in series"),
        ({"level": 3, "ImagePositionPatient": None}, "new.dcm has no position or orientation"),
        ({"level": 3, "ImageOrientationPatient": None}, "new.dcm has no position or orientation"),
    ],
)
def test_what_is_not_one_volume_is_refused_by_name(tmp_path, fields, reason):
    files = [write_slice(tmp_path / f"{k}.dcm", level=k) for k in range(3)]
    files.append(write_slice(tmp_path / "new.dcm", **fields))
    for read in (dicom.read_stack, dicom.read_header):
        with pytest.raises(DataError, match=reason):
            read(files)


def test_several_times_in_one_file(tmp_path):
    groups = [item(PlanePositionSequence=[item(ImagePositionPatient=[0, 0, z])]) for z in (0, 1, 0, 1)]
    shared = item(PlaneOrientationSequence=[item(ImageOrientationPatient=list(AXIAL))])
    file = write(
        tmp_path / "a.dcm",
        np.zeros((4, 6, 5), np.uint8),
        PerFrameFunctionalGroupsSequence=groups,
        SharedFunctionalGroupsSequence=[shared],
        PixelSpacing=[1, 1],
    )
    with pytest.raises(
        DataError, match=r"frames 1 and 3 of .*a.dcm lie at the same position \(a copy, or several times"
    ):
        read_volume([file])


def test_rounded_positions_are_not_gaps(tmp_path):
    files = [write_slice(tmp_path / f"{k}.dcm", level=k * 0.4167) for k in range(20)]
    for k, file in enumerate(files):
        data = pydicom.dcmread(file)
        data.ImagePositionPatient = [-11, 7, round(20 + k * 1.25, 1)]
        data.save_as(file)
    assert dicom.read_header(files).size[0] == 20


def test_a_pixel_table_of_its_own_in_each_slice(tmp_path):
    """PET: each slice is stored in its own units."""
    for k, slope in enumerate((0.5, 2.0, 8.0)):
        stored = np.full((6, 5), 4, np.uint16)
        where = {"ImagePositionPatient": [0, 0, k], "ImageOrientationPatient": list(AXIAL), "PixelSpacing": [1, 1]}
        write(tmp_path / f"{k}", stored, **where, RescaleSlope=slope, RescaleIntercept=0)
    voxels, _ = read_volume(sorted(tmp_path.iterdir()))
    assert voxels[0, 0].tolist() == [2, 8, 32]
