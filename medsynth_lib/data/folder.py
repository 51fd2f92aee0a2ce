"""The user's own images/ and labels/ with equal file names: PNG, JPEG, TIFF or NIfTI; one slice or volume per file."""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from . import preprocess as pre
from .image_files import NIFTI, SUFFIXES, Encoding, learn_encoding, read_mask, read_pixels, suffix
from .slices import DataError, SliceSet

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

    Other arguments as in `registry.load`.
    """
    notes: list[str] = []
    images, masks = find_pairs(path, notes)
    owner = read_subjects(path, images)
    if owner is None:
        warnings.warn(f"{path}: {NO_SUBJECTS}.", stacklevel=2)
    subject_of = owner or {stem: stem for stem in images}
    chosen = set(pre.choose_subjects(list(subject_of.values()), subjects, seed))
    stems = [stem for stem in sorted(images) if subject_of[stem] in chosen]
    encoding = learn_encoding([masks[stem] for stem in stems], workers) if masks else None

    volumes = [file for file in images.values() if suffix(file) in NIFTI]
    in_mm = len(volumes) == len(images)
    stacked = pre.stack_cases(
        [(subject_of[stem], stem) for stem in stems],
        lambda stem: _read(images[stem], masks[stem] if masks else None, encoding, notes),
        image_size=image_size,
        field=pre.field_of_view(volumes) if in_mm else None,
        slices_per_subject=slices_per_subject,
        workers=workers,
        progress=progress,
    )
    if not in_mm:
        stacked["spacing"] = (1.0, 1.0)
    repeats = len(stacked["images"]) - len({image.tobytes() for image in stacked["images"]})
    notes += ["identical images, whose subjects the split keeps together"] * repeats
    channels = stacked["images"].shape[1]
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
            "slices": "every file; in volumes every slice that is not constant",
            "orientation": f"2-D images as stored, rotated by their EXIF orientation; volumes: {pre.ORIENTATION}",
            "geometry": pre.GEOMETRY
            + ("" if in_mm else "; each file to its own square; pixel size unknown, 1 pixel is counted as 1 mm"),
            "subjects": NO_SUBJECTS if owner is None else "as named in subjects.csv",
            "labels": encoding.text if encoding else "none",
            "files": "; ".join(f"{n} {topic}" for topic, n in sorted(Counter(notes).items())) or "nothing unusual",
        },
    )


def find_pairs(path: Path, notes: list[str]) -> tuple[dict[str, Path], dict[str, Path] | None]:
    """Stem -> image file and stem -> mask file (None without a labels folder).

    Appends a text to `notes` for every mask without an image. Raises DataError for an image without a mask.
    """
    images = _list_files(path / "images", notes)
    if not images:
        raise DataError(f"{path / 'images'} holds no image; put one file per slice or volume there ({SUFFIXES}).")
    if not (path / "labels").is_dir():
        return images, None
    masks = _list_files(path / "labels", notes)
    for stem in sorted(set(images) - set(masks)):
        raise DataError(f"{images[stem]} has no mask in {path / 'labels'}; add {stem}.png or move the image away.")
    notes += ["masks without an image, ignored"] * len(set(masks) - set(images))
    return images, masks


def _list_files(folder: Path, notes: list[str]) -> dict[str, Path]:
    """Stem -> file of a known ending; hidden files are skipped, others reported in `notes`."""
    if not folder.is_dir():
        raise DataError(f"{folder} does not exist; put the images into a folder of that name.")
    files: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if not file.is_file() or file.name.startswith(".") or file.name.lower() in ("thumbs.db", "desktop.ini"):
            continue
        if suffix(file) not in SUFFIXES:
            notes.append("files with an unknown ending, ignored")
            continue
        stem = file.name[: -len(suffix(file))]
        if stem in files:
            raise DataError(f"{file} and {files[stem].name} share the name {stem!r}; rename or remove one of them.")
        files[stem] = file
    return files


def read_subjects(path: Path, images: dict[str, Path]) -> dict[str, str] | None:
    """Stem -> subject from `path`/subjects.csv (columns file,subject); None when there is no such file."""
    table = path / "subjects.csv"
    if not table.is_file():
        return None
    try:
        lines = table.read_text(encoding="utf-8-sig").splitlines()
        separator = ";" if lines and ";" in lines[0] else ","  # spreadsheets write ; in some languages
        rows = [(row["file"].strip(), row["subject"].strip()) for row in csv.DictReader(lines, delimiter=separator)]
    except (OSError, ValueError, KeyError, AttributeError, csv.Error) as error:
        raise DataError(f"{table} cannot be read ({error}); it needs the columns file,subject.") from error
    listed = {Path(file.replace("\\", "/")).name: subject for file, subject in rows if subject}
    owner = {stem: listed.get(file.name, listed.get(stem)) for stem, file in images.items()}
    for stem, subject in owner.items():
        if subject is None:
            raise DataError(f"{table} does not name {images[stem].name}; add a row {images[stem].name},<subject>.")
    return owner


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
    return pre.AxialVolume(np.moveaxis(scaled, 0, 1), labels, keep, spacing)
