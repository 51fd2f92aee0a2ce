"""`classes:PATH`, the user's own images sorted into one folder per class, as ImageFolder and most Kaggle sets are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from ..slices import DataError, SliceSet
from .cases import Cases, choose, set_aside, slice_set
from .dicom_cases import find_dicom_cases, holds_dicom
from .folder_files import (
    IMAGE_FOLDERS,
    LABEL_FOLDERS,
    TEST,
    UNLABELLED_TEST,
    Part,
    list_entries,
    normal,
    outside,
    require_content,
)
from .pictures import find_pictures

TRAIN = ("train", "training", "val", "valid", "validation")  # without regard to capitals


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
    chosen = choose(path, list(folders.values()), cases, notes, subjects=subjects, seed=seed)
    counts = Counter(cases.found[name].kind for name in chosen.names)
    print("classes: " + ", ".join(f"{name} ({counts[kind]} {cases.kind})" for kind, name in enumerate(names)))
    return slice_set(
        path,
        cases,
        chosen,
        notes,
        image_size=image_size,
        slices_per_subject=slices_per_subject,
        workers=workers,
        progress=progress,
        class_names=names,
        set_aside=set_aside(path, cases, chosen, _is_test),
    )


def find_classes(path: Path, notes: list[str]) -> dict[str, Path]:
    """The folder of each class by its key: CLASS, or train/CLASS and test/CLASS.

    Raises DataError, naming what was seen, for fewer than two classes, for class folders beside train and test, for a
    class that is missing in one of them, and for images and masks in place of classes.
    """
    above = _folders(path, notes)
    _require_no_masks(path, above)
    parts = {name: folder for name, folder in above.items() if name.casefold() in TRAIN + TEST}
    if not parts:
        return _require_two(path, above)
    if len(parts) < len(above) or not any(name.casefold() in TRAIN for name in parts):
        raise DataError(
            f"{path} holds {', '.join(above)}; give it one folder per class, or train and test with these inside."
        )
    below = {part: _folders(folder, notes) for part, folder in parts.items()}
    for part in sorted(below, key=lambda part: part.casefold() in TEST):  # names the training part first
        _require_no_masks(parts[part], below[part])
    known = set().union(*below.values())
    for part, own in below.items():
        if missing := sorted(known - own.keys()):
            raise DataError(
                f"{parts[part]} has no folder {missing[0]} (seen there: {', '.join(sorted(own)) or 'no folder'}), "
                "another part has; give every part the same class folders."
            )
    _require_two(path, dict.fromkeys(known, path))
    notes += [f"folder {part} counted as training images" for part in parts if part.casefold() not in ("train", *TEST)]
    return {f"{part}/{name}": folder for part, own in below.items() for name, folder in own.items()}


def _folders(path: Path, notes: list[str]) -> dict[str, Path]:
    """Name -> folder in `path`; files beside them are counted in `notes`."""
    entries = list_entries(path)
    for entry in entries:
        require_content(entry)
    notes += outside(entries, "the folders of classes")
    return {normal(entry.name): entry for entry in entries if entry.is_dir()}


def _require_no_masks(path: Path, folders: Collection[str]) -> None:
    """Raise DataError when all folders in `path` are named as those of images and of masks: no class is learned."""
    if {name.casefold() for name in folders} <= {*IMAGE_FOLDERS, *LABEL_FOLDERS, *UNLABELLED_TEST} and folders:
        raise DataError(
            f"{path} holds {', '.join(folders)}, which are images and masks rather than classes; write folder:{path}, "
            "or give it one folder per class."
        )


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
        parts = [Part("", folder)]
        if holds_dicom(folder):
            own = find_dicom_cases(parts, notes, workers, masks=False)
        else:
            own = find_pictures(parts, notes, workers)
        kinds.add(own.kind)
        kind = names.index(key.split("/")[-1])
        found |= {f"{key}/{name}": replace(case, kind=kind) for name, case in own.found.items()}
    return Cases(found, " and ".join(sorted(kinds)))


def _is_test(name: str) -> bool:
    words = name.split("/")
    return len(words) > 2 and words[0].casefold() in TEST
