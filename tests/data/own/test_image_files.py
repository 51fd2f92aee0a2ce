"""Images become [Z, C, H, W] with a note for what is unusual; masks become numbers, or are refused by name."""

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from medsynth_lib.data.own.image_files import (
    AVERAGED,
    ROTATED,
    TRANSPARENT,
    read_mask,
    read_mask_and_colours,
    read_pixels,
    stored_orientation,
)
from medsynth_lib.data.slices import DataError

ROWS, COLUMNS = np.mgrid[:12, :9]
GREY = (10 * ROWS + 7 * COLUMNS).astype(np.uint8)
MASK = (ROWS // 4).astype(np.uint8)  # 0, 1, 2
COLOURS = np.dstack([GREY, GREY // 2, GREY // 3])
HIDDEN = np.dstack([*[MASK * 0] * 3, MASK * 100])  # black everywhere, the labels only in the transparency


def save(file, pixels, **options):
    if file.name.endswith((".nii", ".nii.gz")):
        nib.save(nib.Nifti1Image(pixels, np.eye(4)), file)
    elif file.suffix == ".tif":
        tifffile.imwrite(file, pixels, **options)
    else:
        Image.fromarray(pixels).save(file, **options)
    return file


def save_indexed(file, indices, table, **options):
    image = Image.fromarray(indices).convert("L")
    image.putpalette([level for colour in table for level in np.broadcast_to(colour, 3).tolist()])
    image.save(file, **options)
    return file


@pytest.mark.parametrize("ending", [".png", ".PNG", ".tif", ".TIFF"])
def test_a_grey_image_is_one_slice_of_one_channel(tmp_path, ending):
    notes = []
    Image.fromarray(GREY).save(tmp_path / f"a{ending}")
    pixels, spacing = read_pixels(tmp_path / f"a{ending}", notes)
    assert np.array_equal(pixels, GREY[None, None]) and spacing == (1.0, 1.0) and not notes


@pytest.mark.parametrize("pixels", [COLOURS, COLOURS.astype(np.float32) / 255], ids=["8 bit", "float"])
def test_colours_are_averaged_and_said(tmp_path, pixels):
    notes = []
    read, _ = read_pixels(save(tmp_path / "a.tif", pixels, photometric="rgb"), notes)
    assert np.allclose(read[0, 0], pixels.mean(axis=2), rtol=1e-5) and notes == [AVERAGED]


def test_grey_in_three_channels_is_grey(tmp_path):
    notes = []
    for name, options in (("a.png", {}), ("a.jpg", {"quality": 100})):
        read, _ = read_pixels(save(tmp_path / name, np.dstack([GREY] * 3), **options), notes)
        assert np.abs(read[0, 0].astype(int) - GREY).max() < 4 and not notes


def test_indices_of_an_image_are_shown_as_their_colours(tmp_path):
    read, _ = read_pixels(save_indexed(tmp_path / "a.png", MASK, (90, 30, 60)), notes := [])
    assert np.array_equal(read[0, 0], np.take((90, 30, 60), MASK)) and not notes


def test_transparency_and_orientation_are_said(tmp_path):
    read_pixels(save(tmp_path / "a.png", np.dstack([GREY, GREY])), notes := [])
    read_pixels(save(tmp_path / "b.png", np.dstack([GREY, np.full_like(GREY, 255)])), notes)
    exif = Image.Exif()
    exif[0x0112] = 3
    read_pixels(save(tmp_path / "c.jpg", GREY, exif=exif.tobytes()), notes)
    assert notes == [TRANSPARENT, ROTATED]


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_volumes_are_cut_into_axial_slices(tmp_path, channels):
    volume = np.random.default_rng(0).normal(size=(5, 6, 7, channels)).astype(np.float32)
    pixels, spacing = read_pixels(save(tmp_path / "a.nii.gz", volume), [])
    assert pixels.shape == (7, channels, 6, 5) and spacing == (1.0, 1.0)
    assert pixels[3, -1, 0, 0] == volume[4, 5, 3, -1], "anterior up, patient's right on the left"


@pytest.mark.parametrize("name", ["a.nii.gz", "a.tif"])
def test_many_channels_are_refused(tmp_path, name):
    shape = (4, 5, 3, 30) if name == "a.nii.gz" else (30, 12, 9)
    options = {} if name == "a.nii.gz" else {"imagej": True, "metadata": {"axes": "CYX"}}
    save(tmp_path / name, np.ones(shape, np.uint8), **options)
    with pytest.raises(DataError, match=f"{name} has 30 channels, more than 4; if they are time points"):
        read_pixels(tmp_path / name, [])


@pytest.mark.parametrize("unit", ["sec", "msec", "usec"])
def test_a_fourth_axis_in_time_is_refused(tmp_path, unit):
    image = nib.Nifti1Image(np.ones((4, 5, 3, 3), np.int16), np.eye(4))
    image.header.set_xyzt_units("mm", unit)
    image.header.set_zooms((1, 1, 1, 2))
    nib.save(image, tmp_path / "a.nii.gz")
    with pytest.raises(DataError, match="a.nii.gz has 3 time points by its header; save each"):
        read_pixels(tmp_path / "a.nii.gz", [])


def test_a_unit_of_time_without_time_points_is_none(tmp_path):
    """Many programs write seconds into every header."""
    for shape, step in (((4, 5, 3), 0), ((4, 5, 3, 1), 2), ((4, 5, 3, 2), 0)):
        image = nib.Nifti1Image(np.ones(shape, np.int16), np.eye(4))
        image.header.set_xyzt_units("mm", "sec")
        image.header["pixdim"][4] = step
        nib.save(image, tmp_path / "a.nii.gz")
        assert read_pixels(tmp_path / "a.nii.gz", [])[0].shape == (3, 2 if shape[3:] == (2,) else 1, 5, 4)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, value):
    with pytest.raises(DataError, match="a.tif holds NaN"):
        read_pixels(save(tmp_path / "a.tif", np.full((5, 4), value, np.float32)), [])


@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif", ".nii.gz"])
@pytest.mark.parametrize("content", [b"", b"II*\0\x08\0\0\0", b"\x89PNG\r\n\x1a\n", b"not a picture at all" * 20])
def test_damaged_files_are_named(tmp_path, ending, content):
    (tmp_path / f"a{ending}").write_bytes(content)
    with pytest.raises(DataError, match=f"a{ending} (cannot be read|is cut off)"):
        read_pixels(tmp_path / f"a{ending}", [])


MASK_TYPES = {
    "8 bit.png": MASK,
    "16 bit.png": MASK.astype(np.uint16),
    "three equal channels.png": np.dstack([MASK] * 3),
    "opaque.png": np.dstack([*[MASK] * 3, np.full_like(MASK, 255)]),
    "wholly transparent.png": np.dstack([MASK, MASK * 0]),
    "8 bit.tif": MASK,
    "int16.tif": MASK.astype(np.int16),
    "float.tif": MASK.astype(np.float32),
    "uint8.nii": MASK.T[::-1, ::-1, None],
    "double.nii.gz": MASK.T[::-1, ::-1, None].astype(np.float64),
}


@pytest.mark.parametrize("name", MASK_TYPES)
def test_masks_of_every_type(tmp_path, name):
    assert np.array_equal(read_mask(save(tmp_path / name, MASK_TYPES[name])), MASK[None])


def test_a_scaled_header_leaves_whole_numbers(tmp_path):
    file = save(tmp_path / "a.nii", MASK.T[::-1, ::-1, None] * 100)
    raw = bytearray(file.read_bytes())
    raw[112:116] = np.float32(0.01).tobytes()  # scl_slope, which nibabel does not write as told
    file.write_bytes(raw)
    stored = np.asarray(nib.load(file).dataobj)
    assert 0 < np.abs(stored - np.round(stored)).max() < 1e-6
    assert np.array_equal(read_mask(file), MASK[None])


@pytest.mark.parametrize("table", [(0, 255), (255, 0), (0, 1), (0, 255, 9, 9, 9)])
def test_a_table_of_greys_is_applied(tmp_path, table):
    values, colours = read_mask_and_colours(save_indexed(tmp_path / "a.png", MASK // 2, table))
    assert colours is None and np.array_equal(values[0], np.take(table, MASK // 2))


def test_a_table_of_colours_keeps_the_indices(tmp_path):
    table = [(0, 0, 0), (128, 128, 128), (255, 0, 0)]
    values, colours = read_mask_and_colours(save_indexed(tmp_path / "a.png", MASK, table))
    assert np.array_equal(values[0], MASK) and colours[:3].tolist() == [list(colour) for colour in table]


REFUSED = [
    (".png", np.dstack([MASK, MASK * 0, MASK * 0]), {}, "is a mask in colour"),
    (".tif", np.dstack([MASK * 0, MASK, MASK * 0]), {"photometric": "rgb"}, "is a mask in colour"),
    (".jpg", np.dstack([MASK * 90, MASK * 0, MASK * 0]), {}, "is a mask in colour"),
    (".png", HIDDEN, {}, "is a mask with transparent parts"),
    (".png", np.dstack([MASK, MASK * 100]), {}, "is a mask with transparent parts"),
    (".tif", HIDDEN, {"photometric": "rgb", "extrasamples": ["unassalpha"]}, "is a mask with transparent parts"),
    (".tif", MASK, {"photometric": "miniswhite"}, "stores white as 0"),
    (".nii.gz", np.ones((4, 5, 3, 3), np.uint8), {}, "has 3 channels"),
    (".tif", np.stack([MASK, MASK]), {"imagej": True, "metadata": {"axes": "CYX"}}, "has 2 channels"),
    (".tif", MASK / np.float32(2), {}, "holds values that are not whole numbers"),
    (".tif", MASK.astype(np.int8) - 1, {}, "holds values that are not whole numbers"),
    (".nii", MASK[..., None].astype(np.int16) - 1, {}, "holds values that are not whole numbers"),
]


@pytest.mark.parametrize(("ending", "pixels", "options", "sentence"), REFUSED)
def test_masks_of_unclear_labels_are_refused(tmp_path, ending, pixels, options, sentence):
    with pytest.raises(DataError, match=f"a{ending} .*{sentence}.*; save "):
        read_mask(save(tmp_path / f"a{ending}", pixels, **options))


def test_an_indexed_mask_with_transparent_parts_is_refused(tmp_path):
    save_indexed(tmp_path / "a.png", MASK, (0, 0, 0), transparency=bytes([0, 255, 255]))
    with pytest.raises(DataError, match="a.png is a mask with transparent parts"):
        read_mask(tmp_path / "a.png")


def test_compression_is_judged_by_content(tmp_path):
    Image.fromarray(MASK * 100).save(tmp_path / "a.png", format="JPEG")
    with pytest.raises(DataError, match="a.png is a mask with lossy compression"):
        read_mask(tmp_path / "a.png")
    Image.fromarray(MASK).save(tmp_path / "a.jpg", format="PNG")
    with pytest.raises(DataError, match="a.jpg is no JPEG picture"):
        read_mask(tmp_path / "a.jpg")
    Image.fromarray(MASK * 100).save(tmp_path / "a.tif", compression="jpeg")
    with pytest.raises(DataError, match="a.tif is a mask with lossy compression"):
        read_mask(tmp_path / "a.tif")


@pytest.mark.parametrize("photometric", ["rgb"])
def test_colours_whose_difference_overflows_are_colours(tmp_path, photometric):
    """-100 and 100 in 8 bits, of which the difference would be stored as -56."""
    pixels = np.dstack([np.full(GREY.shape, value, np.int8) for value in (-100, 0, 100)])
    file = save(tmp_path / "a.tif", pixels, photometric=photometric)
    read, _ = read_pixels(file, notes := [])
    assert notes == [AVERAGED] and (read == 0).all()
    with pytest.raises(DataError, match="a.tif is a mask in colour"):
        read_mask(file)


PLANES = {"sagittal": (0, (1, 2)), "coronal": (1, (0, 2)), "axial": (2, (0, 1))}  # normal; axes across and down


@pytest.mark.parametrize("axes", [2, 3, 4])
@pytest.mark.parametrize("name", PLANES)
def test_a_single_nifti_slice_is_one_image_in_its_plane(tmp_path, name, axes):
    """Values say where a voxel lies: the first row is superior (anterior if axial), columns run towards -y or -x."""
    normal, (across, down) = PLANES[name]
    affine = np.zeros((4, 4))
    affine[[across, down, normal], [0, 1, 2]], affine[3, 3] = (2.0, 3.0, 5.0), 1
    wide, high = 7, 9
    stored = (10 * np.arange(wide)[:, None] + np.arange(high)).astype(np.uint8)
    shape = {2: (wide, high), 3: (wide, high, 1), 4: (wide, high, 1, 1)}[axes]
    nib.save(nib.Nifti1Image(stored.reshape(shape), affine), tmp_path / "a.nii.gz")
    pixels, spacing = read_pixels(tmp_path / "a.nii.gz", [])
    assert np.array_equal(pixels[0, 0], stored.T[::-1, ::-1]) and pixels.shape == (1, 1, high, wide)
    assert spacing == (3.0, 2.0) and np.array_equal(read_mask(tmp_path / "a.nii.gz"), pixels[:, 0])


def test_the_stored_orientation_of_every_format(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.png", "a.jpg"):
        assert stored_orientation(save(tmp_path / name, GREY, exif=exif.tobytes())) == 6
        assert stored_orientation(save(tmp_path / f"b{name}", GREY)) == 1
    assert stored_orientation(save(tmp_path / "a.tif", GREY, extratags=[(274, "H", 1, 8, True)])) == 8
    assert stored_orientation(save(tmp_path / "b.tif", GREY, extratags=[(274, "H", 1, 0, True)])) == 1, "no orientation"
    assert stored_orientation(save(tmp_path / "a.nii", MASK)) == 1
