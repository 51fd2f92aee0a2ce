"""A user's own images/ and labels/ with equal file names: PNG, JPEG, TIFF or NIfTI, one file per slice or volume."""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageOps, UnidentifiedImageError

from . import preprocess as pre
from .slices import DataError, SliceSet

JPEG = (".jpg", ".jpeg")
NIFTI = (".nii", ".nii.gz")
SUFFIXES = (".png", *JPEG, ".tif", ".tiff", *NIFTI)
LARGEST_LABEL = 31  # masks with higher values are pictures of a binary mask, not label numbers
SKULL_STRIPPED = 0.2  # fraction of exact zeros from which zero is taken for background

NO_SUBJECTS = (
    "no subjects.csv: each file is its own subject, so a split by subject CANNOT be guaranteed; if a patient has "
    "several files, write subjects.csv with the columns file,subject"
)


@dataclass
class Notes:
    """What was met while reading and must be said in `processing` (counts by topic)."""

    counts: Counter = field(default_factory=Counter)

    def __str__(self) -> str:
        return "; ".join(f"{topic}: {n}" for topic, n in sorted(self.counts.items())) or "nothing unusual"


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
    """The slices of `path`/images with the label maps of `path`/labels, when that folder exists."""
    notes = Notes()
    images = list_files(path / "images", notes)
    masks = list_files(path / "labels", notes) if (path / "labels").is_dir() else None
    if not images:
        raise DataError(
            f"{path / 'images'} holds no image ({', '.join(SUFFIXES)}); put one file per slice or volume there."
        )
    if masks is not None:
        for stem in sorted(set(images) - set(masks)):
            raise DataError(f"{images[stem]} has no mask in {path / 'labels'}; add {stem}.png or move the image away.")
        notes.counts["masks without image, ignored"] += len(set(masks) - set(images))
    owner = read_subjects(path, images)
    if owner is None:
        warnings.warn(f"{path}: {NO_SUBJECTS}.", stacklevel=2)
    subject_of = owner or {stem: stem for stem in images}
    chosen = set(pre.choose_subjects(list(subject_of.values()), subjects, seed))
    cases = [(subject_of[stem], stem) for stem in sorted(images) if subject_of[stem] in chosen]

    encoding = label_encoding([masks[stem] for _, stem in cases], workers) if masks is not None else None
    volumes = [file for file in images.values() if suffix(file) in NIFTI]
    sized = len(volumes) == len(images)
    stacked = pre.stack_cases(
        cases,
        lambda stem: _read(images[stem], masks[stem] if masks is not None else None, encoding, notes),
        image_size=image_size,
        field=pre.field_of_view(volumes) if sized else None,
        slices_per_subject=slices_per_subject,
        workers=workers,
        progress=progress,
    )
    if not sized:
        stacked["spacing"] = (1.0, 1.0)
    distinct = {image.tobytes() for image in stacked["images"]}
    notes.counts["identical images (their subjects stay together in the split)"] += len(stacked["images"]) - len(
        distinct
    )
    channels = stacked["images"].shape[1]
    return SliceSet(
        **stacked,
        channels=("image",) if channels == 1 else tuple(f"channel {k + 1}" for k in range(channels)),
        label_names=encoding.names if encoding else (),
        source=f"own folder {path.name}",
        licence="the owner's; not stated",
        intended_use="what the owner of the images permits",
        processing={
            "intensity": f"{pre.INTENSITY_ALL}; where at least {SKULL_STRIPPED:.0%} of a file is exactly 0, zero is "
            "background: left out of the percentiles and set to -1",
            "slices": "every file; in volumes every slice that is not constant",
            "orientation": f"pictures as stored, after their EXIF orientation; volumes: {pre.ORIENTATION}",
            "geometry": pre.GEOMETRY
            + ("" if sized else "; each file to its own square; pixel size unknown, 1 pixel is counted as 1 mm"),
            "subjects": NO_SUBJECTS if owner is None else "subjects.csv",
            "labels": encoding.text if encoding else "none",
            "met": str(notes),
        },
    )


def suffix(file: Path) -> str:
    """Lower-case ending, ".nii.gz" as a whole."""
    name = file.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def list_files(folder: Path, notes: Notes) -> dict[str, Path]:
    """Stem -> file. Hidden files and unknown endings are ignored (the latter counted)."""
    if not folder.is_dir():
        raise DataError(f"{folder} does not exist; put the images into a folder of that name.")
    files: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or not file.is_file():
            continue
        if suffix(file) not in SUFFIXES:
            notes.counts["files with an unknown ending, ignored"] += file.name.lower() not in (
                "thumbs.db",
                "desktop.ini",
            )
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
        text = table.read_text(encoding="utf-8-sig")
        separator = ";" if ";" in text.partition("\n")[0] else ","  # spreadsheets of some countries write ;
        rows = [
            (row["file"].strip(), row["subject"].strip())
            for row in csv.DictReader(text.splitlines(), delimiter=separator)
        ]
    except (OSError, ValueError, KeyError, AttributeError, csv.Error) as error:
        raise DataError(f"{table} cannot be read ({error}); it needs the columns file,subject.") from error
    listed = {Path(file.replace("\\", "/")).name: subject for file, subject in rows if subject}
    owner = {stem: listed.get(file.name, listed.get(stem)) for stem, file in images.items()}
    for stem, subject in owner.items():
        if subject is None:
            raise DataError(f"{table} does not name {images[stem].name}; add a row {images[stem].name},<subject>.")
    return owner


