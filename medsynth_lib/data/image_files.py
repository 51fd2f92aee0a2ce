"""Reading a user's files: images of all supported formats as [Z, C, H, W], masks of any encoding as label numbers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageOps, UnidentifiedImageError

from . import preprocess as pre
from .slices import DataError

JPEG = (".jpg", ".jpeg")
TIFF = (".tif", ".tiff")
NIFTI = (".nii", ".nii.gz")
SUFFIXES = (".png", *JPEG, *TIFF, *NIFTI)
LARGEST_LABEL = 31  # a mask with higher values is taken as a binary mask of dark and bright pixels
JPEG_THRESHOLD = 127.5  # half of the 8-bit scale
COLOUR_TOLERANCE = 3  # of 255: by how much the channels of a grey image may differ after compression

ROTATED, AVERAGED = "rotated by EXIF orientation", "colour images, averaged over their channels"
IMAGE_ERRORS = (*pre.READ_ERRORS, SyntaxError, Image.DecompressionBombError, tifffile.TiffFileError)


def suffix(file: Path) -> str:
    """The ending of a file name in lower case; ".nii.gz" counts as one ending."""
    name = file.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def read_pixels(file: Path, notes: list[str], mask: bool = False) -> tuple[np.ndarray, tuple[float, float]]:
    """Stored values [Z, C, H, W] and the (row, column) pixel size in mm; a 2-D image has Z = 1 and a size of 1 mm.

    Appends a text to `notes` for everything unusual. With `mask`, palette indices are kept as label numbers and colour
    is an error. Raises DataError for files that cannot be read or hold values that are not finite.
    """
    if suffix(file) in NIFTI:
        voxels, spacing = pre.read_nifti(file)
        volume = voxels[None] if voxels.ndim == 3 else np.moveaxis(voxels, -1, 0)
        return pre.to_axial(volume), (spacing[1], spacing[0])
    try:
        pixels = _read_tiff_stack(file) if suffix(file) in TIFF else None
        if pixels is None:
            pixels = _read_image(file, notes, mask)
    except IMAGE_ERRORS as error:
        raise DataError(f"{file} cannot be read ({error}); export it again.") from error
    if pixels.dtype.kind not in "buif" or not np.isfinite(pixels).all():
        raise DataError(f"{file} holds NaN, infinite or non-numeric values; clean the file or leave it out.")
    if pixels.ndim == 3 and pixels.shape[2] <= 4:  # [H, W, colours], an alpha channel last
        pixels = pixels[..., : 3 if pixels.shape[2] > 2 else 1].astype(np.float32)
        colourful = np.ptp(pixels, axis=2).max() > COLOUR_TOLERANCE
        if colourful and mask:
            raise DataError(f"{file} is a mask in colour; save label values as grey values 0, 1, 2, ...")
        if colourful:
            notes.append(AVERAGED)
        pixels = pixels.mean(axis=2) if colourful else pixels[..., 0]
    stack = pixels if pixels.ndim == 3 else pixels[None]
    if stack.ndim != 3:
        raise DataError(f"{file} has shape {pixels.shape}; expected one image or one stack of images.")
    return stack[:, None], (1.0, 1.0)


def _read_image(file: Path, notes: list[str], mask: bool) -> np.ndarray:
    """[H, W] or [H, W, colours] of a 2-D image, rotated by its EXIF orientation."""
    with Image.open(file) as image:
        upright = ImageOps.exif_transpose(image)
        if image.getexif().get(0x0112, 1) != 1:
            notes.append(ROTATED)
        # Palette indices are the labels of a mask, but arbitrary in an image.
        if upright.mode in ("CMYK", "YCbCr", "LAB", "HSV", "PA") or (upright.mode == "P" and not mask):
            upright = upright.convert("RGB")
        pixels = np.asarray(upright)
    return pixels.astype(np.uint8) if pixels.dtype == bool else pixels


def _read_tiff_stack(file: Path) -> np.ndarray | None:
    """A TIFF of several pages [Z, H, W] or of a type that Pillow cannot read; None for an ordinary image."""
    try:
        with Image.open(file) as image:
            if getattr(image, "n_frames", 1) == 1:
                return None
    except UnidentifiedImageError:
        pass
    return tifffile.imread(file)


def read_mask(file: Path) -> np.ndarray:
    """Stored values [Z, H, W] of a mask; DataError unless it has one channel of whole numbers >= 0."""
    pixels, _ = read_pixels(file, [], mask=True)
    if pixels.shape[1] != 1:
        raise DataError(f"{file} has {pixels.shape[1]} channels; save one mask with label values 0, 1, 2, ...")
    if pixels.min() < 0 or (pixels.dtype.kind == "f" and (pixels != np.round(pixels)).any()):
        raise DataError(f"{file} holds values that are not whole numbers >= 0; save labels as 0, 1, 2, ...")
    return pixels[:, 0]


@dataclass(frozen=True)
class Encoding:
    """How the masks of a folder store their labels: as label numbers, or as a bright foreground on a dark background.

    binary     whether it is the latter
    brightest  largest stored value of all masks
    names      label names, background first
    text       description of the encoding for the processing record
    """

    binary: bool
    brightest: float
    names: tuple[str, ...]
    text: str

    def labels(self, values: np.ndarray, file: Path) -> np.ndarray:
        """Label numbers uint8 [Z, H, W] from the stored values [Z, H, W] of `file`."""
        if not self.binary:
            return values.astype(np.uint8)
        return (values > (JPEG_THRESHOLD if suffix(file) in JPEG else self.brightest / 2)).astype(np.uint8)


def learn_encoding(masks: list[Path], workers: int = 1) -> Encoding:
    """The encoding that all masks share; DataError naming the file whose values do not fit it."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        values = dict(zip(masks, pool.map(lambda file: np.unique(read_mask(file)), masks), strict=True))
    brightest = max(float(own[-1]) for own in values.values())
    jpegs = [file for file in masks if suffix(file) in JPEG]
    if jpegs and 0 < max(values[file][-1] for file in jpegs) < JPEG_THRESHOLD:
        raise DataError(
            f"{jpegs[0]}: JPEG cannot keep label numbers (no JPEG mask has a value above {JPEG_THRESHOLD:g}); "
            "save the masks as PNG with 0, 1, 2, ..., or as 0 and 255."
        )
    if brightest <= LARGEST_LABEL:
        count = int(brightest) + 1
        names = ("background", *(f"label {k}" for k in range(1, count)))
        return Encoding(False, brightest, ("background", "foreground") if count <= 2 else names, "numbers as stored")
    for file, own in values.items():
        if suffix(file) in JPEG:
            continue
        if 0 < own[-1] <= LARGEST_LABEL:
            raise DataError(f"{file} holds label numbers, other masks reach {brightest:g}; save all masks in one way.")
        between = own[(own > LARGEST_LABEL) & (own < 0.75 * brightest)]
        if between.size:
            raise DataError(
                f"{file} holds value {between[0]:g}, neither a label number (at most {LARGEST_LABEL}) nor part of a "
                f"mask of 0 and {brightest:g}; save labels as 0, 1, 2, ..."
            )
    unclean = sum(bool(((own > 0) & (own < brightest)).any()) for own in values.values())
    text = f"bright is 1, dark is 0, cut at half of the scale; {unclean} of {len(masks)} masks have values in between"
    return Encoding(True, brightest, ("background", "foreground"), text)
