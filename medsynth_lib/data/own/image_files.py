"""Reading a user's files: images of all supported formats as [Z, C, H, W], masks as the numbers that they store."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import preprocess as pre
from ..slices import DataError
from .rasters import Raster, picture_orientation, read_picture
from .tiff_files import read_tiff, tiff_orientation

JPEG = (".jpg", ".jpeg")
TIFF = (".tif", ".tiff")
NIFTI = (".nii", ".nii.gz")
SUFFIXES = (".png", *JPEG, *TIFF, *NIFTI)

MOST_CHANNELS = 4  # more are time points or slices rather than kinds of images
UNITS_OF_TIME = (8, 16, 24)  # NIfTI's codes of s, ms and us, in these bits of xyzt_units:
TIME_BITS = 0x38
LOSSY_GREY = 3  # of 255: by how much the channels of a grey image may differ after lossy compression
SCALE_ERROR = 1e-4  # by how much a whole number may be off after the scaling that NIfTI's header prescribes

ROTATED, AVERAGED = "rotated by EXIF orientation", "colour images, averaged over their channels"
TRANSPARENT = "partly transparent images, of which the transparency is not used"


def suffix(file: Path) -> str:
    """The ending of a file name in lower case; ".nii.gz" counts as one ending."""
    name = file.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def read_pixels(file: Path, notes: list[str]) -> tuple[np.ndarray, tuple[float, float]]:
    """Stored values [Z, C, H, W] and the (row, column) pixel size in mm; a picture has Z = 1 and a size of 1 mm.

    Appends a text to `notes` for everything unusual. Raises DataError for files that cannot be read, hold time points
    or more than four channels, or values that are not finite.
    """
    if suffix(file) in NIFTI:
        return _read_volume(file)
    raster = _read_raster(file)
    if raster.turned:
        notes.append(ROTATED)
    if raster.alpha is not None and np.ptp(raster.alpha):
        notes.append(TRANSPARENT)
    pixels = raster.samples if raster.colours is None else _look_up(raster)
    if _is_grey(pixels, raster.lossy):
        pixels = pixels[..., 0]
    else:
        notes.append(AVERAGED)
        pixels = pixels.mean(axis=-1, dtype=np.float32)
    return _checked(pixels, file), (1.0, 1.0)


def read_mask(file: Path) -> np.ndarray:
    """Stored values [Z, H, W] of a mask; DataError unless it has one channel of whole numbers >= 0."""
    return read_mask_and_colours(file)[0]


def read_mask_and_colours(file: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Stored values [Z, H, W] of a mask and, when they are indices into a table of colours, that table [N, 3].

    A table of greys is applied: such a file shows grey values, in whatever order they are numbered. Raises DataError
    for colours, transparency, several channels, fractions and negative numbers, which are no label of a pixel.
    """
    colours = None
    if suffix(file) in NIFTI:
        values = _read_volume(file)[0]
    else:
        raster = _read_raster(file)
        _require_mask(raster, file)
        values, colours = raster.samples, raster.colours
        if colours is not None and (colours == colours[:, :1]).all():
            values, colours = _look_up(raster), None
        values = _checked(values[..., 0], file)
    if values.shape[1] != 1:
        raise DataError(f"{file} has {values.shape[1]} channels; save one mask with label values 0, 1, 2, ...")
    whole = np.round(values)
    if values.min() < 0 or (values.dtype.kind == "f" and np.abs(values - whole).max() > SCALE_ERROR):
        raise DataError(f"{file} holds values that are not whole numbers >= 0; save labels as 0, 1, 2, ...")
    return whole[:, 0], colours


