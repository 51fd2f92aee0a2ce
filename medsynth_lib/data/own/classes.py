"""`classes:PATH`, the user's own images sorted into one folder per class, as ImageFolder and most Kaggle sets are."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from .. import preprocess as pre
from ..slices import DataError, SliceSet
from .cases import NO_SUBJECTS, Cases, counted, stack, subjects_of
from .dicom_cases import find_dicom_cases, holds_dicom
from .folder_files import list_entries, normal, require_content
from .image_files import SUFFIXES, suffix
from .pictures import find_pictures
from .subject_table import NAME, read_subjects

TRAIN, TEST = ("train", "training", "val", "valid", "validation"), ("test", "testing")  # without regard to capitals


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
    """The images of `path`/CLASS, or of `path`/train/CLASS and `path`/test/CLASS, each with the class of its folder.

    Subjects in test are set aside for testing (`SliceSet.set_aside`). Other arguments as in `registry.load`.
    """
    notes: list[str] = []
    folders = find_classes(path, notes)
    names = tuple(sorted({key.split("/")[-1] for key in folders}))
    cases = _cases(folders, names, notes, workers)
    files = {name: case.file for name, case in cases.found.items()}
    table = read_subjects(path, list(folders.values()), files, notes)
    subject_of, told_by = subjects_of(cases, table, notes)
    if told_by == NO_SUBJECTS:
        warnings.warn(f"{path}: {NO_SUBJECTS}.", stacklevel=2)
    given = _set_aside(path, files, subject_of)
    chosen = set(pre.choose_subjects(list(subject_of.values()), subjects, seed))
    used = [name for name in sorted(files) if subject_of[name] in chosen]
    counts = Counter(cases.found[name].kind for name in used)
    print("classes: " + ", ".join(f"{name} ({counts[kind]} {cases.kind})" for kind, name in enumerate(names)))
    read = pre.choice(len(used), len(files), cases.kind, seed)
    stacked, processing = stack(
        cases,
        used,
        subject_of,
        notes,
        image_size=image_size,
        slices_per_subject=slices_per_subject,
        workers=workers,
        progress=progress,
    )
    return SliceSet(
        **stacked,
        class_names=names,
        source=f"own folder {path.name}",
        licence="the owner's; not stated",
        intended_use="what the owner of the images permits",
        processing={**processing, "subjects": told_by, "files": "; ".join([read, *counted(notes)])},
        set_aside=tuple(sorted(given & chosen)),
    )


def find_classes(path: Path, notes: list[str]) -> dict[str, Path]:
    """ "CLASS", or "train/CLASS" and "test/CLASS", -> folder of one class.

    Raises DataError, naming what was seen, for fewer than two classes, for class folders beside train and test, and for
    a class that is missing in one of them.
    """
    above = _folders(path, notes)
    parts = {name: folder for name, folder in above.items() if name.casefold() in TRAIN + TEST}
    if not parts:
        return _require_two(path, above)
    if len(parts) < len(above) or not any(name.casefold() in TRAIN for name in parts):
        raise DataError(
            f"{path} holds {', '.join(above)}; give it one folder per class, or train and test with these inside."
        )
    found = {f"{part}/{name}": own for part, folder in parts.items() for name, own in _folders(folder, notes).items()}
    classes = {part: {key.split("/")[1] for key in found if key.startswith(f"{part}/")} for part in parts}
    known = set().union(*classes.values())
    for part, own in classes.items():
        if missing := sorted(known - own):
            raise DataError(
                f"{parts[part]} has no folder {missing[0]} (seen there: {', '.join(sorted(own)) or 'no folder'}), "
                "another part has; give every part the same class folders."
            )
    _require_two(path, dict.fromkeys(known, path))
    notes += [f"folder {part} counted as training images" for part in parts if part.casefold() not in ("train", *TEST)]
    return found


def _folders(path: Path, notes: list[str]) -> dict[str, Path]:
    """Name -> folder in `path`; images beside them are counted in `notes`."""
    entries = list_entries(path)
    for entry in entries:
        require_content(entry)
    loose = [entry for entry in entries if entry.is_file() and entry.name.casefold() != NAME]
    notes += [
        f"{'images' if suffix(file) in SUFFIXES else 'files'} outside the folders of classes, not read"
        for file in loose
    ]
    return {normal(entry.name): entry for entry in entries if entry.is_dir()}


def _require_two(path: Path, classes: dict[str, Path]) -> dict[str, Path]:
    if len(classes) < 2:
        raise DataError(
            f"{path} holds {', '.join(classes) or 'no folder'}; classes: needs at least two folders, one per class."
        )
    return classes


def _cases(folders: dict[str, Path], names: tuple[str, ...], notes: list[str], workers: int) -> Cases:
    """The cases of all folders, named by the key of their folder and their own name, with their classes."""
    found, kinds = {}, set()
    for key, folder in folders.items():
        own = (find_dicom_cases if holds_dicom(folder) else find_pictures)(folder, None, notes, workers)
        kinds.add(own.kind)
        kind = names.index(key.split("/")[-1])
        found |= {f"{key}/{name}": replace(case, kind=kind) for name, case in own.found.items()}
    return Cases(found, " and ".join(sorted(kinds)))


def _set_aside(path: Path, files: dict[str, Path], subject_of: dict[str, str]) -> set[str]:
    """The subjects of a folder test; DataError for one who is in train, too."""
    given: dict[str, Path] = {}
    others: dict[str, Path] = {}
    for name, file in files.items():
        words = name.split("/")
        (given if len(words) > 2 and words[0].casefold() in TEST else others).setdefault(subject_of[name], file)
    for subject in sorted(given.keys() & others.keys()):
        raise DataError(
            f"{given[subject]} and {others[subject]} are of subject {subject}, who would be in the training and in the "
            f"test part; move the images of each subject into one of them, or give {path} no folder test."
        )
    return set(given)
