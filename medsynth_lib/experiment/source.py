"""Which files of the data source the slices of a run were made from, and whether they have changed since."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from ..core.checkpoints import write_json
from ..core.progress import Progress
from ..data import registry
from ..data.source_files import Seen, differences, look

RECORD = "source_files.json"  # beside the slices


def shown(name: str, unit: str) -> Callable[[int, int], None]:
    """A function of (done, total) that shows the progress of work whose size is not known beforehand."""
    bars: list[Progress] = []

    def report(done: int, total: int) -> None:
        if not bars:
            bars.append(Progress(name, total, unit=unit))
        bars[0].update(done)
        if done >= total:
            bars[0].close()

    return report


def seen(data: str, known: Seen | None = None) -> Seen:
    """The source's files as they are now; only the content of those that differ from `known` is read."""
    report = shown("files of the source", "files")
    return look(*registry.files_of(data), known or {}, workers=os.cpu_count() or 1, progress=report)


def remember(folder: Path, files: Seen) -> None:
    """Write the files from which the slices in `folder` were made."""
    write_json(folder / RECORD, files)


def changes(folder: Path, data: str) -> tuple[str, Seen]:
    """What changed in the source since the slices in `folder` were made, and its files as they are now.

    The first is the beginning of a sentence; "" if nothing changed.
    Slices without a readable record count as made from no file. A download that was deleted since has not changed.
    """
    try:
        known = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    now = seen(data, known)
    if not now and registry.check(data)[1] is None:
        return "", known
    if found := differences(known, now):
        more = f" and {len(found) - 1} more file{'s' * (len(found) > 2)} of {data}" if len(found) > 1 else f" of {data}"
        return f"{found[0]}{more} changed, appeared or vanished", now
    if now != known:  # the same content with other times, which then need not be read again
        remember(folder, now)
    return "", now
