"""PNG and JPEG pictures are decoded in every mode, and refused where Pillow would read only a part of them."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from medsynth_lib.data.own.rasters import read_picture
from medsynth_lib.data.slices import DataError

ROWS, COLUMNS = np.mgrid[:12, :9]
GREY = (10 * ROWS + 7 * COLUMNS).astype(np.uint8)
COLOURS = np.dstack([GREY, GREY // 2, GREY // 3])
OPACITY = (255 - GREY).astype(np.uint8)


def png(depth, kind, samples):
    """A PNG of any depth and kind, written by hand because Pillow does not write all of them."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], depth, kind, 0, 0, 0)
    lines = b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in samples)
    content = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


@pytest.mark.parametrize("pixels", [GREY, GREY.astype(np.uint16) * 250, COLOURS], ids=["8 bit", "16 bit", "colour"])
def test_png_keeps_its_values(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    raster = read_picture(tmp_path / "a.png")
    assert np.array_equal(raster.samples[0, 0], pixels.reshape(*GREY.shape, -1))
    assert raster.alpha is None and raster.colours is None and not raster.lossy and not raster.turned


def test_png_of_one_bit_is_black_and_white(tmp_path):
    Image.fromarray(GREY > 60).save(tmp_path / "a.png")
    assert np.array_equal(read_picture(tmp_path / "a.png").samples[0, 0, ..., 0], (GREY > 60) * 255)


@pytest.mark.parametrize("pixels", [np.dstack([GREY, OPACITY]), np.dstack([COLOURS, OPACITY])], ids=["grey", "colour"])
def test_alpha_is_kept_apart(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    raster = read_picture(tmp_path / "a.png")
    assert np.array_equal(raster.alpha[0, 0], OPACITY)
    assert np.array_equal(raster.samples[0, 0], pixels[..., :-1])


@pytest.mark.parametrize("transparent", [None, 1, bytes([255, 0, 9])])
def test_indices_come_with_their_colours(tmp_path, transparent):
    table = [(0, 0, 0), (255, 0, 0), (7, 8, 9)]
    image = Image.fromarray(GREY % 3).convert("L")
    image.putpalette([level for colour in table for level in colour])
    image.save(tmp_path / "a.png", **({} if transparent is None else {"transparency": transparent}))
    raster = read_picture(tmp_path / "a.png")
    assert np.array_equal(raster.samples[0, 0, ..., 0], GREY % 3)
    assert raster.colours[:3].tolist() == [list(colour) for colour in table]
    opacity = {None: None, 1: [255, 0, 255]}.get(transparent, [255, 0, 9])
    assert (raster.alpha is None) if opacity is None else (raster.alpha[0, 0] == np.take(opacity, GREY % 3)).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_is_lossy(tmp_path, mode):
    Image.fromarray(GREY).convert(mode).save(tmp_path / "a.jpg", quality=100)
    raster = read_picture(tmp_path / "a.jpg")
    assert raster.lossy and raster.samples.shape[-1] == (1 if mode == "L" else 3)
    assert np.abs(raster.samples[0, 0].astype(float) - GREY[..., None]).max() < 6


def test_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(GREY).copy()).save(tmp_path / "a.png", exif=exif.tobytes())
    raster = read_picture(tmp_path / "a.png")
    assert raster.turned and np.array_equal(raster.samples[0, 0, ..., 0], GREY)


@pytest.mark.parametrize(("kind", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bit_colours_are_refused(tmp_path, kind, channels):
    samples = np.repeat(GREY[..., None].astype(np.uint16), channels, axis=2)  # label numbers: all in the lost half
    (tmp_path / "a.png").write_bytes(png(16, kind, samples))
    with pytest.raises(DataError, match="a.png has colours or transparency of 16 bits"):
        read_picture(tmp_path / "a.png")


def test_the_png_written_by_hand_is_right(tmp_path):
    (tmp_path / "a.png").write_bytes(png(16, 0, GREY.astype(np.uint16) * 250))
    assert np.array_equal(read_picture(tmp_path / "a.png").samples[0, 0, ..., 0], GREY.astype(np.uint16) * 250)


def test_several_pictures_are_refused(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png", save_all=True, append_images=[Image.fromarray(GREY // 2)])
    with pytest.raises(DataError, match="a.png holds 2 pictures"):
        read_picture(tmp_path / "a.png")
