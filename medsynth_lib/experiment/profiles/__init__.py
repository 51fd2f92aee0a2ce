"""Every size and budget of the project: smoke, demo, reference, gpu, paper and family, one .toml file each.

A notebook never asks which profile it runs in; it reads the numbers from `run.settings`. A user's own file works
wherever a profile is named: `PROFILE=mine.toml`, with `base = "gpu"` and the lines that differ. Imports no torch, for
the Snakefile's sake.
"""

from __future__ import annotations

import re
from pathlib import Path

from .reading import read
from .sizes import FAMILY, DataSizes, MemorizationSizes, Profile, SegmentationSizes

__all__ = [
    "FAMILY",
    "MINUTES",
    "NAMES",
    "PROFILES",
    "DataSizes",
    "MemorizationSizes",
    "Profile",
    "SegmentationSizes",
    "minutes",
    "name_of",
    "profile",
    "source_of",
]

NAMES = ("smoke", "demo", "reference", "gpu", "paper", "family")
PROFILES: dict[str, Profile] = {}
MINUTES: dict[str, dict[str, float]] = {}  # per notebook, as far as measured
for _name in NAMES:
    PROFILES[_name], MINUTES[_name] = read(Path(__file__).with_name(f"{_name}.toml"), PROFILES)


def profile(name: str) -> Profile:
    """The profile called `name`, or that of a user's own .toml file; ValueError, in one sentence, otherwise."""
    return PROFILES[name] if name_of(name) in PROFILES else read(source_of(name), PROFILES)[0]


def minutes(name: str) -> dict[str, float]:
    """Minutes per notebook in the profile `name` (or in that file) as far as they were measured."""
    return MINUTES[name] if name_of(name) in PROFILES else read(source_of(name), PROFILES)[1]


def name_of(name: str) -> str:
    """The name of a profile's run folder: its own, or the stem of a user's file.

    Raises ValueError for an unknown name, and for a stem that is unfit for a folder or a shipped profile's name.
    """
    if name in PROFILES:
        return name
    path = Path(name)
    if path.suffix != ".toml":
        raise ValueError(
            f"unknown profile {name!r}; known profiles: {', '.join(PROFILES)}, or the path of a .toml file."
        )
    if path.stem in PROFILES:
        raise ValueError(f"{path}: a profile named {path.stem} is shipped; give the file another name.")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", path.stem):
        raise ValueError(f"{path}: the run's folder gets the file's name; write it with letters, digits, - and _ only.")
    return path.stem


def source_of(name: str) -> str:
    """By which `profile` finds it from any folder: a shipped profile's name, or the absolute path of a file."""
    return name if name_of(name) in PROFILES else str(Path(name).resolve())
