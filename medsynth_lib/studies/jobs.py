"""Shared by the jobs of all studies: the hash of the code on which results depend, reading of valid results, and how
a job ends.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

from ..core.checkpoints import CheckpointError
from ..core.method import TrainingError
from ..core.provenance import package_hash
from ..evaluation.report import ReportError
from ..experiment import disk
from ..experiment.finished import METRICS, mark_done


@cache
def code() -> str:
    """Hash of the library's code, by which Snakemake repeats jobs, too; computed once per process.

    A repeated job costs little: `fit` trains again only where its own code or data changed.
    """
    return package_hash()


def read(folder: Path, request: dict) -> dict | None:
    """The metrics of a finished job with its "folder"; None if there are none, or they belong to another request."""
    path = folder / METRICS
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return {**found, "folder": folder} if found and found["request"] == request else None


def kept(folder: Path, path: str, request: dict) -> bool:
    """Whether the job called `path` has a result of this request in `folder`; if so, says that and marks it as done."""
    if not read(folder, request):
        return False
    print(f"{path} is there already, made from the same slices by the same code")
    mark_done(folder)
    return True


def status(path: str, work: Callable[[], object]) -> int:
    """Do the work of the job called `path`: 0, or 1 after one sentence about data, training or disk that failed."""
    try:
        work()
    except (ValueError, ReportError, CheckpointError, TrainingError) as error:  # DataError is a ValueError
        print(f"{path}: {error}")
        return 1
    except OSError as error:
        print(f"{path}: {disk.sentence(error)}")
        return 1
    return 0
