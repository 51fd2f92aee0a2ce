"""What the readers of a user's folder have in common: cases that are found first and read one by one later."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import preprocess as pre
from ..grids import largest_extent
from ..slices import DataError, SliceSet
from .subject_table import read_subjects

SKULL_STRIPPED = 0.2  # smallest fraction of pixels that are exactly 0 for which 0 counts as background

INTENSITY = (
    f"{pre.INTENSITY_ALL}; where at least {SKULL_STRIPPED:.0%} of a file is exactly 0 (nothing below), 0 is "
    "background: left out of the percentiles and set to -1"
)
NO_GUARANTEE = (
    "so a split by subject cannot be guaranteed; if a patient has several files, write subjects.csv with the columns "
    "file,subject"
)
NO_SUBJECTS = f"no subjects.csv: each file is its own subject, {NO_GUARANTEE}"
SOME_SUBJECTS = f"have no PatientID: each of these is its own subject, {NO_GUARANTEE}"
PATIENTS = "patients by PatientID, of which a hash is kept"


@dataclass(frozen=True)
class Case:
    """One image, stack of images or volume.

    file     its (first) file
    read     called with a list of notes: pixels [Z, C, H, W], (row, column) pixel size in mm, and labels uint8
             [Z, H, W] or None
    extent   (width, height) in mm of its axial plane or image; None when the pixel size is unknown
    patient  hash of the PatientID; None when there is none
    kind     its class, or None
    """

    file: Path
    read: Callable[[list[str]], tuple[np.ndarray, tuple[float, float], np.ndarray | None]]
    extent: tuple[float, float] | None = None
    patient: str | None = None
    kind: int | None = None


@dataclass(frozen=True)
class Cases:
    """What was found in a folder.

    found        name -> case
    kind         what a case is, in the plural: "files"
    label_names  background first; () without labels
    label_text   how labels are stored, for the processing record
    """

    found: dict[str, Case]
    kind: str
    label_names: tuple[str, ...] = ()
    label_text: str = "none"


def subjects_of(cases: Cases, table: dict[str, str] | None, notes: list[str]) -> tuple[dict[str, str], str]:
    """Name -> subject, and where that is from: the user's table, else PatientID, else each case is its own subject.

    Where that leaves open which images are of one patient, the second text says so (`NO_GUARANTEE`).
    """
    if table is not None:
        return table, "as named in subjects.csv"
    patients = {name: case.patient for name, case in cases.found.items()}
    missing = sum(patient is None for patient in patients.values())
    if missing == len(patients):
        return {name: name for name in patients}, NO_SUBJECTS
    notes += ["images without a PatientID, each its own subject"] * missing
    told_by = f"{PATIENTS}; {missing} of {len(patients)} {cases.kind} {SOME_SUBJECTS}" if missing else PATIENTS
    return {name: patient or name for name, patient in patients.items()}, told_by


@dataclass(frozen=True)
class Chosen:
    """The cases that are read: all of the chosen subjects'.

    names       of these cases, sorted
    subject_of  name -> subject, of all cases
    told_by     where the subjects are from
    share       how many of the cases these are, and how they were chosen
    """

    names: list[str]
    subject_of: dict[str, str]
    told_by: str
    share: str


def choose(path: Path, folders: list[Path], cases: Cases, notes: list[str], *, subjects: int, seed: int) -> Chosen:
    """The cases of `subjects` subjects (0: of all), with path/subjects.csv where there is one.

    folders  those in which the files named in subjects.csv lie
    """
    table = read_subjects(path, folders, {name: case.file for name, case in cases.found.items()}, notes)
    subject_of, told_by = subjects_of(cases, table, notes)
    if NO_GUARANTEE in told_by:
        warnings.warn(f"{path}: {told_by}.", stacklevel=3)
    chosen = set(pre.choose_subjects(list(subject_of.values()), subjects, seed))
    names = [name for name in sorted(cases.found) if subject_of[name] in chosen]
    return Chosen(names, subject_of, told_by, pre.choice(len(names), len(cases.found), cases.kind, seed))


def set_aside(path: Path, cases: Cases, chosen: Chosen, is_test: Callable[[str], bool]) -> tuple[str, ...]:
    """The chosen subjects in the given test part, sorted; DataError for one who is in the training part, too.

    is_test  whether the case of a name is in the test part of the folder `path`
    """
    given: dict[str, Path] = {}
    others: dict[str, Path] = {}
    for name, case in cases.found.items():
        (given if is_test(name) else others).setdefault(chosen.subject_of[name], case.file)
    for subject in sorted(given.keys() & others.keys()):
        raise DataError(
            f"{given[subject]} and {others[subject]} are of subject {subject}, who would be in the training and in the "
            f"test part; move the images of each subject into one of them, or give {path} no folder test."
        )
    return tuple(sorted(given.keys() & {chosen.subject_of[name] for name in chosen.names}))


def slice_set(
    path: Path,
    cases: Cases,
    chosen: Chosen,
    notes: list[str],
    *,
    image_size: int,
    slices_per_subject: int,
    workers: int,
    progress: Callable[[int, int], None] | None,
    **more,
) -> SliceSet:
    """The slices of the chosen cases in the user's folder `path`, with what the reader did to them.

    Other arguments as in `registry.load`; `more`: further fields of the SliceSet.
    """
    stacked, processing = stack(
        cases,
        chosen.names,
        chosen.subject_of,
        notes,
        image_size=image_size,
        slices_per_subject=slices_per_subject,
        workers=workers,
        progress=progress,
    )
    return SliceSet(
        **stacked,
        label_names=cases.label_names,
        source=f"own folder {path.name}",
        licence="the owner's; not stated",
        intended_use="what the owner of the images permits",
        processing={**processing, "subjects": chosen.told_by, "files": "; ".join([chosen.share, *counted(notes)])},
        **more,
    )


def stack(
    cases: Cases,
    names: Iterable[str],
    subject_of: dict[str, str],
    notes: list[str],
    *,
    image_size: int,
    slices_per_subject: int,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[dict, dict[str, str]]:
    """The arrays of the named cases by name, with "spacing" and "channels", and their record of processing by topic.

    With every pixel size known, all cases are shown at one scale; otherwise each fills its own square. Other arguments
    as in `preprocess.stack_cases`.
    """
    extents = {case.file: case.extent for case in cases.found.values()}
    in_mm = all(extent is not None for extent in extents.values())
    there: list[int] = []  # slices that are not constant, per case

    def read(name: str) -> pre.AxialVolume:
        volume = scaled(cases.found[name], notes)
        there.append(len(volume.keep))
        return volume

    stacked = pre.stack_cases(
        [(subject_of[name], name) for name in names],
        read,
        image_size=image_size,
        field=largest_extent(extents) if in_mm else None,
        slices_per_subject=slices_per_subject,
        workers=workers,
        progress=progress,
    )
    if not in_mm:
        stacked["spacing"] = (1.0, 1.0)
    used, channels = len(stacked["images"]), stacked["images"].shape[1]
    stacked["channels"] = ("image",) if channels == 1 else tuple(f"channel {k + 1}" for k in range(channels))
    repeats = used - len({image.tobytes() for image in stacked["images"]})
    notes += ["identical images, whose subjects the split keeps together"] * repeats
    slices = "every slice that is not constant"
    if used < sum(there):
        slices = f"{used} of {sum(there)} slices that are not constant: evenly spaced, at least one from every file"
        print(slices)
    return stacked, {
        "intensity": INTENSITY,
        "slices": slices,
        "orientation": "2-D images as stored, rotated by their EXIF orientation; a NIfTI file of one slice in its own "
        f"plane, superior or anterior up; volumes: {pre.ORIENTATION}",
        "geometry": pre.GEOMETRY
        + ("" if in_mm else "; each file to its own square; pixel size unknown, 1 pixel is counted as 1 mm"),
        "labels": cases.label_text,
    }


def scaled(case: Case, notes: list[str]) -> pre.AxialVolume:
    """One case as slices, with its own intensity scaling."""
    pixels, spacing, labels = case.read(notes)
    volume = np.moveaxis(pixels, 1, 0)
    empty = (volume == 0).all(axis=0)
    stripped = empty.mean() >= SKULL_STRIPPED and volume.min() == 0
    foreground = ~empty if stripped else np.ones_like(empty)
    images = pre.scale_intensity(volume, foreground, [str(case.file)] * len(volume))
    keep = np.flatnonzero(pixels.max(axis=(1, 2, 3)) > pixels.min(axis=(1, 2, 3)))  # a difference could overflow
    if len(keep) == 0:
        raise DataError(f"{case.file} has no slice that is not constant; replace it or leave it out.")
    return pre.AxialVolume(np.moveaxis(images, 0, 1), labels, keep, spacing, case.kind)


def counted(notes: list[str]) -> list[str]:
    """Each note once with its number; printed, too."""
    lines = [f"{n} {topic}" for topic, n in sorted(Counter(notes).items())]
    for line in lines:
        print(line)
    return lines
