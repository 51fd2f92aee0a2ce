"""Cases that are files of their own: PNG, JPEG, TIFF and NIfTI, with masks of equal names."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from ..grids import check_grid, extent
from ..slices import DataError
from .cases import Case, Cases
from .folder_files import Part, find_images, find_masks, require_no_channels
from .image_files import NIFTI, read_mask, read_pixels, stored_orientation, suffix
from .mask_values import Encoding, learn_encoding

SIDES_SWAPPED = (5, 6, 7, 8)  # EXIF orientations that exchange rows and columns


def find_pictures(parts: list[Part], notes: list[str], workers: int) -> Cases:
    """One case per file in the folders of images, with its mask from that of masks if there is one."""
    files: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    for part in parts:
        own = find_images(part.images, notes)
        require_no_channels(own, part.labels)
        files |= {part.prefix + name: file for name, file in own.items()}
        if part.labels is not None:
            masks |= {part.prefix + name: mask for name, mask in find_masks(own, part.labels, notes).items()}
    for name, mask in masks.items():
        check_geometry(files[name], mask)
    # Of all masks, although fewer may be used: label names must not depend on the choice of subjects.
    encoding = learn_encoding(list(masks.values()), workers) if masks else None
    found = {
        name: Case(
            file,
            partial(_read, file, masks.get(name), encoding),
            extent=extent(file) if suffix(file) in NIFTI else None,
        )
        for name, file in files.items()
    }
    return Cases(found, "files", encoding.names, encoding.text) if encoding else Cases(found, "files")


def check_geometry(image: Path, mask: Path) -> None:
    """Raise DataError, naming both files, unless the mask can be laid on its image.

    NIfTI files must lie on one grid. Other formats do not say which way is up, so they cannot be paired with NIfTI.
    """
    if suffix(image) in NIFTI and suffix(mask) in NIFTI:
        check_grid(image, mask)
    elif suffix(image) in NIFTI or suffix(mask) in NIFTI:
        raise DataError(
            f"{mask} and its image {image} are of two kinds, of which only NIfTI says how it lies in the patient; save "
            "both as NIfTI, or both as pictures."
        )


def _require_one_way_up(image: Path, mask: Path, shape: tuple[int, ...]) -> None:
    """Raise DataError where a mask of the image's `shape` [Z, H, W] may have been drawn before the image was rotated.

    Only sides of different length show that the mask was drawn on the rotated image.
    """
    turns = stored_orientation(image), stored_orientation(mask)
    on_its_side = [turn in SIDES_SWAPPED for turn in turns]
    if turns[0] != turns[1] and (on_its_side[0] == on_its_side[1] or shape[1] == shape[2]):
        raise DataError(
            f"{mask} has the stored (EXIF) orientation {turns[1]} but its image {image} {turns[0]}, and the mask fits "
            "the image before and after its rotation; save both without a stored orientation, lying alike."
        )


def _read(
    file: Path, mask: Path | None, encoding: Encoding | None, notes: list[str]
) -> tuple[np.ndarray, tuple[float, float], np.ndarray | None]:
    """What `Case.read` gives."""
    pixels, spacing = read_pixels(file, notes)
    if mask is None:
        return pixels, spacing, None
    values = read_mask(mask)
    if values.shape != (len(pixels), *pixels.shape[2:]):
        raise DataError(
            f"{mask} has shape {values.shape} but its image {(len(pixels), *pixels.shape[2:])} (slices, rows, "
            "columns); export the mask again at the image's size and orientation."
        )
    _require_one_way_up(file, mask, values.shape)
    return pixels, spacing, encoding.labels(values, mask)
