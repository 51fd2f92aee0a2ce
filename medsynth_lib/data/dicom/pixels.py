"""The pixels of one DICOM file: decoded, high for bright, in the units of its rescale table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.pixels import apply_color_lut, apply_modality_lut, get_decoder
from pydicom.uid import HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL, JPEGExtended12Bit

from ..slices import DataError
from .header import ERRORS, group_of, one_line

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
# What decodes the compressed files that pydicom and Pillow cannot read: python-gdcm, except for these.
PLUGIN, OTHER_PLUGINS = (
    "python-gdcm",
    {
        JPEGExtended12Bit: "pylibjpeg pylibjpeg-libjpeg",
        HTJ2K: "pylibjpeg pylibjpeg-openjpeg",
        HTJ2KLossless: "pylibjpeg pylibjpeg-openjpeg",
        HTJ2KLosslessRPCL: "pylibjpeg pylibjpeg-openjpeg",
    },
)


def pixels_of(data: pydicom.Dataset, file: Path) -> tuple[np.ndarray, np.ndarray]:
    """float32 [Z, C, H, W] in stored order, C = 3 in colour, and which of them are padding: bool of the same shape.

    Grey values are those after the file's rescale or modality table (HU in CT), without its display window.
    MONOCHROME1 is mirrored so that high is bright, and palettes and YBR become RGB. Padding (PixelPaddingValue) is for
    `without_padding` to replace. Raises DataError when pixels are absent, not decoded or not finite.
    """
    stored, samples = decode(data, file), int(data.get("SamplesPerPixel") or 1)
    if data.get("PhotometricInterpretation") == "PALETTE COLOR":
        if not data.file_meta.TransferSyntaxUID.is_little_endian:  # pydicom reads the table in this machine's order
            raise DataError(f"{file} is a big-endian file with a palette; export it as little-endian.")
        stored, samples = apply_color_lut(stored, data)[..., :3], 3
    if samples not in (1, 3):
        raise DataError(f"{file} has {samples} values per pixel; export it as grey or RGB.")
    frames = stored.reshape(-1, int(data.Rows), int(data.Columns), samples)
    pixels = frames if samples == 3 else _grey(frames, data)
    if not np.isfinite(pixels).all():
        raise DataError(f"{file} holds NaN or infinite values; clean the file or leave it out.")
    padding = np.zeros(frames.shape, bool) if samples == 3 else _padding(frames, data)
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 1), dtype=np.float32), np.moveaxis(padding, -1, 1)


def without_padding(pixels: np.ndarray, padding: np.ndarray) -> np.ndarray:
    """Pixels of a whole series [Z, C, H, W], those of padding (bool, same shape) set to the darkest of the others.

    Of the whole series, since a slice may hold nothing but padding. 0 stays where no other pixel is negative: there it
    is the background, which may be darker than all of the image. Without other pixels, all stay as they are.
    """
    if not padding.any() or padding.all():
        return pixels
    darkest = pixels.min(where=~padding, initial=np.inf)
    return np.where(padding if darkest < 0 else padding & (pixels != 0), darkest, pixels)


def decode(data: pydicom.Dataset, file: Path) -> np.ndarray:
    """Stored values as pydicom decodes them, YBR as RGB; DataError that says what to install."""
    if not any(name in data for name in PIXELS):
        raise DataError(f"{file} holds no image; leave it out.")
    syntax = data.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise DataError(f"{file} is stored as {syntax.name}, which cannot be read; export it uncompressed.") from error
    advice = f"pip install {OTHER_PLUGINS.get(syntax, PLUGIN)}, or export the file uncompressed"
    if not decoder.is_available:
        raise DataError(f"{file} is compressed as {syntax.name}, for which a decoder is missing; {advice}.")
    try:
        return data.pixel_array
    except ERRORS as error:
        if syntax.is_encapsulated:
            raise DataError(f"{file}, compressed as {syntax.name}, fails ({one_line(error)}); {advice}.") from error
        raise


def _grey(frames: np.ndarray, data: pydicom.Dataset) -> np.ndarray:
    """Stored values [Z, H, W, 1] as `pixels_of` describes: float64 of the same shape."""
    out = np.empty(frames.shape)
    ends = np.array(_range(frames, data))
    for k, frame in enumerate(frames):
        table = group_of(data, k, "PixelValueTransformationSequence")
        out[k] = apply_modality_lut(frame, table)
        if data.get("PhotometricInterpretation") == "MONOCHROME1":
            out[k] = apply_modality_lut(ends, table).sum(dtype=np.float64) - out[k]
    return out


def _range(frames: np.ndarray, data: pydicom.Dataset) -> tuple[int, int]:
    """Smallest and largest value that the file can store, between which MONOCHROME1 is mirrored: black becomes 0."""
    if frames.dtype.kind not in "ui":
        return 0, 0
    bits = int(data.BitsStored)
    return (0, 2**bits - 1) if frames.dtype.kind == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _padding(frames: np.ndarray, data: pydicom.Dataset) -> np.ndarray:
    """Where pixels hold PixelPaddingValue or lie between it and PixelPaddingRangeLimit: bool of the same shape."""
    value = data.get("PixelPaddingValue")
    if value is None or frames.dtype.kind not in "ui":
        return np.zeros(frames.shape, bool)
    limit = data.get("PixelPaddingRangeLimit")
    ends = np.array([value, value if limit is None else limit]).astype(frames.dtype)  # -1 may be written as 65535
    return (frames >= ends.min()) & (frames <= ends.max())