def _read_volume(file: Path) -> tuple[np.ndarray, tuple[float, float]]:
    """A NIfTI file as `read_pixels` returns it; a series of time points is refused before its voxels are read.

    Volumes are cut into axial slices; a single sagittal or coronal slice is one image.
    """
    image = pre.open_nifti(file)
    if len(image.shape) > 3 and image.shape[3] > 1:
        timed = int(image.header["xyzt_units"]) & TIME_BITS in UNITS_OF_TIME and image.header["pixdim"][4] > 0
        if timed:
            raise DataError(
                f"{file} has {image.shape[3]} time points by its header; save each time point as a file of its own or, "
                "if they are channels, remove the unit of time from the header (xyzt_units)."
            )
        _require_few_channels(image.shape[3], file)
    voxels, spacing = pre.read_nifti(file)
    volume = voxels[None] if voxels.ndim == 3 else np.moveaxis(voxels, -1, 0)
    across, down, normal = pre.plane(voxels.shape)
    return pre.to_axial(np.moveaxis(volume, normal - 3, -1)), (spacing[down], spacing[across])


def _read_raster(file: Path) -> Raster:
    try:
        return read_tiff(file) if suffix(file) in TIFF else read_picture(file)
    except DataError:
        raise
    except Exception as error:  # a damaged file makes the decoders fail in any way
        raise DataError(f"{file} cannot be read ({error}); export it again.") from error


def stored_orientation(file: Path) -> int:
    """The orientation, 1 to 8 as EXIF numbers them, by which a picture is rotated when it is read; 1: not at all."""
    if suffix(file) in NIFTI:
        return 1
    turn = tiff_orientation(file) if suffix(file) in TIFF else picture_orientation(file)
    return turn if turn in range(1, 9) else 1  # other numbers are no orientation, and nothing is rotated


def _require_mask(raster: Raster, file: Path) -> None:
    """Raise DataError for a picture of which it is unclear which label a pixel has."""
    if raster.lossy and suffix(file) not in JPEG:
        raise DataError(f"{file} is a mask with lossy compression; save it as PNG from the original labels.")
    if not raster.lossy and suffix(file) in JPEG:
        raise DataError(f"{file} is no JPEG picture in spite of its name; give it the ending of its format.")
    if raster.white_is_zero:
        raise DataError(
            f"{file} is a mask that stores white as 0 (WhiteIsZero), so that 0 may be background or not; save it with "
            "black as 0."
        )
    if raster.alpha is not None and np.ptp(raster.alpha):
        raise DataError(f"{file} is a mask with transparent parts; save label values as grey values without alpha.")
    if not _is_grey(raster.samples, raster.lossy):
        raise DataError(f"{file} is a mask in colour; save label values as grey values 0, 1, 2, ...")


def _is_grey(samples: np.ndarray, lossy: bool) -> bool:
    """Whether the three colours of each pixel in [..., S] are equal, or nearly so after lossy compression."""
    if samples.shape[-1] == 1:
        return True
    spread = samples.max(axis=-1).astype(np.float64) - samples.min(axis=-1)  # in integers it could overflow
    return float(spread.max()) <= (LOSSY_GREY if lossy else 0)


def _look_up(raster: Raster) -> np.ndarray:
    """The colours [Z, C, H, W, 3] of a picture stored as indices; an index beyond the table is black."""
    table = np.zeros((max(len(raster.colours), int(raster.samples.max()) + 1), 3), dtype=np.uint8)
    table[: len(raster.colours)] = raster.colours
    return table[raster.samples[..., 0]]


def _checked(pixels: np.ndarray, file: Path) -> np.ndarray:
    """Pixels [Z, C, H, W]; DataError unless they are finite numbers of a few channels."""
    if pixels.dtype.kind not in "uif" or not np.isfinite(pixels).all():
        raise DataError(f"{file} holds NaN, infinite or non-numeric values; clean the file or leave it out.")
    _require_few_channels(pixels.shape[1], file)
    return pixels


def _require_few_channels(count: int, file: Path) -> None:
    if count > MOST_CHANNELS:
        raise DataError(
            f"{file} has {count} channels, more than {MOST_CHANNELS}; if they are time points or slices, save each as "
            "a file of its own, otherwise keep the most useful ones."
        )
