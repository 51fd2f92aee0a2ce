"""Whether a job is done: its `metrics.json` is replaced as a whole, then `done.json` is written.

Snakemake deletes a job's outputs before the job begins. `done.json` is therefore the only one: a job that fails or is
killed counts as not done, and its previous result is kept. Imports no torch, for the Snakefile's sake.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ..data.slices import DataError, hash_of

METRICS, DONE = "metrics.json", "done.json"


def mark_done(folder: Path) -> None:
    """Write `done.json` with the hash of the `metrics.json` beside it, so that it is valid for no other one."""
    from ..core.checkpoints import write_json  # imports torch

    write_json(folder / DONE, {"metrics_sha256": _sha256(folder / METRICS)})


def described(folder: Path) -> dict[str, str]:
    """{"samples_hash", "weights_key"} of the samples and weights in `folder`, as far as it holds any.

    Raises DataError for damaged samples.
    """
    found = {}
    if (folder / "samples").is_dir():
        found["samples_hash"] = hash_of(folder / "samples")
    if (folder / "config.json").is_file():
        found["weights_key"] = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("key")
    return found


def still_fits(folder: Path, metrics: dict) -> bool:
    """Whether samples and weights in `folder` are those described in `metrics` (see `Run.register`).

    They are not if training or sampling was repeated and the notebook did not reach its end.
    """
    return metrics.get("describes") in (None, described(folder))


def is_done(folder: Path) -> bool:
    """Whether `done.json` belongs to the `metrics.json` beside it, and samples and weights fit (in subfolders, too)."""
    try:
        if json.loads((folder / DONE).read_text(encoding="utf-8"))["metrics_sha256"] != _sha256(folder / METRICS):
            return False
        found = [folder / METRICS, *folder.glob(f"*/{METRICS}")]
        return all(still_fits(path.parent, json.loads(path.read_text(encoding="utf-8"))) for path in found)
    except (OSError, ValueError, KeyError, TypeError, DataError):
        return False


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
