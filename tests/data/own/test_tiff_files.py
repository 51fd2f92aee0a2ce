"""TIFF files of every number type, arrangement and compression give the values that were written, or are refused."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from medsynth_lib.data.own.tiff_files import ORIENTATION, read_tiff
from medsynth_lib.data.slices import DataError

ROWS, COLUMNS = np.mgrid[:12, :9]
GREY = (10 * ROWS + 7 * COLUMNS).astype(np.uint8)
COLOURS = np.dstack([GREY, GREY // 2, GREY // 3])
STACK = np.stack([GREY, GREY // 2, GREY // 3, GREY // 4, GREY // 5])
COMPRESSION, PREDICTOR = 259, 317  # the tags' numbers

TYPES = {
    "uint8": GREY,
    "uint16": GREY.astype(np.uint16) * 250,
    "uint32": GREY.astype(np.uint32) * 20_000_000,
    "int8": (GREY.astype(int) - 90).astype(np.int8),
    "int16": (GREY.astype(np.int16) - 90) * 300,
    "float16": GREY.astype(np.float16) / 7,
    "float32": GREY.astype(np.float32) / 7 - 3,
    "float64": GREY.astype(np.float64) / 7 - 3,
}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "a.tif"


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("options", [{}, {"compression": "deflate"}, {"byteorder": ">"}, {"tile": (16, 16)}], ids=str)
def test_every_number_type(file, name, options):
    tifffile.imwrite(file, TYPES[name], **options)
    raster = read_tiff(file)
    assert np.array_equal(raster.samples[0, 0, ..., 0], TYPES[name])
    assert not raster.lossy and not raster.turned and not raster.white_is_zero and raster.alpha is None


@pytest.mark.parametrize("options", [{}, {"compression": "deflate"}], ids=str)
@pytest.mark.parametrize("bits", [8, 16])
def test_white_as_zero_is_bright(file, bits, options):
    pixels = GREY.astype(f"uint{bits}") * (250 if bits == 16 else 1)
    tifffile.imwrite(file, np.iinfo(pixels.dtype).max - pixels, photometric="miniswhite", **options)
    raster = read_tiff(file)
    assert raster.white_is_zero and np.array_equal(raster.samples[0, 0, ..., 0], pixels)


@pytest.mark.parametrize("compression", ["tiff_lzw", None])
@pytest.mark.parametrize("white", [0, 1])
def test_one_bit_is_black_and_white(file, compression, white):
    Image.fromarray(GREY > 60).save(file, compression=compression)
    with tifffile.TiffFile(file, mode="r+b") as tiff:
        tiff.pages[0].tags["PhotometricInterpretation"].overwrite(white)
    bright = GREY > 60 if white else GREY <= 60
    assert np.array_equal(read_tiff(file).samples[0, 0, ..., 0], bright * 255)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours(file, planar, dtype):
    pixels = COLOURS.astype(dtype) * (250 if dtype == np.uint16 else 1)
    stored = pixels if planar == "contig" else np.moveaxis(pixels, 2, 0)
    tifffile.imwrite(file, stored, photometric="rgb", planarconfig=planar)
    assert np.array_equal(read_tiff(file).samples[0, 0], pixels)


@pytest.mark.parametrize(("pixels", "photometric"), [(GREY[..., None], "minisblack"), (COLOURS, "rgb")], ids=["1", "3"])
def test_alpha_is_kept_apart(file, pixels, photometric):
    stored = np.dstack([pixels, 255 - GREY])
    tifffile.imwrite(file, stored, photometric=photometric, planarconfig="contig", extrasamples=["unassalpha"])
    raster = read_tiff(file)
    assert np.array_equal(raster.samples[0, 0], pixels) and np.array_equal(raster.alpha[0, 0], 255 - GREY)


def test_indices_come_with_their_colours(file):
    table = np.zeros((3, 256), np.uint16)
    table[:, 1], table[:, 2] = (0xFFFF, 0, 0), (0x0707, 0x0808, 0x0909)
    tifffile.imwrite(file, GREY % 3, photometric="palette", colormap=table)
    raster = read_tiff(file)
    assert np.array_equal(raster.samples[0, 0, ..., 0], GREY % 3)
    assert raster.colours[:3].tolist() == [[0, 0, 0], [255, 0, 0], [7, 8, 9]]


@pytest.mark.parametrize("pixels", [GREY, TYPES["uint16"], TYPES["float32"], COLOURS], ids=["8", "16", "float", "rgb"])
@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate"])
def test_compressions_of_pillow(file, pixels, compression):
    Image.fromarray(pixels).save(file, compression=compression)
    raster = read_tiff(file)
    assert np.array_equal(raster.samples[0, 0], pixels.reshape(*GREY.shape, -1)) and not raster.lossy


def test_a_predictor_that_tifffile_lacks(file):
    pixels = TYPES["float32"]
    Image.fromarray(pixels).save(file, compression="tiff_adobe_deflate", tiffinfo={PREDICTOR: 3})
    with tifffile.TiffFile(file) as tiff:
        assert tiff.pages[0].predictor == 3
    assert np.array_equal(read_tiff(file).samples[0, 0, ..., 0], pixels)


def test_zstandard_goes_through_pillow(file):
    try:
        Image.fromarray(GREY).save(file, compression="zstd")
    except OSError:
        pytest.skip("this Pillow has no Zstandard")
    assert np.array_equal(read_tiff(file).samples[0, 0, ..., 0], GREY)


@pytest.mark.parametrize("pixels", [GREY[..., None], COLOURS], ids=["grey", "colours"])
def test_jpeg_compression_is_lossy(file, pixels):
    Image.fromarray(pixels.squeeze()).save(file, compression="jpeg", quality=100)
    raster = read_tiff(file)
    assert raster.lossy and np.abs(raster.samples[0, 0].astype(int) - pixels).max() < 9


@pytest.mark.parametrize("mode", ["CMYK", "LAB"])
def test_other_colour_spaces(file, mode):
    Image.fromarray(COLOURS).convert(mode).save(file)
    assert np.abs(read_tiff(file).samples[0, 0].astype(int) - COLOURS).max() < 5


@pytest.mark.parametrize(
    ("pixels", "options"),
    [
        (TYPES["int8"], {}),
        (TYPES["uint32"], {}),
        (TYPES["float64"], {}),
        (TYPES["uint16"], {"photometric": "miniswhite"}),
        (COLOURS.astype(np.uint16), {"photometric": "rgb"}),
        (np.moveaxis(COLOURS, 2, 0), {"photometric": "rgb", "planarconfig": "separate"}),
    ],
    ids=["int8", "uint32", "float64", "white is 0", "16-bit colours", "planar"],
)
def test_what_pillow_reads_wrongly_is_refused(file, pixels, options):
    tifffile.imwrite(file, pixels, **options)
    with tifffile.TiffFile(file, mode="r+b") as tiff:
        tiff.pages[0].tags[COMPRESSION].overwrite(5)  # LZW, which tifffile cannot write either
    with pytest.raises(DataError, match=r"a.tif cannot be read with its compression \(LZW\); save it without"):
        read_tiff(file)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_orientation(file, orientation, compression):
    turns = dict(enumerate(("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270"), 2))
    turns |= {7: "TRANSVERSE", 8: "ROTATE_90"}
    image = Image.fromarray(GREY)
    image.save(file, compression=compression, tiffinfo={ORIENTATION: orientation})
    upright = image.transpose(Image.Transpose[turns[orientation]]) if orientation > 1 else image
    raster = read_tiff(file)
    assert np.array_equal(raster.samples[0, 0, ..., 0], upright) and raster.turned == (orientation > 1)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_pages_are_slices(file, compression):
    first, *others = [Image.fromarray(page) for page in STACK]
    first.save(file, save_all=True, append_images=others, compression=compression)
    assert np.array_equal(read_tiff(file).samples[:, 0, ..., 0], STACK)


NAMED = {"ZYX": (6,), "CYX": (3,), "ZCYX": (3, 2), "CZYX": (2, 3)}


@pytest.mark.parametrize(
    ("kind", "axes"), [*(("ome", axes) for axes in NAMED), *(("imagej", axes) for axes in ("ZYX", "CYX", "ZCYX"))]
)
def test_named_axes(file, kind, axes):
    shape = NAMED[axes]
    pixels = np.random.default_rng(0).integers(0, 255, (*shape, 12, 9), dtype=np.uint8)
    tifffile.imwrite(file, pixels, metadata={"axes": axes}, **{kind: True})
    lengths = dict(zip(axes, shape, strict=False))
    expected = pixels.swapaxes(0, 1) if axes == "CZYX" else pixels.reshape(lengths.get("Z", 1), -1, 12, 9)
    assert np.array_equal(read_tiff(file).samples[..., 0], expected)


def test_stack_of_colours(file):
    pixels = np.stack([COLOURS, COLOURS // 2])
    tifffile.imwrite(file, pixels, photometric="rgb")
    assert np.array_equal(read_tiff(file).samples[:, 0], pixels)


def test_samples_that_are_no_colours_are_channels(file):
    tifffile.imwrite(file, COLOURS, photometric="minisblack", planarconfig="contig")
    assert np.array_equal(read_tiff(file).samples[0, ..., 0], np.moveaxis(COLOURS, 2, 0))


@pytest.mark.parametrize(("axes", "shape"), [("TYX", (5,)), ("TZYX", (2, 3)), ("TZCYX", (2, 3, 2))])
@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_time_points_are_refused(file, kind, axes, shape):
    tifffile.imwrite(file, np.zeros((*shape, 12, 9), np.uint8), metadata={"axes": axes}, **{kind: True})
    with pytest.raises(DataError, match=f"a.tif has the axes {axes} of lengths .*; save each time point"):
        read_tiff(file)


def test_unnamed_axes_are_refused(file):
    tifffile.imwrite(file, np.zeros((2, 5, 12, 9), np.uint8))
    with pytest.raises(DataError, match="a.tif has the axes QQYX of lengths"):
        read_tiff(file)


def test_a_thumbnail_is_left_out(file):
    with tifffile.TiffWriter(file) as tiff:
        tiff.write(GREY, metadata=None)
        tiff.write(GREY[::3, ::3], subfiletype=1, metadata=None)
    assert np.array_equal(read_tiff(file).samples[0, 0, ..., 0], GREY)


def test_pictures_of_several_sizes_are_refused(file):
    Image.fromarray(GREY).save(file, save_all=True, append_images=[Image.fromarray(GREY[:5])])
    with pytest.raises(DataError, match="a.tif holds 2 pictures or stacks that differ"):
        read_tiff(file)


def test_a_part_of_a_stack_is_refused(file):
    tifffile.imwrite(file, STACK[:2], ome=True, metadata={"axes": "ZYX"})
    text = file.read_bytes().replace(b'SizeZ="2"', b'SizeZ="3"')
    file.write_bytes(text)
    with pytest.raises(DataError, match="a.tif holds only a part of its stack"):
        read_tiff(file)


@pytest.mark.parametrize("compression", [None, "lzw", "deflate"])
def test_a_file_that_is_cut_off_never_gives_fewer_slices(file, compression):
    if compression == "lzw":
        first, *others = [Image.fromarray(page) for page in STACK]
        first.save(file, save_all=True, append_images=others, compression="tiff_lzw")
    else:
        tifffile.imwrite(file, STACK, compression=compression)
    whole = file.read_bytes()
    read = []
    for length in [*range(8, len(whole), 23), len(whole)]:
        file.write_bytes(whole[:length])
        try:
            found = read_tiff(file).samples
        except Exception:  # `image_files` turns every error of the decoders into a sentence
            continue
        read.append(length)
        assert np.array_equal(found[:, 0, ..., 0], STACK), length
    assert len(whole) in read and len(read) < 4


def test_white_as_zero_needs_whole_numbers(file):
    tifffile.imwrite(file, TYPES["float32"], photometric="miniswhite")
    with pytest.raises(DataError, match="a.tif stores white as 0 in float32 numbers"):
        read_tiff(file)
