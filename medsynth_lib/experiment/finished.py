"""When is a job done? Its `metrics.json` is replaced as a whole, and then `done.json` says that it was.

Snakemake deletes a job's output before the job begins. Its output is therefore `done.json` alone: a job that fails or
is killed counts as not done, and the result of the time before is still there. Without torch: the Snakefile reads this.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ..data.slices import DataError, hash_of

METRICS, DONE = "metrics.json", "done.json"


def mark_done(folder: Path) -> None:
    """Write `done.json`: the hash of the `metrics.json` beside it, so that it speaks of no other one."""
    from ..core.checkpoints import write_json  # imports torch

    write_json(folder / DONE, {"metrics_sha256": _sha256(folder / METRICS)})


def beside(folder: Path) -> dict[str, str]:
    """What a generator's `metrics.json` speaks of, if it lies in `folder`: the samples' hash, the weights' key.

    Raises DataError for damaged samples.
    """
    found = {}
    if (folder / "samples").is_dir():
        found["samples_hash"] = hash_of(folder / "samples")
    if (folder / "config.json").is_file():
        found["weights_key"] = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("key")
    return found


def still_fits(folder: Path, metrics: dict) -> bool:
    """Are samples and weights in `folder` those of which `metrics` speak (see `Run.publish`)?

    They are not once a training or the sampling was done anew and the notebook did not reach its end.
    """
    return metrics.get("beside") in (None, beside(folder))


def is_done(folder: Path) -> bool:
    """Does `done.json` speak of the `metrics.json` beside it, and do samples and weights fit (also a folder below)?"""
    try:
        if json.loads((folder / DONE).read_text(encoding="utf-8"))["metrics_sha256"] != _sha256(folder / METRICS):
            return False
        found = [folder / METRICS, *folder.glob(f"*/{METRICS}")]
        return all(still_fits(path.parent, json.loads(path.read_text(encoding="utf-8"))) for path in found)
    except (OSError, ValueError, KeyError, TypeError, DataError):
        return False


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
