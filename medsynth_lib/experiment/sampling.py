"""From a trained generator to a synthetic SliceSet on disk: in shards, by any number of workers, resumable.

usage: python -m medsynth_lib sample GENERATOR --slices N [--seed S] [--like SLICES] [--worker I --workers N]

GENERATOR is the folder with the weights; samples go to GENERATOR/samples-N-S. On a cluster start one job per worker;
each samples every N-th shard, and the one that ends last joins the shards.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from ..core.checkpoints import CheckpointError, file_hash, load_weights, write_atomically, write_json
from ..core.locks import lock
from ..core.method import Method
from ..core.parallel import side_by_side
from ..core.progress import Progress
from ..core.seeding import step_seed
from ..data.joint import to_slices
from ..data.slices import DataError, SliceSet, hash_of
from ..models.registry import load_generator
from . import disk, options, source
from .finished import METRICS

SHARD = 64  # images per shard: sampled at once, written at once
WHOLE = "whole"  # folder in which shards are joined, inside theirs
WORTHWHILE = 30.0  # seconds of sampling left from which it is worthwhile to start more processes


def sample_to_disk(method: Method, n: int, seed: int, like: SliceSet, folder: Path) -> tuple[SliceSet, dict]:
    """Sample n slices from the trained `method` whose weights are in `folder`; returns the SliceSet and a speed record.

    Writes `folder`/samples; earlier ones stay until the new ones are complete. Shard k depends on (seed, k) only;
    shards of an interrupted call are kept. Raises CheckpointError when `folder` holds other weights than the method's.
    """
    folder = Path(folder)
    if isinstance(method, Method) and not _are_stored(method, folder):
        raise CheckpointError(
            f"{folder} holds other weights than this {method.name}, which was trained anew meanwhile; load it again."
        )
    origin = {"seed": seed, "weights": weights_key(folder)}
    shards = shards_for(folder / "samples", f"{origin['weights']}-{n}-{seed}")
    started, there = time.monotonic(), len(_finished(shards))
    first = draw(method, n, seed, shards, only=1)
    workers = torch.get_num_threads() if first * _count(n) > WORTHWHILE else 1
    side_by_side({f"worker {i}": partial(draw, method, n, seed, shards, i, workers) for i in range(workers)})
    seconds, drawn = time.monotonic() - started, n - there * SHARD
    speed = {"samples": n, "sample_images_per_second": round(drawn / seconds, 3) if drawn > 0 else None}
    return gather(n, like, method.name, shards, folder / "samples", {**speed, **origin}), speed


def weights_key(folder: Path) -> str:
    """Identifies the weights in `folder`: the key of their training, and 8 digits of the file's hash."""
    return f"{load_weights(folder)[1]['key']}-{file_hash(Path(folder) / 'weights.safetensors')[:8]}"


def _are_stored(method: Method, folder: Path) -> bool:
    """Whether the method's weights are those in `folder`: samples are recorded, and shards joined, under their key."""
    stored, own = load_weights(folder)[0], method.weights()
    return stored.keys() == own.keys() and all(
        torch.equal(value.to(own[name].dtype), own[name].detach().cpu()) for name, value in stored.items()
    )


def shards_for(out: Path, key: str) -> Path:
    """The folder of the shards that become `out`; deletes those of other weights, and remains of joined ones."""
    shards = out.with_name(f"{out.name}.shards-{key}")
    for old in out.parent.glob(f"{out.name}.shards*"):
        if old != shards:
            print(f"{old.name} was begun with other weights or as another set, and is deleted")
        if old != shards or _copied(old) and not (old / WHOLE).is_dir():
            shutil.rmtree(old, ignore_errors=True)
    return shards


