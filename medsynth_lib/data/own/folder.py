"""`folder:PATH`, the user's own images/ and labels/: pictures, NIfTI or DICOM, each a slice or a volume."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

from .. import preprocess as pre
from ..slices import SliceSet
from .cases import NO_SUBJECTS, counted, stack, subjects_of
from .dicom_cases import find_dicom_cases, holds_dicom
from .folder_files import find_folders
from .pictures import find_pictures
from .subject_table import read_subjects


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
    images, labels = find_folders(path, notes)
    cases = (find_dicom_cases if holds_dicom(images) else find_pictures)(images, labels, notes, workers)
    if labels is not None:
        print(cases.label_text)
    files = {name: case.file for name, case in cases.found.items()}
    subject_of, told_by = subjects_of(cases, read_subjects(path, [images], files, notes), notes)
    if told_by == NO_SUBJECTS:
        warnings.warn(f"{path}: {NO_SUBJECTS}.", stacklevel=2)
    chosen = set(pre.choose_subjects(list(subject_of.values()), subjects, seed))
    names = [name for name in sorted(cases.found) if subject_of[name] in chosen]
    read = pre.choice(len(names), len(files), cases.kind, seed)
    stacked, processing = stack(
        cases,
        names,
        subject_of,
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
        processing={**processing, "subjects": told_by, "files": "; ".join([read, *counted(notes)])},
    )
