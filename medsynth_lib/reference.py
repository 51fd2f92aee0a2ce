"""Committed reference weights: the same code, trained for longer, shown beside a run and never mixed into it."""

from __future__ import annotations

from pathlib import Path

from .checkpoints import load_weights
from .data import registry
from .generators import load_generator
from .generators.joint import shape_of
from .runs import REPOSITORY, Run

REFERENCES = REPOSITORY / "results" / "reference"


def reference_folder(data: str, size: int, name: str) -> Path:
    return REFERENCES / f"{registry.key(data)}_{size}px" / name


def load_reference(name: str, run: Run):
    """The reference generator `name` for the data of `run`, or None (and a line why) where none was committed."""
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