def draw(
    method: Method, n: int, seed: int, shards: Path, worker: int = 0, workers: int = 1, only: int | None = None
) -> float:
    """Sample the missing ones of this worker's shards of n slices (at most `only`); returns seconds per new shard.

    Always with one thread, because with another number of threads sums may differ in the last bit.
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


def gather(n: int, like: SliceSet, name: str, shards: Path, folder: Path, record: dict) -> SliceSet:
    """Join all shards of n slices into the SliceSet `folder`, with the metadata of `like` and sampling.json.

    Needs space for one more shard only, on disk and in memory: a shard is emptied once it is copied. An interrupted
    call continues there. Raises CheckpointError when a shard is missing or damaged, or the disk is full.
    """
    whole, size = shards / WHOLE, like.size
    kinds = {"images": (np.float32, (n, *like.images.shape[1:])), "labels": (np.uint8, (n, size, size))}
    there = ("images", *(["labels"] if like.labels is not None else []))
    paths = {key: (whole if key in there else shards) / f"{key}.npy" for key in kinds}
    try:
        if not _copied(shards):
            whole.mkdir(parents=True, exist_ok=True)
            for key, path in paths.items():
                np.lib.format.open_memmap(path, "w+", *kinds[key])
        for k in range(_count(n)):
            _copy(shards / f"{k:06d}.npz", paths, k * SHARD)
        arrays = {key: np.load(path, mmap_mode="r") for key, path in paths.items()}
    except OSError as error:
        raise CheckpointError(f"{shards} cannot be joined ({error}); free space on the disk, or delete it.") from error
    slices = to_slices(arrays["images"], arrays["labels"], like, name)
    write_json(whole / "sampling.json", record)
    slices.save_remaining(whole, folder, there)
    shutil.rmtree(shards, ignore_errors=True)
    return SliceSet.load(folder)


def _copy(shard: Path, paths: dict[str, Path], row: int) -> None:
    """Copy the arrays of a shard into the files of the whole ones, from `row` on, and empty the shard; once only.

    Not through a memory map, which on a full disk ends the process without a message.
    """
    if shard.is_file() and not shard.stat().st_size:
        return
    wholes = {key: np.load(path, mmap_mode="r") for key, path in paths.items()}
    try:
        with np.load(shard, allow_pickle=False) as stored:
            parts = {key: np.ascontiguousarray(stored[key], array.dtype) for key, array in wholes.items()}
        for key, part in parts.items():
            if part.shape != wholes[key][row : row + SHARD].shape:
                raise ValueError(f"its {key} are {part.shape}, expected {wholes[key][row : row + SHARD].shape}")
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise CheckpointError(f"{shard} cannot be read ({error}); delete it and sample again.") from error
    for key, part in parts.items():
        with open(paths[key], "rb+") as file:
            file.seek(wholes[key].offset + row * part[0].nbytes)
            file.write(part.data)
            file.flush()
            os.fsync(file.fileno())
    os.truncate(shard, 0)


def _count(n: int) -> int:
    return -(-n // SHARD)


def _finished(shards: Path) -> list[Path]:
    return list(shards.glob("*.npz"))


def _copied(shards: Path) -> list[Path]:
    """The shards that are already in the whole arrays, and therefore empty."""
    return [path for path in _finished(shards) if not path.stat().st_size]


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _write_npz(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    with open(path, "wb") as file:
        np.savez(file, images=images, labels=labels)


def _changes(data: Path, name: str) -> str:
    """What changed in the source called `name`; "" also on a machine that does not have it."""
    try:
        return source.changes(data, name)[0]
    except DataError:
        return ""


def _json(path: Path) -> dict | None:
    """The content of a JSON file; None where there is none that can be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def slices_beside(folder: Path) -> Path:
    """The training slices of the run in which the generator in `folder` was trained.

    Raises DataError when there are none, and when they are not the ones on which it was trained.
    """
    folder = Path(folder).resolve()
    data = next((parent / "00_data" for parent in folder.parents if (parent / "00_data" / "slices").is_dir()), None)
    if data is None:
        raise DataError(f"{folder} lies in no run folder with 00_data/slices; name a slice set with --like.")
    slices, fix = data / "slices", "train it again (make reproduce), or name the slice set of its training with --like."
    config, metrics = (_json(folder / name) or {} for name in ("config.json", METRICS))
    of_these_weights = "key" in config and metrics.get("describes", {}).get("weights_key") == config["key"]
    if of_these_weights and metrics["run"]["data_hash"] != hash_of(slices):
        raise DataError(f"{folder} was trained on other slices than {data} holds now; {fix}")
    request = _json(data / "request.json")
    if request and (changed := _changes(data, request["data"])):
        raise DataError(f"{changed} since {folder.name} was trained; {fix}")
    return slices


def main(arguments: list[str] | None = None) -> int:
    parser = options.sample()
    given = parser.parse_args(arguments)
    if given.worker >= given.workers:
        parser.error("--worker must be one of 0 ... workers - 1")
    device = given.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        key = weights_key(given.generator)
        method = load_generator(given.generator, device)
        if weights_key(given.generator) != key:
            raise CheckpointError(f"{given.generator} was trained anew at this moment; give the command again.")
        like = SliceSet.load(given.like or slices_beside(given.generator))
        out = given.generator / f"samples-{given.slices}-{given.seed}"
        origin = {"samples": given.slices, "seed": given.seed, "weights": key}
        shards = shards_for(out, key)
        if _json(out / "sampling.json") == origin:
            print(f"{out} is there already")
            return 0
        if out.is_dir():
            print(f"{out} was not sampled from the weights that are there now; it is sampled again and then replaced")
        draw(method, given.slices, given.seed, shards, given.worker, given.workers)
        if len(_finished(shards)) < _count(given.slices):
            print(f"worker {given.worker} is done; other workers' shards are missing in {shards}")
            return 0
        # Of two workers that end at the same time one waits, and finds all done
        with lock(out.with_name(out.name + ".lock"), "{holder} joins the shards; waiting for it to end"):
            if _json(out / "sampling.json") != origin:
                gather(given.slices, like, method.name, shards, out, origin)
        print(f"{given.slices:,} slices: {out}")
        return 0
    except (CheckpointError, DataError) as error:
        print(error)
        return 2
    except OSError as error:
        print(disk.sentence(error))
        return 2


if __name__ == "__main__":
    sys.exit(main())
