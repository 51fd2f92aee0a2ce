"""The list of all data sources: from the text that a user gives for `data` to a SliceSet."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from .paths import absolute
from .slices import DataError, SliceSet
from .source_files import find

# name -> whether a colon and a folder follow it. Sources are imported when used, so that the phantom needs no MONAI.
KNOWN = {
    "phantom": False,
    "phantom-uniform": False,
    "hippocampus": False,
    "braintumour": False,
    "brats": True,
    "folder": True,
    "classes": True,
    "pneumoniamnist": False,
}


def known_sources() -> list[str]:
    """The values that `data` may have, as a user writes them."""
    return [f"{name}:PATH" if needs_path else name for name, needs_path in KNOWN.items()]


def data_root() -> Path:
    """Folder of public data sets: MEDSYNTH_DATA when set, else the user's cache folder (never the repository)."""
    if os.environ.get("MEDSYNTH_DATA"):
        return absolute(os.environ["MEDSYNTH_DATA"])
    import pooch

    return Path(pooch.os_cache("medsynth"))


def check(data: str) -> tuple[str, Path | None]:
    """`data` split into the name of the source and its folder (None for a source without one).

    Raises DataError for an unknown source, listing the known ones, or when the folder is missing.
    """
    name, _, text = str(data).strip().partition(":")
    name = name.lower()
    if name not in KNOWN or bool(text) and not KNOWN[name]:
        raise DataError(f"unknown data {data!r}; known: {', '.join(known_sources())}.")
    if not KNOWN[name]:
        return name, None
    if not text:
        raise DataError(f"{name} needs a folder; write {name}:PATH.")
    try:
        path = absolute(text)
    except ValueError as error:
        raise DataError(str(error)) from None
    if not os.path.isdir(path):
        raise DataError(f"the folder {path} does not exist or may not be read; correct the path after {name}:.")
    return name, path


def resolved(data: str) -> str:
    """`data` as it names the same source in every folder: with the absolute path, where there is one."""
    name, path = check(data)
    return name if path is None else f"{name}:{path}"


def without_folders(data: str) -> str:
    """`data` for what is given to others: of a path only its last folder."""
    name, _, text = data.partition(":")
    return f"{name}:{Path(text).name}" if text else name


def is_own(data: str) -> bool:
    """Whether the images are the user's own: these are read whole, unless the profile sets `own_subjects`."""
    return check(data)[0] in ("folder", "classes")


def key(data: str) -> str:
    """Folder name of results on `data`: "phantom", or "brats-<last folder>-<6 hex digits of the path's sha256>"."""
    name, path = check(data)
    if path is None:
        return name
    readable = re.sub(r"[^A-Za-z0-9_.]+", "_", path.name).strip("._") or "data"
    return f"{name}-{readable}-{hashlib.sha256(str(path).encode()).hexdigest()[:6]}"


def files_of(data: str) -> tuple[Path, list[Path]]:
    """The folder of a source, and in it all files that the source may read; none for a simulation or before a download.

    Other files are not among them, nor are results that are written to a run folder in it. Raises DataError for a
    folder that may not be read.
    """
    name, path = check(data)
    if name in ("phantom", "phantom-uniform"):
        return Path(), []
    from .own.image_files import NIFTI, SUFFIXES

    if name == "brats":
        return path, list(find(path, 4, NIFTI))
    if path is not None:
        from .dicom.header import ENDINGS
        from .own.folder_files import IMAGE_FOLDERS, LABEL_FOLDERS, is_test_part, list_entries, normal

        folders = [entry for entry in list_entries(path) if entry.is_dir()]
        if name == "folder":
            folders += [entry for folder in folders if is_test_part(folder) for entry in list_entries(folder)]
            folders = [folder for folder in folders if normal(folder.name).casefold() in IMAGE_FOLDERS + LABEL_FOLDERS]
        # Series of DICOM lie in folders of their own, at any depth and often without an ending.
        deep = [file for folder in folders for file in find(folder, None, ("",))]
        return path, sorted({*find(path, 2, (*SUFFIXES, *ENDINGS, ".csv")), *deep})
    from .decathlon import TASKS

    folder = data_root() / (TASKS[name].folder if name in TASKS else "medmnist")
    return folder, list(find(folder, 2, (*NIFTI, ".json", ".npz")))


def load(
    data: str,
    *,
    image_size: int,
    subjects: int,
    slices_per_subject: int,
    seed: int,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> SliceSet:
    """The slices of any source, `image_size` x `image_size` pixels.

    data                the source, as in `known_sources`
    subjects            largest number of subjects, a random subset seeded by `seed`; 0 = all
    slices_per_subject  largest number of slices, evenly spaced among those that satisfy the slice rule, but at least
                        one of every file; 0 = all
    workers             volumes read at the same time
    progress            called as progress(done, total)
    """
    name, path = check(data)
    sizes = {"image_size": image_size, "subjects": subjects, "slices_per_subject": slices_per_subject}
    common = {**sizes, "seed": seed, "workers": workers, "progress": progress}
    if name in ("phantom", "phantom-uniform"):
        from .phantom import VARIATIONS, simulate

        return simulate(**common, how=VARIATIONS[name])
    if name == "brats":
        from .brats import load as load_brats

        return load_brats(path, **common)
    if name == "folder":
        from .own.folder import load as load_folder

        return load_folder(path, **common)
    if name == "classes":
        from .own.classes import load as load_classes

        return load_classes(path, **common)
    if name == "pneumoniamnist":
        from .medmnist import load as load_medmnist

        return load_medmnist(data_root(), image_size=image_size, subjects=subjects, seed=seed)
    from .decathlon import load as load_decathlon

    return load_decathlon(name, data_root(), **common)
