"""Files that training writes: the resume state (torch, no pickled code) and the published weights (safetensors)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written or read; the message names the file, the reason and the fix."""


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Call `write(temporary path)`, then rename: the file at `path` is the old or the new one, never incomplete.

    Raises CheckpointError when the disk is full or the folder cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise CheckpointError(
            f"{path} could not be written ({error}); free space on the disk or set MEDSYNTH_RUNS to another folder."
        ) from error


def file_hash(path: Path) -> str:
    """sha256 of a file, 64 hex digits."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def write_json(path: Path, record: dict) -> None:
    """Write `record` as JSON, atomically."""
    write_atomically(path, lambda part: part.write_text(json.dumps(record, indent=1), encoding="utf-8"))


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays as a compressed .npz, atomically."""

    def write(part: Path) -> None:
        with open(part, "wb") as file:
            np.savez_compressed(file, **arrays)

    write_atomically(path, write)


def save_state(path: Path, state: dict) -> None:
    """Write a resume state made of tensors and plain values."""
    write_atomically(path, lambda part: torch.save(state, part))


def load_state(path: Path, device: torch.device | str = "cpu") -> dict:
    """Read a resume state; CheckpointError when the file is damaged."""
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises many types for a broken file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} cannot be read ({reason}); delete it to train from the start.") from error


def save_weights(folder: Path, tensors: dict[str, torch.Tensor], config: dict) -> None:
    """Write `weights.safetensors`, then `config.json` (what was trained, how, and for how long)."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_atomically(Path(folder) / "weights.safetensors", lambda part: save_file(tensors, part))
    write_json(Path(folder) / "config.json", config)


def load_weights(folder: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """Published tensors and their config; CheckpointError when missing or damaged."""
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder} holds no config.json; train the model or name another folder.")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return load_file(folder / "weights.safetensors"), config
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(
            f"{folder / 'weights.safetensors'} cannot be read ({error}); delete the folder and train again."
        ) from error
