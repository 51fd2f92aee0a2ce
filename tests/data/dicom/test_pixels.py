"""Pixels: every image in pydicom's own test files, and the kinds that are not among them."""

from importlib import util
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import item, write
from pydicom.pixels import apply_color_lut, apply_modality_lut, get_decoder
from pydicom.uid import ExplicitVRBigEndian, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from medsynth_lib.data import dicom
from medsynth_lib.data.slices import DataError

FILES = Path(pydicom.__file__).parent / "data" / "test_files"
# Larger files, only where somebody ran `pip install pydicom-data`
MORE = util.find_spec("data_store")
BROKEN = {
    "MR_truncated.dcm": "less than expected",
    "badVR.dcm": "invalid literal",
    "JPEG2000-embedded-sequence-delimiter.dcm": "compressed as JPEG 2000",
    "JPEG-lossy.dcm": "compressed as JPEG Extended",
    "JPGExtended.dcm": "compressed as JPEG Extended",  # 12-bit, which only pylibjpeg decodes
    "GDCMJ2K_TextGBR.dcm": "compressed as JPEG 2000",  # which Pillow does not decode
}
WITHOUT = ("OT-PAL-8-face.dcm", "no_meta.dcm", "ExplVR_BigEndNoMeta.dcm", "ExplVR_LitEndNoMeta.dcm", "rtstruct.dcm")


BACKWARDS = "eCT_Supplemental.dcm"  # its frames are stored against the slice normal, along which they are read
SLOW = "examples_ybr_color.dcm"  # 30 frames of JPEG, which others show one by one


def read(file: Path) -> dicom.DicomImage:
    return dicom.read_stack([file])


def images() -> list[Path]:
    folders = [FILES, *(Path(folder) for folder in (MORE.submodule_search_locations if MORE else ()))]
    files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]
    files = [f for f in files if "TINY_ALPHA" not in f.parts and f.name != SLOW]
    return [f for f in files if dicom.is_dicom(f)]


def expected(data: pydicom.Dataset) -> np.ndarray:
    """What pydicom decodes, with the rescale and the inversion written out, as [Z, C, H, W]."""
    stored, kind, whole = data.pixel_array.astype(np.float64), data.PhotometricInterpretation, data
    if kind == "PALETTE COLOR":
        stored = apply_color_lut(data.pixel_array, data).astype(np.float64)
    if "ModalityLUTSequence" in data:
        stored = apply_modality_lut(data.pixel_array, data).astype(np.float64)
    if kind == "MONOCHROME1":
        stored = 2**data.BitsStored - 1 - stored
    padding = data.pixel_array == data.get("PixelPaddingValue", np.inf)
    if "SharedFunctionalGroupsSequence" in data:  # an enhanced image has its rescale there
        groups = data.SharedFunctionalGroupsSequence[0]
        data = groups.PixelValueTransformationSequence[0] if "PixelValueTransformationSequence" in groups else data
    values = stored * float(data.get("RescaleSlope", 1)) + float(data.get("RescaleIntercept", 0))
    if padding.any():
        values[padding] = values[~padding].min()
    channels = 3 if kind == "PALETTE COLOR" else whole.SamplesPerPixel
    return np.moveaxis(values.reshape(-1, whole.Rows, whole.Columns, channels), -1, 1)


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's remarks on these files
@pytest.mark.parametrize("file", images(), ids=lambda file: file.name)
def test_every_file_of_pydicom_is_read_as_pydicom_reads_it_or_refused(file):
    try:
        data = pydicom.dcmread(file)
    except pydicom.errors.InvalidDicomError:
        assert file.name in WITHOUT
        with pytest.raises(DataError, match=f"{file.name} does not begin as a DICOM file"):
            read(file)
        return
    if file.name in BROKEN:
        try:
            image = read(file)
        except DataError as error:
            assert file.name in str(error) and BROKEN[file.name] in str(error)
            return
        assert image.pixels.shape[2:] == (data.Rows, data.Columns), "somebody installed a decoder for it"
    elif "Rows" not in data or "PixelData" not in data:
        with pytest.raises(DataError, match=f"{file.name} holds no image"):
            read(file)
    elif data.PhotometricInterpretation == "PALETTE COLOR" and not data.original_encoding[1]:
        with pytest.raises(DataError, match=f"{file.name} is a big-endian file with a palette; export it as little"):
            read(file)
    elif not get_decoder(data.file_meta.TransferSyntaxUID).is_available:
        with pytest.raises(DataError, match=r"compressed as JPEG.*decoder is missing; pip install python-gdcm"):
            read(file)
    else:
        image = read(file)
        right = expected(data)[:: -1 if file.name == BACKWARDS else 1]
        assert image.pixels.dtype == np.float32 and image.size == (right.shape[0], *right.shape[2:])
        np.testing.assert_array_equal(image.pixels, right.astype(np.float32))


