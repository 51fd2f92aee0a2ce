"""Shared by the jobs of both studies: the hash of the code on which results depend, and reading of valid results."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from ..core.provenance import package_hash
from ..experiment.finished import METRICS


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
