"""From a trained generator to a synthetic SliceSet on disk: in shards, by any number of workers, resumable.

usage: python -m medsynth_lib.sampling GENERATOR --slices N [--seed S] [--like SLICES] [--worker I --workers N]

GENERATOR is the folder with the weights; samples go to GENERATOR/samples-N-S. On a cluster start one job per worker;
each draws every N-th shard, and whichever ends last puts the shards together.
"""

from __future__ import annotations

import argparse
import fcntl
import shutil
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from .checkpoints import CheckpointError, load_weights, write_atomically, write_json
from .data.slices import DataError, SliceSet
from .generators import load_generator
from .generators.joint import to_slices
from .progress import Progress
from .training import step_seed
from .workers import side_by_side

SHARD = 64  # pictures per shard: sampled at once, written at once
WORTHWHILE = 30.0  # seconds of sampling left from which starting other processes pays


def sample_to_disk(method, n: int, seed: int, like: SliceSet, folder: Path) -> tuple[SliceSet, dict]:
    """Draw n slices from the trained `method` whose weights lie in `folder`; returns the SliceSet and a speed record.

    Writes `folder`/samples. Shard k depends on (seed, k) only; shards of an interrupted call are kept.
    """
    folder = Path(folder)
    key = f"{load_weights(folder)[1]['key']}-{n}-{seed}"
    shards = folder / f"samples.shards-{key}"
    for old in folder.glob("samples.shards-*"):
        if old != shards:
            shutil.rmtree(old)
    started, there = time.monotonic(), len(_finished(shards))
    first = draw(method, n, seed, shards, only=1)
    workers = torch.get_num_threads() if first * _count(n) > WORTHWHILE else 1
    side_by_side({f"worker {i}": partial(draw, method, n, seed, shards, i, workers) for i in range(workers)})
    seconds, drawn = time.monotonic() - started, n - there * SHARD
    slices = gather(n, like, method.name, shards, folder / "samples")
    speed = {"samples": n, "sample_images_per_second": round(drawn / seconds, 3) if drawn > 0 else None}
    write_json(folder / "samples" / "sampling.json", {**speed, "seed": seed, "weights": key})
    return slices, speed


def draw(method, n: int, seed: int, shards: Path, worker: int = 0, workers: int = 1, only: int | None = None) -> float:
    """Write the missing ones of every `workers`-th of the shards of n slices (at most `only`); seconds per shard drawn.

    Always with one thread, since sums of another number of threads may differ in the last bit.
    """
    mine = {shards / f"{k:06d}.npz": k for k in range(worker, _count(n), workers)}
    sizes = {path: min(SHARD, n - k * SHARD) for path, k in mine.items()}
    missing = [path for path in mine if not path.is_file()][:only]
    done = sum(sizes.values()) - sum(sizes[path] for path in missing)
    progress, started = Progress(f"{method.name} samples", sum(sizes.values()), initial=done), time.monotonic()
    with _one_thread():
        for path in missing:
            images, labels = method.sample(sizes[path], step_seed(seed, mine[path], purpose="sample"))
            images, labels = images.cpu().numpy().astype(np.float32), labels.cpu().numpy()
            write_atomically(path, lambda part, i=images, m=labels: _write_npz(part, i, m))
            done += sizes[path]
            if only is None:
                progress.update(done)
    progress.close()
    return (time.monotonic() - started) / max(len(missing), 1)


def gather(n: int, like: SliceSet, name: str, shards: Path, folder: Path) -> SliceSet:
    """Put all shards of n slices together as the SliceSet `folder`, with the metadata of `like`, and delete them.

    Never holds more than one shard in memory. CheckpointError names a shard that is missing or damaged.
    """
    shape, size = like.images.shape[1:], like.size
    wholes = {"images": (shards / "images.whole", (n, *shape), np.float32)}
    wholes["labels"] = (shards / "labels.whole", (n, size, size), np.uint8)
    arrays = {key: np.lib.format.open_memmap(path, "w+", kind, full) for key, (path, full, kind) in wholes.items()}
    for k in range(_count(n)):
        path = shards / f"{k:06d}.npz"
        try:
            with np.load(path, allow_pickle=False) as shard:
                for key, array in arrays.items():
                    array[k * SHARD : k * SHARD + SHARD] = shard[key]
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise CheckpointError(f"{path} cannot be read ({error}); delete it and sample again.") from error
    slices = to_slices(arrays["images"], arrays["labels"], like, name)
    slices.save(folder)
    shutil.rmtree(shards)
    return SliceSet.load(folder)


def _count(n: int) -> int:
    return -(-n // SHARD)


def _finished(shards: Path) -> list[Path]:
    return list(shards.glob("*.npz"))


@contextmanager
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _write_npz(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    with open(path, "wb") as file:
        np.savez(file, images=images, labels=labels)


def slices_beside(folder: Path) -> Path:
    """The training slices of the run in which the generator in `folder` was trained; DataError when there are none."""
    for parent in Path(folder).resolve().parents:
        if (parent / "00_data" / "slices").is_dir():
            return parent / "00_data" / "slices"
    raise DataError(f"{folder} lies in no run folder with 00_data/slices; name a slice set with --like.")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m medsynth_lib.sampling", description="Draw synthetic slices.")
    parser.add_argument("generator", type=Path, help="folder with weights.safetensors and config.json")
    parser.add_argument("--slices", type=int, required=True, help="how many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--like", type=Path, help="slice set with the same channels and labels (default: the run's)")
    parser.add_argument("--worker", type=int, default=0, help="number of this job, from 0")
    parser.add_argument("--workers", type=int, default=1, help="jobs in all")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args(arguments)
    if not 0 <= given.worker < given.workers or given.slices < 1:
        parser.error("--worker must be one of 0 ... workers - 1, and --slices at least 1.")
    try:
        method = load_generator(given.generator, given.device)
        like = SliceSet.load(given.like or slices_beside(given.generator))
        out = given.generator / f"samples-{given.slices}-{given.seed}"
        if (out / "dataset.json").is_file():
            print(f"{out} is there already")
            return 0
        shards = out.with_name(out.name + ".shards")
        draw(method, given.slices, given.seed, shards, given.worker, given.workers)
        if len(_finished(shards)) < _count(given.slices):
            print(f"worker {given.worker} is done; other workers' shards are missing in {shards}")
            return 0
        with open(out.with_name(out.name + ".lock"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of two workers that end together one waits, and finds all done
            if not (out / "dataset.json").is_file():
                gather(given.slices, like, method.name, shards, out)
        print(f"{given.slices:,} slices: {out}")
        return 0
    except (CheckpointError, DataError) as error:
        print(error)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
