"""What the system refused, in words: a disk that is full, a folder that may not be written to."""

from __future__ import annotations

import shutil
from pathlib import Path

FULL = 2**20  # bytes: with less space than this, nothing of a run can be written


def sentence(error: OSError) -> str:
    """The file, the reason and what to do, as one sentence."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}; free space, or set MEDSYNTH_RUNS to a folder that you may write to."


def is_full(folder: Path) -> bool:
    """Whether the disk of an existing folder has no space left."""
    return shutil.disk_usage(folder).free < FULL
