"""Pictures as they are decoded, before colours become grey values or label numbers; PNG and JPEG through Pillow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..slices import DataError

FORMATS = ("PNG", "JPEG", "MPO")  # MPO: a JPEG picture with others behind it, as cameras write
# Pillow's modes whose values are used as they are; others are converted to RGB.
PLAIN = ("1", "L", "I", "I;16", "I;16B", "I;16L", "F", "P", "LA", "RGB", "RGBA")
ORIENTATION = 0x0112  # EXIF
PNG_BITS, PNG_KIND = 24, 25  # bytes of a PNG that give its bits per sample and whether it has colours or alpha


@dataclass(frozen=True)
class Raster:
    """One picture or a stack of them.

    samples        [Z, C, H, W, S]; S = 1 for grey values or indices into `colours`, 3 for red, green and blue
    alpha          opacity [Z, C, H, W], or None
    colours        the colour table [N, 3] of a picture stored as indices, or None
    lossy          whether the compression changes values, as JPEG's does
    turned         whether a stored orientation was applied
    white_is_zero  whether the file stores white as 0; `samples` has it bright all the same
    """

    samples: np.ndarray
    alpha: np.ndarray | None = None
    colours: np.ndarray | None = None
    lossy: bool = False
    turned: bool = False
    white_is_zero: bool = False


def read_picture(file: Path) -> Raster:
    """A PNG or JPEG picture; DataError where Pillow would read it only in part."""
    with file.open("rb") as stream:
        head = stream.read(PNG_KIND + 1)
    with Image.open(file, formats=FORMATS) as image:
        if image.format == "PNG":
            if head[PNG_BITS] == 16 and head[PNG_KIND]:  # Pillow drops half of the bits
                raise DataError(f"{file} has colours or transparency of 16 bits; save 16-bit grey or 8-bit colours.")
            if image.n_frames > 1:
                raise DataError(f"{file} holds {image.n_frames} pictures; save each as a file of its own.")
        turned = image.getexif().get(ORIENTATION, 1) != 1
        samples, alpha, colours = _samples(ImageOps.exif_transpose(image))
    alpha = None if alpha is None else alpha[None, None]
    return Raster(samples[None, None], alpha, colours, lossy=image.format != "PNG", turned=turned)


def picture_orientation(file: Path) -> int:
    """The EXIF orientation of a PNG or JPEG picture, which `read_picture` applies; 1 when there is none."""
    with Image.open(file, formats=FORMATS) as image:
        return image.getexif().get(ORIENTATION, 1)


def _samples(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Samples [H, W, S], opacity [H, W] and colour table [N, 3] of a picture, see `Raster`; 1 bit becomes 0 and 255."""
    if image.mode not in PLAIN:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    pixels, alpha, colours = np.asarray(image), None, None
    if image.mode == "P":
        colours = np.array(image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
        if image.has_transparency_data:
            alpha = np.asarray(image.convert("RGBA"))[..., 3]
    elif image.mode in ("LA", "RGBA"):
        pixels, alpha = pixels[..., :-1], pixels[..., -1]
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    return (pixels if pixels.ndim == 3 else pixels[..., None]), alpha, colours