def test_there_are_files():
    assert len(images()) > 90


GREY = np.array([[0, 1, 2], [100, 200, 255]])


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32])
def test_types(tmp_path, dtype):
    stored = (GREY - (128 if np.dtype(dtype).kind == "i" else 0)).astype(dtype)
    image = read(write(tmp_path / "a", stored))
    assert np.array_equal(image.pixels, stored[None, None]) and image.pixels.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_big_endian(tmp_path, dtype):
    data = pydicom.dcmread(write(tmp_path / "a", GREY.astype(dtype)))
    data.PixelData = GREY.astype(np.dtype(dtype).newbyteorder(">")).tobytes()
    data["PixelData"].VR = "OW" if dtype is np.int16 else "OB"
    pydicom.dcmwrite(tmp_path / "b", with_syntax(data, ExplicitVRBigEndian), enforce_file_format=True)
    assert np.array_equal(read(tmp_path / "b").pixels[0, 0], GREY.astype(dtype))


def with_syntax(data, syntax):
    """A copy of `data` under another transfer syntax."""
    copy = pydicom.Dataset(data)
    copy.file_meta = data.file_meta
    copy.file_meta.TransferSyntaxUID = syntax
    return copy


def test_float_pixels(tmp_path):
    values = np.array([[-1.5, 0.25], [3e5, 2.0]], np.float32)
    assert np.array_equal(read(write(tmp_path / "a", values)).pixels[0, 0], values)
    values[0, 0] = np.nan
    with pytest.raises(DataError, match="b holds NaN"):
        read(write(tmp_path / "b", values))


def test_unused_bits_do_not_count(tmp_path):
    stored = np.array([[5, 0xF005], [0x0FFF, 0xF000]], np.uint16)  # old overlays lie in the upper 4 bits
    image = read(write(tmp_path / "a", stored, BitsStored=12))
    assert np.array_equal(image.pixels[0, 0], [[5, 5], [4095, 0]])


def test_run_length_encoding(tmp_path):
    data = pydicom.dcmread(write(tmp_path / "a", GREY.astype(np.uint16)))
    data.compress(RLELossless)
    data.save_as(tmp_path / "b")
    assert np.array_equal(read(tmp_path / "b").pixels[0, 0], GREY)


@pytest.mark.parametrize(("slope", "intercept"), [(1, -1024), (0.25, 10), (2.5, 0)])
def test_rescale(tmp_path, slope, intercept):
    file = write(tmp_path / "a", GREY.astype(np.int16), RescaleSlope=slope, RescaleIntercept=intercept, WindowWidth=2)
    assert np.array_equal(read(file).pixels[0, 0], GREY * slope + intercept)


def test_modality_table(tmp_path):
    table = item(LUTDescriptor=[3, 1, 16], LUTData=[40, 50, 70], ModalityLUTType="US")
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    stored = np.array([[0, 1], [2, 9]], np.uint8)  # below the table its first entry, above its last
    file = write(tmp_path / "a", stored, ModalityLUTSequence=[table])
    assert np.array_equal(read(file).pixels[0, 0], [[40, 40], [50, 70]])


