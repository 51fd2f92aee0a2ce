"""A slice set as a folder: `.npy` arrays, `slices.csv` and, written last, `dataset.json` with the hash of all of them.

`dataset.json` also records size and modification time of every hashed file. While these are unchanged, the stored hash
is valid and no pixel is read; after a file was written, or copied without its time, the hash is computed again.
"""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np

ARRAYS = ("images", "labels", "classes")
RECORD, ROWS = "dataset.json", "slices.csv"


def describe(folder: Path, subjects: list[str], levels: list[int], meta: dict, digest: str) -> None:
    """Write `slices.csv` (subjects, slice positions) and `dataset.json` (`meta`, hash `digest`) to `folder`."""
    with open(folder / ROWS, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["subject", "level"])
        writer.writerows(zip(subjects, levels, strict=True))
    record = {**meta, "hash": digest, "files": files_of(folder)}
    (folder / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")


def read(folder: Path) -> tuple[dict, str | None]:
    """The arguments of a SliceSet with memory-mapped arrays, and the result of `stored_hash`.

    Raises OSError, ValueError, KeyError or TypeError for a damaged folder.
    """
    meta = dict(json.loads((folder / RECORD).read_text(encoding="utf-8")))
    with open(folder / ROWS, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    paths = {name: folder / f"{name}.npy" for name in ARRAYS if (folder / f"{name}.npy").is_file()}
    arrays = {name: np.load(path, mmap_mode="c", allow_pickle=False) for name, path in paths.items()}
    levels = np.array([int(row["level"]) for row in rows], dtype=np.int64)
    known = stored_hash(folder, meta)
    del meta["hash"]
    meta.pop("files", None)
    return {**meta, **arrays, "subjects": [row["subject"] for row in rows], "levels": levels}, known


def files_of(folder: Path) -> dict[str, list[int]]:
    """{name: [bytes, modification time in nanoseconds]} of `slices.csv` and the arrays in the folder."""
    paths = [path for path in (folder / ROWS, *(folder / f"{name}.npy" for name in ARRAYS)) if path.is_file()]
    return {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in paths}


def stored_hash(folder: Path, record: dict | None = None) -> str | None:
    """The hash in the folder's `dataset.json` (or in `record`, its content); None if a file has changed since."""
    try:
        record = record or dict(json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return record.get("hash") if record.get("files") == files_of(folder) else None


def put_in_place(part: Path, folder: Path) -> None:
    """Rename `part` to `folder`; a folder of that name is renamed first and deleted last."""
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