@dataclass(frozen=True)
class Encoding:
    """How the masks of a folder store their labels: as numbers, or as a picture with a bright foreground."""

    binary: bool
    full: float  # brightest value of the picture
    names: tuple[str, ...]
    text: str


def label_encoding(masks: list[Path], workers: int) -> Encoding:
    """Learn the encoding from all masks at once, so that it is the same for every file.

    Raises DataError naming the file whose values fit neither way.
    """
    with ThreadPoolExecutor(max(1, workers)) as pool:
        values = dict(zip(masks, pool.map(lambda file: np.unique(read_mask(file)[0]), masks), strict=True))
    full = max(float(v.max()) for v in values.values())
    jpegs = [file for file in masks if suffix(file) in JPEG]
    if full <= LARGEST_LABEL:
        if jpegs and full > 0:
            raise DataError(
                f"{jpegs[0]}: JPEG cannot keep label numbers (the brightest value of all masks is {full:g}); "
                "save the masks as PNG, or as 0 and 255."
            )
        names = tuple(["background", *(f"label {k}" for k in range(1, int(full) + 1))])
        names = ("background", "foreground") if full <= 1 else names
        return Encoding(False, full, names, "whole numbers as stored")
    for file, own in values.items():
        if suffix(file) in JPEG:
            continue
        if own.tolist() in ([0, 1], [1]):
            raise DataError(f"{file} stores 0/1 but other masks reach {full:g}; save all masks the same way.")
        middle = own[(own > full / 4) & (own < full * 3 / 4)]
        if middle.size:
            raise DataError(
                f"{file} holds value {middle[0]:g} between 0 and {full:g}, neither a label number up to {LARGEST_LABEL} "
                "nor a clean 0/255 mask; save labels as 0, 1, 2, ..."
            )
    stray = sum(bool(((own > 0) & (own < full)).any()) for own in values.values())
    text = f"bright/dark masks cut at half of the brightest value ({full:g})"
    return Encoding(
        True, full, ("background", "foreground"), text + (f"; {stray} masks were not clean" if stray else "")
    )


def read_mask(file: Path) -> tuple[np.ndarray, tuple[float, float]]:
    """Stored values [Z, H, W] of a mask and its spacing; DataError unless whole numbers from 0 on."""
    pixels, spacing = _read_pixels(file, Notes(), mask=True)
    if pixels.shape[1] != 1:
        raise DataError(f"{file} has colours or channels; save label values as grey levels.")
    if pixels.min() < 0 or (pixels.dtype.kind == "f" and (pixels != np.round(pixels)).any()):
        raise DataError(f"{file} holds label values that are not whole numbers from 0 on; save labels as 0, 1, 2, ...")
    return pixels[:, 0], spacing


def _read(file: Path, mask: Path | None, encoding: Encoding | None, notes: Notes) -> pre.Cut:
    pixels, spacing = _read_pixels(file, notes)
    labels = None
    if mask is not None:
        values, _ = read_mask(mask)
        if values.shape != (len(pixels), *pixels.shape[2:]):
            raise DataError(
                f"{mask} has size {values.shape[1:]}, its image {pixels.shape[2:]} (slices {len(values)} and "
                f"{len(pixels)}); export the mask again at the image's size and orientation."
            )
        labels = (values > encoding.full / 2 if encoding.binary else values).astype(np.uint8)
    volume = np.moveaxis(pixels, 1, 0)
    empty = (volume == 0).all(axis=0)
    foreground = ~empty if empty.mean() >= SKULL_STRIPPED and volume.min() == 0 else np.ones_like(empty)
    scaled = pre.scale_intensity(volume, foreground, [str(file)] * len(volume))
    keep = np.flatnonzero(np.ptp(pixels, axis=(1, 2, 3)) > 0)
    return pre.Cut(np.moveaxis(scaled, 0, 1), labels, keep, spacing)


def _read_pixels(file: Path, notes: Notes, mask: bool = False) -> tuple[np.ndarray, tuple[float, float]]:
    """Stored values [Z, C, H, W] (Z = 1 for a picture) and the pixel spacing in mm (1 for a picture)."""
    if suffix(file) in NIFTI:
        voxels, spacing = pre.read_nifti(file)
        volume = voxels[None] if voxels.ndim == 3 else np.moveaxis(voxels, -1, 0)
        return pre.to_axial(volume), (spacing[1], spacing[0])
