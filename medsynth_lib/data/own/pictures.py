"""Cases that are files of their own: PNG, JPEG, TIFF and NIfTI, with masks of equal names."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from ..grids import check_grid, extent
from ..slices import DataError
from .cases import Case, Cases
from .folder_files import Part, find_images, find_masks
from .image_files import NIFTI, read_mask, read_pixels, suffix
from .mask_values import Encoding, learn_encoding


def find_pictures(parts: list[Part], notes: list[str], workers: int) -> Cases:
    """One case per file in the folders of images, with its mask from that of masks if there is one."""
    files: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    for part in parts:
        own = find_images(part.images, notes)
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
    return pixels, spacing, encoding.labels(values, mask)
