"""TIFF files through tifffile, which knows every axis and number type; compressions that it lacks through Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from tifffile import TIFF, TiffFile, TiffPage, TiffPageSeries

from ..slices import DataError
from .rasters import PLAIN, Raster

# Values of TIFF's tags
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, INDEXED, CMYK, YCBCR, CIELAB = 0, 1, 2, 3, 5, 6, 8  # PhotometricInterpretation
READ_RIGHTLY = {1: (1, 2, 4, 8, 12, 16), 2: (16, 32), 3: (32,)}  # bits that Pillow reads rightly, by SampleFormat
ALPHA = (1, 2)  # ExtraSamples
LOSSLESS = (1, 2, 3, 4, 5, 8, 32773, 32946, 34925, 50000)  # Compression: none, CCITT, LZW, ZIP, PackBits, LZMA, Zstd
ORIENTATION = 274  # the tag's number

SLICES, CHANNELS = "ZIQ", "C"  # tifffile's letters; I and Q are pages of which the file does not say what they are
GREY_OR_INDEX = (WHITE_IS_ZERO, BLACK_IS_ZERO, INDEXED)
# For each orientation: whether rows and columns change places, and which axes of [..., H, W, S] are reversed then
TURNS = {
    2: (False, [-2]),
    3: (False, [-3, -2]),
    4: (False, [-3]),
    5: (True, []),
    6: (True, [-2]),
    7: (True, [-3, -2]),
    8: (True, [-3]),
}


def read_tiff(file: Path) -> Raster:
    """The one picture or stack in a TIFF file, white as the largest value, rotated by its stored orientation.

    Raises DataError when the file is cut off, holds several stacks, has other axes than slices and channels, or is
    stored in a way that neither library reads rightly.
    """
    with TiffFile(file) as tiff:
        _require_all_pages(tiff, file)
        stacks = [series for series in tiff.series if not series.keyframe.is_reduced]  # thumbnails are left out
        if len(stacks) != 1:
            raise DataError(f"{file} holds {len(stacks)} pictures or stacks that differ; save each as its own file.")
        series, page = stacks[0], stacks[0].keyframe
        if series.is_multifile or (series.kind == "ome" and None in series):
            raise DataError(f"{file} holds only a part of its stack; save the whole stack in one file.")
        samples = _by_tifffile(series, file)
        if samples is None:
            samples = _by_pillow(series, file)
        samples, alpha = _split_alpha(_slices_and_channels(samples, series, file), page, file)
        turned = page.tags.valueof(ORIENTATION, 1) != 1
        colours = _colour_table(page)
    lossy, white_is_zero = page.compression not in LOSSLESS, page.photometric == WHITE_IS_ZERO
    return Raster(samples, alpha, colours, lossy, turned, white_is_zero)


def tiff_orientation(file: Path) -> int:
    """The orientation of the picture or stack in a TIFF file, which `read_tiff` applies; 1 when there is none."""
    with TiffFile(file) as tiff:
        return next(s.keyframe.tags.valueof(ORIENTATION, 1) for s in tiff.series if not s.keyframe.is_reduced)


def _require_all_pages(tiff: TiffFile, file: Path) -> None:
    """DataError unless the last page that can be found says that it is the last: tifffile goes without the others."""
    len(tiff.pages)  # finds all pages
    tiff.filehandle.seek(tiff.pages.next_page_offset)
    size = tiff.tiff.offsetsize
    if tiff.filehandle.read(size) != bytes(size):
        raise DataError(f"{file} is cut off after page {len(tiff.pages)}; copy or export it again.")


def _by_tifffile(series: TiffPageSeries, file: Path) -> np.ndarray | None:
    """[..., H, W, S], the first axes as in `series`; None where tifffile lacks a decoder."""
    page = series.keyframe
    known = page.compression in TIFF.DECOMPRESSORS and page.predictor in TIFF.UNPREDICTORS
    if not known or page.photometric not in (*GREY_OR_INDEX, RGB):
        return None
    try:
        samples = series.asarray()
    except (ImportError, NotImplementedError):  # Zstandard before Python 3.14, and 2, 4 or 12 bits per sample
        return None
    axes = [series.axes.index(axis) for axis in "YXS" if axis in series.axes]
    samples = np.moveaxis(samples, axes, range(-len(axes), 0))
    samples = samples if "S" in series.axes else samples[..., None]
    top = 2**page.bitspersample - 1
    if samples.dtype == bool:
        samples, top = samples.astype(np.uint8) * 255, 255
    if page.photometric == WHITE_IS_ZERO:
        if samples.dtype.kind != "u":
            raise DataError(f"{file} stores white as 0 in {samples.dtype} numbers; save it with black as 0.")
        samples = (top - samples).astype(samples.dtype)
    swap, flip = TURNS.get(page.tags.valueof(ORIENTATION, 1), (False, []))
    return np.flip(np.swapaxes(samples, -3, -2) if swap else samples, flip)


def _by_pillow(series: TiffPageSeries, file: Path) -> np.ndarray:
    """[..., H, W, S] through Pillow, which by itself applies the orientation and, up to 8 bits, makes white bright."""
    page = series.keyframe
    bits, several = page.bitspersample, page.samplesperpixel > 1
    right = bits in READ_RIGHTLY.get(page.sampleformat, ()) and not (page.photometric == WHITE_IS_ZERO and bits > 8)
    if several:
        right = bits == 8 and page.planarconfig == 1 and page.photometric in (RGB, CMYK, YCBCR, CIELAB)
    if not right:
        name = getattr(page.compression, "name", page.compression)
        raise DataError(f"{file} cannot be read with its compression ({name}); save it without compression.")
    frames = []
    with Image.open(file, formats=("TIFF",)) as image:
        for frame in series:
            image.seek(frame.index)
            pixels = np.asarray(image if image.mode in PLAIN else image.convert("RGB"))
            frames.append(pixels.astype(np.uint8) * 255 if pixels.dtype == bool else pixels)
    samples = np.stack(frames)
    samples = samples if samples.ndim == 4 else samples[..., None]
    others = (length for axis, length in zip(series.axes, series.shape, strict=True) if axis not in "YXS")
    return samples.reshape(*others, *samples.shape[1:])


def _slices_and_channels(samples: np.ndarray, series: TiffPageSeries, file: Path) -> np.ndarray:
    """[Z, C, H, W, S] from [..., H, W, S]; DataError unless the other axes are one of slices and one of channels."""
    axes = [axis for axis in series.axes if axis not in "YXS"]
    slices, channels = [[k for k, axis in enumerate(axes) if axis in kind] for kind in (SLICES, CHANNELS)]
    if len(slices) > 1 or len(channels) > 1 or len(slices) + len(channels) < len(axes):
        raise DataError(
            f"{file} has the axes {series.axes} of lengths {series.shape}, not only slices (Z) and channels (C); save "
            "each time point or position as a file of its own, or name the axis of slices Z."
        )
    samples = samples.transpose(*slices, *channels, -3, -2, -1)
    return samples.reshape(*(samples.shape[: len(slices)] or (1,)), -1, *samples.shape[-3:])


def _split_alpha(samples: np.ndarray, page: TiffPage, file: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Samples [Z, C, H, W, S] of a grey value or three colours, and the opacity [Z, C, H, W] where there is one."""
    colours = 1 if page.photometric in GREY_OR_INDEX else 3
    extra = samples.shape[-1] - colours
    if extra == 1 and (colours == 3 or any(kind in ALPHA for kind in page.extrasamples)):
        return samples[..., :colours], samples[..., colours]
    if extra and colours == 1 and samples.shape[1] == 1:  # channels stored pixel by pixel
        return np.moveaxis(samples, -1, 1)[:, :, 0, ..., None], None
    if extra:
        raise DataError(f"{file} has {samples.shape[-1]} values per pixel; save it as grey or as red, green and blue.")
    return samples, None


def _colour_table(page: TiffPage) -> np.ndarray | None:
    """[N, 3] uint8 of a picture stored as indices, from TIFF's table [3, N] of 16 bits."""
    return (page.colormap.T >> 8).astype(np.uint8) if page.photometric == INDEXED else None
