"""One process at a time in a folder: after `kill -9` of Snakemake alone its jobs still run, and must end first."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def own_turn(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock of `folder`, or wait (and say so, with the name of the work) until its holder has ended."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            print(f"process {lock.read()} of an earlier call still runs {name}; waiting for it to end", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
