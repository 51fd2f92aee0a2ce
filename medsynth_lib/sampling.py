"""From a trained generator to a synthetic SliceSet on disk: in shards, resumable after a kill."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import torch

from .checkpoints import load_weights, write_atomically, write_json
from .data.slices import SliceSet
from .generators.joint import to_slices
from .progress import Progress
from .training import step_seed

SHARD = 64  # pictures per shard: sampled at once, written at once


def sample_to_disk(method, n: int, seed: int, like: SliceSet, folder: Path) -> tuple[SliceSet, dict]:
    """Draw n slices from the trained `method` whose weights lie in `folder`; returns the SliceSet and a speed record.

    Writes `folder`/samples. Shard k depends on (seed, k) only; shards of an interrupted call are kept.
    """
    key = f"{load_weights(folder)[1]['key']}-{n}-{seed}"
    folder = Path(folder) / "samples"
    shards = folder.with_name(f"samples.shards-{key}")
    for old in folder.parent.glob("samples.shards-*"):
        if old != shards:
            shutil.rmtree(old)
    progress = Progress(f"{method.name} samples", n)
    seconds, drawn = 0.0, 0
    for k, first in enumerate(range(0, n, SHARD)):
        path = shards / f"{k:05d}.npz"
        size = min(SHARD, n - first)
        if not path.is_file():
            started = time.monotonic()
            images, labels = method.sample(size, step_seed(seed, k, purpose="sample"))
            images, labels = images.cpu().numpy(), labels.cpu().numpy()
            seconds, drawn = seconds + time.monotonic() - started, drawn + size
            write_atomically(path, lambda part, i=images, m=labels: _write_npz(part, i, m))
        progress.update(first + size)
    progress.close()
    loaded = [np.load(path) for path in sorted(shards.glob("*.npz"))[: -(-n // SHARD)]]
    images, labels = (torch.from_numpy(np.concatenate([z[name] for z in loaded])) for name in ("images", "labels"))
    slices = to_slices(images, labels, like, method.name)
    slices.save(folder)
    speed = {"samples": n, "sample_images_per_second": round(drawn / seconds, 3) if drawn else None}
    write_json(folder / "sampling.json", {**speed, "seed": seed, "weights": key})
    shutil.rmtree(shards)
    return slices, speed


def _write_npz(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    with open(path, "wb") as file:
        np.savez(file, images=images.astype(np.float32), labels=labels)
