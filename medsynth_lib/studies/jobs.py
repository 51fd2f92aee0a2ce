"""What the jobs of both studies share: the code that their results depend on, and reading a result that still holds."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from ..core.provenance import package_hash
from ..experiment.finished import METRICS


@cache
def code() -> str:
    """Changes with the library's code, as Snakemake's jobs do; read once per process.

    Measured again costs little: `fit` trains again only where its own code or data changed.
    """
    return package_hash()


def read(folder: Path, request: dict) -> dict | None:
    """The metrics of a finished job with its "folder"; None when there are none, or they answer another request."""
    path = folder / METRICS
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return {**found, "folder": folder} if found and found["request"] == request else None
