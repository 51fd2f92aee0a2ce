"""`folder:PATH`, the user's own images/ and labels/: pictures, NIfTI or DICOM, each a slice or a volume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..slices import SliceSet
from .cases import choose, set_aside, slice_set
from .dicom_cases import find_dicom_cases, holds_dicom
from .folder_files import find_parts
from .pictures import find_pictures


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

    Subjects in `path`/test/images are set aside for testing (`SliceSet.set_aside`). Every file of the chosen subjects
    is read. Other arguments as in `registry.load`.
    """
    notes: list[str] = []
    parts = find_parts(path, notes)
    cases = (find_dicom_cases if holds_dicom(parts[0].images) else find_pictures)(parts, notes, workers)
    if cases.label_names:
        print(cases.label_text)
    folders = [part.images for part in parts] + [part.images.parent for part in parts[1:]]
    chosen = choose(path, folders, cases, notes, subjects=subjects, seed=seed)
    return slice_set(
        path,
        cases,
        chosen,
        notes,
        image_size=image_size,
        slices_per_subject=slices_per_subject,
        workers=workers,
        progress=progress,
        set_aside=set_aside(path, cases, chosen, lambda name: any(name.startswith(p.prefix) for p in parts[1:])),
    )
