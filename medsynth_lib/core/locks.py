"""One process at a time in a folder: after `kill -9` of Snakemake alone its jobs still run, and must end first.

The system frees a lock when its holder ends, however it ends. The holder's id stands in a file beside the lock's own,
which Windows lets nobody read meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"


class Taken(RuntimeError):
    """Another process holds the lock; the text names it."""


@contextmanager
def lock(path: Path, waiting: str | None = None) -> Iterator[None]:
    """Hold the lock file `path`. Held elsewhere, wait and print `waiting` ("{holder}" in it is who), or raise Taken.

    waiting   None: do not wait; "": wait without a word
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    held, note = FileLock(path), path.with_name(f"{path.name}.pid")
    try:
        held.acquire(timeout=0)
    except Timeout:
        if waiting is None:
            raise Taken(_holder(note)) from None
        if waiting:
            print(waiting.format(holder=_holder(note)), flush=True)
        held.acquire(poll_interval=0.1)
    try:
        note.write_text(str(os.getpid()), encoding="utf-8")
        yield
    finally:
        held.release()


def own_turn(folder: Path, name: str) -> AbstractContextManager[None]:
    """Hold the lock of `folder`, or wait (and say so, with the name of the work) until its holder has ended."""
    name = name.replace("{", "{{").replace("}", "}}")
    return lock(folder / LOCK, f"{{holder}} of an earlier call still runs {name}; waiting for it to end")


def _holder(note: Path) -> str:
    try:
        return f"process {int(note.read_text(encoding='utf-8'))}"
    except (OSError, ValueError):
        return "a process"
