"""Committed reference weights: the same code, mostly trained for longer; shown beside a run, never part of its results.

To make them again: `make reproduce PROFILE=reference DATA=phantom-uniform NOTEBOOKS="00 01 02"`, then
`python -m medsynth_lib.experiment.pretrained runs/reference/phantom-uniform/seed0`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ..core.checkpoints import CheckpointError, load_weights, save_weights
from ..core.method import Method
from ..data import registry
from ..data.joint import shape_of
from ..models.registry import load_generator
from . import options
from .run import REPOSITORY, Run

REFERENCES = REPOSITORY / "results" / "reference"
MAX_BYTES = 4_000_000  # of one committed model


def reference_folder(data: str, size: int, name: str) -> Path:
    return REFERENCES / f"{registry.key(data)}_{size}px" / name


def load_reference(name: str, run: Run) -> Method | None:
    """The reference generator `name` for the data of `run`, or None (and a printed line why) where none fits."""
    slices = run.slices()
    folder = reference_folder(run.data, slices.size, name)
    if not (folder / "config.json").is_file():
        print(f"no reference weights of {name} for {run.data} at {slices.size} px are committed")
        return None
    config = load_weights(folder)[1]
    arguments, shape = config["plan"]["arguments"], shape_of(slices)
    if any(arguments[key] != value for key, value in vars(shape).items()):
        print(f"the reference weights in {folder} were made for other channels or labels; not shown")
        return None
    record = config["record"]
    print(
        f"reference {name}: {record['images']:,} images seen in {record['seconds'] / 60:.0f} minutes on "
        f"{record['device']} ({folder.relative_to(REPOSITORY)}); not part of this run's numbers"
    )
    return load_generator(folder, run.device)


def copy_generators(run: Path, root: Path) -> list[Path]:
    """Copy the generators of a finished run folder to `root`, in half precision, each with the record of its run.

    Raises ValueError, before anything is written, for a model of more than MAX_BYTES.
    """
    published = {}
    for metrics in sorted([*Path(run).glob("*/metrics.json"), *Path(run).glob("*/*/metrics.json")]):
        record = json.loads(metrics.read_text(encoding="utf-8"))
        if "generator" not in record:
            continue
        tensors, config = load_weights(metrics.parent)
        tensors = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
        size = sum(value.nbytes for value in tensors.values())
        if size > MAX_BYTES:
            raise ValueError(
                f"{metrics.parent} has {size:,} bytes of weights, more than {MAX_BYTES:,}: make it smaller."
            )
        pixels = record["run"]["settings"]["data"]["image_size"]
        folder = root / f"{registry.key(record['run']['data'])}_{pixels}px" / record["generator"]
        published[folder] = (tensors, {**config, "run": record["run"], "precision": "float16"})
    for folder, (tensors, config) in published.items():
        save_weights(folder, tensors, config)
    return list(published)


def main(arguments: list[str] | None = None) -> int:
    parser = options.Parser("pretrained", "Copy the generators of a finished run to results/reference.")
    parser.add_argument("run", type=Path, help="the run's folder, e.g. runs/reference/phantom/seed0")
    try:
        written = copy_generators(parser.parse_args(arguments).run, REFERENCES)
    except (ValueError, CheckpointError) as error:
        print(error)
        return 2
    print("\n".join(map(str, written)) or "this folder holds no finished generator")
    return 0 if written else 2


if __name__ == "__main__":
    sys.exit(main())
