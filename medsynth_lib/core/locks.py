"""Locks that let one process at a time work in a folder: jobs of a Snakemake that was killed may still be running.

The system releases a lock when its holder ends, for whatever reason. The holder's process id is in a second file,
because Windows lets no other process read a locked one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"


class Taken(RuntimeError):
    """Another process holds the lock; the message names it."""


@contextmanager
def lock(path: Path, waiting: str | None = None) -> Iterator[None]:
    """Context that holds the lock file `path`; while another process holds it, wait or raise Taken.

    waiting   text to print before waiting, with "{holder}" for the process; "": wait silently; None: raise Taken
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
    """Context that holds the lock of `folder`; while another process holds it, print that `name` runs, and wait."""
    name = name.replace("{", "{{").replace("}", "}}")
    return lock(folder / LOCK, f"{{holder}} of an earlier call still runs {name}; waiting for it to end")


def _holder(note: Path) -> str:
    try:
        return f"process {int(note.read_text(encoding='utf-8'))}"
    except (OSError, ValueError):
        return "a process"
