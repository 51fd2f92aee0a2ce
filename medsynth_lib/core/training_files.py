"""The files of a training: the finished model, the checkpoint, statistics (JSON lines), the best weights so far."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import torch
from torch import Tensor

from .checkpoints import load_state, load_weights, save_state, write_atomically
from .ema import EMA
from .method import Method


def find_finished(folder: Path, key: str) -> tuple[dict[str, Tensor], dict] | None:
    """(weights, record) of a finished training with this key, else None."""
    if not (folder / "config.json").is_file():
        return None
    weights, config = load_weights(folder)
    return (weights, config["record"]) if config.get("key") == key else None


def saved_state(path: Path, key: str, force: bool) -> dict | None:
    """The state at `path` if it belongs to this training, else None."""
    if force or not path.is_file():
        return None
    state = load_state(path)
    if state["key"] != key:
        print(f"the interrupted training in {path.parent.parent.name}/ had other settings, data or code: starting anew")
        return None
    return state


def open_lines(path: Path, first: int, writes: bool) -> TextIO | None:
    """Open a file of JSON lines to append to, without lines after step `first`; None unless `writes`."""
    if not writes:
        return None
    kept = []
    if first and path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= first]
    write_atomically(path, lambda part: part.write_text("".join(line + "\n" for line in kept), encoding="utf-8"))
    return open(path, "a", encoding="utf-8")


def write_line(file: TextIO, record: dict) -> None:
    """Append `record` as a JSON line."""
    file.write(json.dumps(record) + "\n")
    file.flush()


def evaluate_and_keep_best(
    monitor: Callable[[Method], dict[str, float]],
    method: Method,
    ema: EMA | None,
    file: TextIO,
    where: dict,
    state: Path,
) -> None:
    """Evaluate the averaged weights, write a line, keep them in `state` if their distance is the smallest so far."""
    if ema:
        ema.swap()
    evaluation_mode(method)
    with torch.no_grad():
        numbers = monitor(method)
    write_line(file, {**where, **numbers})
    best = state / "best.pt"
    if "distance" in numbers:
        smallest = load_state(best)["distance"] if best.is_file() else math.inf
        if numbers["distance"] <= smallest:
            save_state(best, {"distance": numbers["distance"], "images": where["images"], "weights": method.weights()})
    for net in method.modules().values():
        net.train()
    if ema:
        ema.swap()


def load_best(method: Method, state: Path, seen: int) -> int:
    """Load the weights with the smallest distance, if any, into `method`; returns the images they have seen."""
    if not (state / "best.pt").is_file():
        return seen
    best = load_state(state / "best.pt", method.device)
    method.load(best["weights"])
    return best["images"]


def evaluation_mode(method: Method) -> None:
    """Put all networks of `method` into evaluation mode."""
    for net in method.modules().values():
        net.eval()
