"""One user file, whatever its format, to stored values [Z, C, H, W]; and masks of any encoding to label numbers."""

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
LARGEST_LABEL = 31  # masks with higher values are pictures of a binary mask, not label numbers
JPEG_CUT = 127.5  # half of the 8-bit scale
COLOUR_TOLERANCE = 3  # grey levels by which the channels of a grey picture may differ after compression

TURNED, AVERAGED = "turned by EXIF orientation", "real colour, mean of the channels taken"
PICTURE_ERRORS = (*pre.READ_ERRORS, SyntaxError, Image.DecompressionBombError, tifffile.TiffFileError)


def suffix(file: Path) -> str:
    """Lower-case ending, ".nii.gz" as a whole."""
    name = file.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def read_pixels(file: Path, notes: list[str], mask: bool = False) -> tuple[np.ndarray, tuple[float, float]]:
    """Stored values [Z, C, H, W] (Z = 1 for a picture) and the pixel spacing in mm (1 for a picture).

    `notes` receives a word for everything unusual. A mask keeps its palette numbers and its colours.
    """
    if suffix(file) in NIFTI:
        voxels, spacing = pre.read_nifti(file)
        volume = voxels[None] if voxels.ndim == 3 else np.moveaxis(voxels, -1, 0)
        return pre.to_axial(volume), (spacing[1], spacing[0])
    try:
        pixels = _read_tiff_stack(file) if suffix(file) in TIFF else None
        if pixels is None:
            pixels = _read_picture(file, notes, mask)
    except PICTURE_ERRORS as error:
        raise DataError(f"{file} cannot be read ({error}); export it again.") from error
    if pixels.dtype.kind not in "buif" or not np.isfinite(pixels).all():
        raise DataError(f"{file} holds NaN, infinite or non-numeric values; clean the file or leave it out.")
    if pixels.ndim == 3 and pixels.shape[2] <= 4:  # [H, W, colours], an alpha channel last
        pixels = pixels[..., : 3 if pixels.shape[2] > 2 else 1].astype(np.float32)
        colourful = np.ptp(pixels, axis=2).max() > COLOUR_TOLERANCE
        if colourful and mask:
            raise DataError(f"{file} is a mask in colour; save label values as grey levels 0, 1, 2, ...")
        if colourful:
            notes.append(AVERAGED)
        pixels = pixels.mean(axis=2) if colourful else pixels[..., 0]
    stack = pixels if pixels.ndim == 3 else pixels[None]
    if stack.ndim != 3:
        raise DataError(f"{file} has shape {pixels.shape}; expected one picture or one stack of pictures.")
    return stack[:, None], (1.0, 1.0)


def _read_picture(file: Path, notes: list[str], mask: bool) -> np.ndarray:
    """[H, W] or [H, W, colours] of a picture, turned upright by its EXIF orientation."""
    with Image.open(file) as picture:
        upright = ImageOps.exif_transpose(picture)
        if picture.getexif().get(0x0112, 1) != 1:
            notes.append(TURNED)
        # Palette numbers are the labels of a mask, but arbitrary in an image.
        if upright.mode in ("CMYK", "YCbCr", "LAB", "HSV", "PA") or (upright.mode == "P" and not mask):
            upright = upright.convert("RGB")
        pixels = np.asarray(upright)
    return pixels.astype(np.uint8) if pixels.dtype == bool else pixels


def _read_tiff_stack(file: Path) -> np.ndarray | None:
    """A TIFF of several pages [Z, H, W] or of a type that Pillow cannot hold; None for an ordinary picture."""
    try:
        with Image.open(file) as picture:
            if getattr(picture, "n_frames", 1) == 1:
                return None
    except UnidentifiedImageError:
        pass
    return tifffile.imread(file)


def read_mask(file: Path) -> np.ndarray:
    """Stored values [Z, H, W] of a mask; DataError unless they are whole numbers from 0 on in one channel."""
    pixels, _ = read_pixels(file, [], mask=True)
    if pixels.shape[1] != 1:
        raise DataError(f"{file} has {pixels.shape[1]} channels; save one mask with label values 0, 1, 2, ...")
    if pixels.min() < 0 or (pixels.dtype.kind == "f" and (pixels != np.round(pixels)).any()):
        raise DataError(f"{file} holds values that are not whole numbers from 0 on; save labels as 0, 1, 2, ...")
    return pixels[:, 0]


@dataclass(frozen=True)
class Encoding:
    """How the masks of a folder store their labels: as numbers, or as a picture with a bright foreground."""

    binary: bool
    brightest: float
    names: tuple[str, ...]
    text: str

    def labels(self, values: np.ndarray, file: Path) -> np.ndarray:
        """Stored values to label numbers, uint8."""
        if not self.binary:
            return values.astype(np.uint8)
        return (values > (JPEG_CUT if suffix(file) in JPEG else self.brightest / 2)).astype(np.uint8)


def learn_encoding(masks: list[Path], workers: int = 1) -> Encoding:
    """The encoding that all masks share. Raises DataError naming the file whose values do not fit."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        values = dict(zip(masks, pool.map(lambda file: np.unique(read_mask(file)), masks), strict=True))
    brightest = max(float(own[-1]) for own in values.values())
    jpegs = [file for file in masks if suffix(file) in JPEG]
    if jpegs and 0 < max(values[file][-1] for file in jpegs) < JPEG_CUT:
        raise DataError(
            f"{jpegs[0]}: JPEG cannot keep label numbers (no JPEG mask has a value above {JPEG_CUT:g}); "
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
            raise DataError(f"{file} holds label numbers, other masks reach {brightest:g}; save all masks one way.")
        between = own[(own > LARGEST_LABEL) & (own < 0.75 * brightest)]
        if between.size:
            raise DataError(
                f"{file} holds value {between[0]:g}, neither a label number (at most {LARGEST_LABEL}) nor part of a "
                f"mask of 0 and {brightest:g}; save labels as 0, 1, 2, ..."
            )
    unclean = sum(bool(((own > 0) & (own < brightest)).any()) for own in values.values())
    text = f"bright or dark, cut at half of the scale to 1 and 0; {unclean} of {len(masks)} masks were not clean"
    return Encoding(True, brightest, ("background", "foreground"), text)