def test_each_frame_has_its_own_scale(tmp_path):
    groups = [item(PixelValueTransformationSequence=[item(RescaleSlope=s, RescaleIntercept=1)]) for s in (2, 3)]
    shared = [
        item(PixelValueTransformationSequence=[item(RescaleSlope=9, RescaleIntercept=9)])
    ]  # of frames without one
    file = write(
        tmp_path / "a",
        np.stack([GREY, GREY]).astype(np.int16),
        PerFrameFunctionalGroupsSequence=groups,
        SharedFunctionalGroupsSequence=shared,
    )
    assert np.array_equal(read(file).pixels[:, 0], [2 * GREY + 1, 3 * GREY + 1])


@pytest.mark.parametrize(
    ("stored", "header", "right"),
    [
        (np.array([[0, 4095], [95, 4000]], np.uint16), {"BitsStored": 12}, [[4095, 0], [4000, 95]]),
        (np.array([[0, 255]], np.uint8), {}, [[255, 0]]),
        (np.array([[-128, 127, 0]], np.int8), {}, [[127, -128, -1]]),
        (np.array([[0, 255]], np.uint8), {"RescaleSlope": 2, "RescaleIntercept": -10}, [[500, -10]]),
    ],
)
def test_monochrome1_is_mirrored(tmp_path, stored, header, right):
    image = read(write(tmp_path / "a", stored, "MONOCHROME1", **header))
    assert np.array_equal(image.pixels[0, 0], right)


@pytest.mark.parametrize(
    ("stored", "header", "right"),
    [
        ([[-2000, -1000, 50]], {"PixelPaddingValue": -2000}, [[-1000, -1000, 50]]),
        ([[-2000, -1999, 50]], {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1990}, [[50, 50, 50]]),
        ([[0, 3, 50]], {"PixelPaddingValue": 0}, [[0, 3, 50]]),  # already the background
        ([[0, -1000, 50]], {"PixelPaddingValue": 0}, [[-1000, -1000, 50]]),  # where 0 is water
        ([[7, 7, 7]], {"PixelPaddingValue": 7}, [[7, 7, 7]]),
    ],
)
def test_padding_becomes_the_darkest_value(tmp_path, stored, header, right):
    file = write(tmp_path / "a", np.array(stored, np.int16), PixelRepresentation=1)
    data = pydicom.dcmread(file)
    for name, value in header.items():
        data.add_new(name, "SS", value)
    data.save_as(file)
    assert np.array_equal(read(file).pixels[0, 0], right)


def slices_with_padding(folder: Path, *stored: np.ndarray, value: int) -> list[Path]:
    """One file per slice, 1 mm apart, with PixelPaddingValue."""
    for k, pixels in enumerate(stored):
        where = {"ImagePositionPatient": [0, 0, k], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
        data = pydicom.dcmread(write(folder / f"{k}", pixels.astype(np.int16), **where))
        data.add_new("PixelPaddingValue", "SS", value)
        data.save_as(folder / f"{k}")
    return sorted(folder.iterdir())


def test_padding_becomes_the_darkest_value_of_the_whole_series(tmp_path):
    """A slice of nothing but padding has no darkest value of its own."""
    empty, bright, dark = np.full((2, 2), -2000), np.array([[-2000, -500], [40, 50]]), np.array([[-990, 10], [5, 6]])
    pixels = dicom.read_stack(slices_with_padding(tmp_path, empty, bright, dark, value=-2000)).pixels[:, 0]
    right = np.stack([empty, bright, dark])
    right[right == -2000] = -990
    assert np.array_equal(pixels, right)


@pytest.mark.parametrize(("darkest", "becomes"), [(-7, -7), (7, 0)])
def test_padding_of_0_stays_where_no_slice_is_negative(tmp_path, darkest, becomes):
    slices = np.array([[0, 9], [8, 9]]), np.array([[0, 30], [darkest, 9]])
    pixels = dicom.read_stack(slices_with_padding(tmp_path, *slices, value=0)).pixels[:, 0]
    assert (pixels[:, 0, 0] == becomes).all() and np.array_equal(pixels[1, 1], [darkest, 9])


def test_padding_written_without_its_sign(tmp_path):
    data = pydicom.dcmread(write(tmp_path / "a", np.array([[-2000, -1000, 50]], np.int16)))
    data.add_new("PixelPaddingValue", "US", 2**16 - 2000)
    data.save_as(tmp_path / "a")
    assert np.array_equal(read(tmp_path / "a").pixels[0, 0], [[-1000, -1000, 50]])


def test_padding_of_a_negative(tmp_path):
    file = write(tmp_path / "a", np.array([[0, 200, 255]], np.uint8), "MONOCHROME1")
    data = pydicom.dcmread(file)
    data.add_new("PixelPaddingValue", "US", 0)  # white as displayed
    data.save_as(file)
    assert np.array_equal(read(file).pixels[0, 0], [[0, 55, 0]])


RGB = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [90, 90, 90]]], np.uint8)


