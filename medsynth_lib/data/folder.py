"""The user's own images/ and labels/ with equal file names: PNG, JPEG, TIFF or NIfTI; one slice or volume per file."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from . import preprocess as pre
from .folder_files import find_pairs
from .grids import check_grid, field_of_view
from .image_files import NIFTI, read_mask, read_pixels, suffix
from .mask_values import Encoding, learn_encoding
from .slices import DataError, SliceSet
from .subject_table import read_subjects

SKULL_STRIPPED = 0.2  # smallest fraction of pixels that are exactly 0 for which 0 counts as background

NO_SUBJECTS = (
    "no subjects.csv: each file is its own subject, so a split by subject cannot be guaranteed; if a patient has "
    "several files, write subjects.csv with the columns file,subject"
)


def load(
    path: Path,
    *,
    image_size: int,
    subjects: int,
    slices_per_subject: int,
    seed: int,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> SliceSet:
    """The slices of `path`/images, with the label maps of `path`/labels when that folder exists.

    Every file of the chosen subjects is read. Other arguments as in `registry.load`.
    """
    notes: list[str] = []
    images, masks = find_pairs(path, notes)
    owner = read_subjects(path, images, notes)
    if owner is None:
        warnings.warn(f"{path}: {NO_SUBJECTS}.", stacklevel=2)
    subject_of = owner or {stem: stem for stem in images}
    chosen = set(pre.choose_subjects(list(subject_of.values()), subjects, seed))
    stems = [stem for stem in sorted(images) if subject_of[stem] in chosen]
    files = pre.choice(len(stems), len(images), "files", seed)
    for stem in stems if masks else ():
        check_geometry(images[stem], masks[stem])
    volumes = [file for file in images.values() if suffix(file) in NIFTI]
    in_mm = len(volumes) == len(images)
    field = field_of_view(volumes) if in_mm else None
    encoding = learn_encoding([masks[stem] for stem in stems], workers) if masks else None
    if encoding:
        print(encoding.text)
    there: list[int] = []  # slices that are not constant, per file

    def read(stem: str) -> pre.AxialVolume:
        volume = _read(images[stem], masks[stem] if masks else None, encoding, notes)
        there.append(len(volume.keep))
        return volume

    stacked = pre.stack_cases(
        [(subject_of[stem], stem) for stem in stems],
        read,
        image_size=image_size,
        field=field,
        slices_per_subject=slices_per_subject,
        workers=workers,
        progress=progress,
    )
    if not in_mm:
        stacked["spacing"] = (1.0, 1.0)
    repeats = len(stacked["images"]) - len({image.tobytes() for image in stacked["images"]})
    notes += ["identical images, whose subjects the split keeps together"] * repeats
    channels = stacked["images"].shape[1]
    slices, used = "every slice that is not constant", len(stacked["images"])
    if used < sum(there):
        slices = f"{used} of {sum(there)} slices that are not constant: evenly spaced, at least one from every file"
        print(slices)
    unusual = [f"{n} {topic}" for topic, n in sorted(Counter(notes).items())]
    for text in unusual:
        print(text)
    return SliceSet(
        **stacked,
        channels=("image",) if channels == 1 else tuple(f"channel {k + 1}" for k in range(channels)),
        label_names=encoding.names if encoding else (),
        source=f"own folder {path.name}",
        licence="the owner's; not stated",
        intended_use="what the owner of the images permits",
        processing={
            "intensity": f"{pre.INTENSITY_ALL}; where at least {SKULL_STRIPPED:.0%} of a file is exactly 0 (nothing "
            "below), 0 is background: left out of the percentiles and set to -1",
            "slices": slices,
            "orientation": f"2-D images as stored, rotated by their EXIF orientation; volumes: {pre.ORIENTATION}",
            "geometry": pre.GEOMETRY
            + ("" if in_mm else "; each file to its own square; pixel size unknown, 1 pixel is counted as 1 mm"),
            "subjects": NO_SUBJECTS if owner is None else "as named in subjects.csv",
            "labels": encoding.text if encoding else "none",
            "files": "; ".join([files, *unusual]),
        },
    )


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


def _read(file: Path, mask: Path | None, encoding: Encoding | None, notes: list[str]) -> pre.AxialVolume:
    """One file as slices, with its own intensity scaling."""
    pixels, spacing = read_pixels(file, notes)
    labels = None
    if mask is not None:
        values = read_mask(mask)
        if values.shape != (len(pixels), *pixels.shape[2:]):
            raise DataError(
                f"{mask} has shape {values.shape} but its image {(len(pixels), *pixels.shape[2:])} (slices, rows, "
                "columns); export the mask again at the image's size and orientation."
            )
        labels = encoding.labels(values, mask)
    volume = np.moveaxis(pixels, 1, 0)
    empty = (volume == 0).all(axis=0)
    stripped = empty.mean() >= SKULL_STRIPPED and volume.min() == 0
    scaled = pre.scale_intensity(volume, ~empty if stripped else np.ones_like(empty), [str(file)] * len(volume))
    keep = np.flatnonzero(np.ptp(pixels, axis=(1, 2, 3)) > 0)
    if len(keep) == 0:
        raise DataError(f"{file} has no slice that is not constant; replace it or leave it out.")
    return pre.AxialVolume(np.moveaxis(scaled, 0, 1), labels, keep, spacing)
