"""The list of all data sources: from the text that a user gives for `data` to a SliceSet."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from .slices import DataError, SliceSet

# name -> whether a colon and a folder follow it. Sources are imported when used, so that the phantom needs no MONAI.
KNOWN = {
    "phantom": False,
    "phantom-uniform": False,
    "hippocampus": False,
    "braintumour": False,
    "brats": True,
    "folder": True,
    "pneumoniamnist": False,
}


def known_sources() -> list[str]:
    """The values that `data` may have, as a user writes them."""
    return [f"{name}:PATH" if needs_path else name for name, needs_path in KNOWN.items()]


def data_root() -> Path:
    """Folder of public data sets: MEDSYNTH_DATA when set, else the user's cache folder (never the repository)."""
    if os.environ.get("MEDSYNTH_DATA"):
        return Path(os.environ["MEDSYNTH_DATA"]).expanduser().resolve()
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
    path = Path(text).expanduser()
    if not path.is_dir():
        raise DataError(f"the folder {path} does not exist; correct the path after {name}:.")
    return name, path.resolve()


def key(data: str) -> str:
    """Folder name of results on `data`: "phantom", or "brats-<last folder>-<6 hex digits of the path's sha256>"."""
    name, path = check(data)
    if path is None:
        return name
    readable = re.sub(r"[^A-Za-z0-9_.]+", "_", path.name).strip("._") or "data"
    return f"{name}-{readable}-{hashlib.sha256(str(path).encode()).hexdigest()[:6]}"


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
    slices_per_subject  largest number of slices, evenly spaced among those that satisfy the slice rule; 0 = all
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
        from .folder import load as load_folder

        return load_folder(path, **common)
    if name == "pneumoniamnist":
        from .medmnist import load as load_medmnist

        return load_medmnist(data_root(), image_size=image_size, subjects=subjects, seed=seed)
    from .decathlon import load as load_decathlon

    return load_decathlon(name, data_root(), **common)