def test_colour(tmp_path):
    right = np.moveaxis(RGB, -1, 0)[None]
    assert np.array_equal(read(write(tmp_path / "a", RGB, "RGB")).pixels, right)
    r, g, b = np.moveaxis(RGB.astype(float), -1, 0)
    y = 0.299 * r + 0.587 * g + 0.114 * b  # ITU-R BT.601, as in part 3 of the standard
    ybr = np.stack([y, 128 + 0.564 * (b - y), 128 + 0.713 * (r - y)], axis=-1).round().clip(0, 255).astype(np.uint8)
    assert np.abs(read(write(tmp_path / "b", ybr, "YBR_FULL")).pixels - right).max() <= 2


def palette(**fields):
    tables = {"Red": [0, 10, 65535], "Green": [0, 20, 0], "Blue": [0, 30, 65535]}
    names = "{}PaletteColorLookupTable{}"
    return {
        **{names.format(n, "Data"): np.array(v, "<u2").tobytes() for n, v in tables.items()},
        **{names.format(n, "Descriptor"): [3, 0, 16] for n in tables},
        **fields,
    }


def write_palette(file):
    stored = np.array([[0, 1], [2, 2]], np.uint8)
    data = pydicom.dcmread(write(file, stored))
    data.PhotometricInterpretation = "PALETTE COLOR"
    for name, value in palette().items():
        data.add_new(name, "OW" if name.endswith("Data") else "US", value)
    data.save_as(file)
    return file, data


def test_palette(tmp_path):
    file, data = write_palette(tmp_path / "a")
    image = read(file)
    assert np.array_equal(image.pixels[0, :, 0, 1], [10, 20, 30])
    assert np.array_equal(image.pixels[0, :, 1, 0], [65535, 0, 65535])
    pydicom.dcmwrite(tmp_path / "b", with_syntax(data, ExplicitVRBigEndian), enforce_file_format=True)
    with pytest.raises(DataError, match="b is a big-endian file with a palette"):
        read(tmp_path / "b")


@pytest.mark.parametrize(
    ("syntax", "reason"),
    [
        (JPEGLSLossless, "compressed as JPEG-LS Lossless Image Compression, for which a decoder is missing"),
        (JPEGBaseline8Bit, r"compressed as JPEG Baseline \(Process 1\), fails \("),
        (pydicom.uid.MPEG2MPML, "stored as MPEG2 Main Profile / Main Level, which cannot be read"),
        ("1.2.3.4.5", "stored as 1.2.3.4.5, which cannot be read"),
    ],
)
def test_what_cannot_be_decoded_is_named(tmp_path, monkeypatch, syntax, reason):
    data = pydicom.dcmread(write(tmp_path / "a", GREY.astype(np.uint8)))
    data.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8nonsense\xff\xd9"])
    data["PixelData"].is_undefined_length = True
    data["PixelData"].VR = "OB"
    data.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(tmp_path / "b", data, implicit_vr=False, little_endian=True)
    if syntax == JPEGLSLossless:
        monkeypatch.setattr(type(get_decoder(syntax)), "is_available", False)
    with pytest.raises(DataError, match=f"b,? .*{reason}"):
        read(tmp_path / "b")
