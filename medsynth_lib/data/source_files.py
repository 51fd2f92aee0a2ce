"""Whether the files of a data source are still those from which slices were made.

The content decides, by its sha256: a folder that was copied again has new times but the same data, and a mask that was
mended may keep its size and, from an archive, even its time. While size and times of a file are as recorded, it is not
read again, so that a check of thousands of files takes a moment. A link counts as what it leads to: in a DataLad set,
the time of the link itself says nothing about its content.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .paths import readable
from .slices import DataError

# name relative to the folder: (size, modification time, time of the last change of content or name, sha256). The
# second time cannot be set by hand. A link to nothing has neither numbers nor content.
Seen = dict[str, list]


def find(folder: Path, depth: int | None, endings: tuple[str, ...]) -> Iterator[Path]:
    """The visible files at most `depth` folders deep (1: in `folder` itself) that end in one of `endings`, sorted.

    The limit keeps out results that are written to a folder below; None: at any depth. A link to a folder above itself
    is not followed.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:  # the source itself tells what is missing or may not be read
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if depth != 1 and not _leads_back(Path(entry.path)):
                yield from find(Path(entry.path), depth and depth - 1, endings)
        elif entry.name.lower().endswith(endings):
            yield Path(entry.path)


def _leads_back(folder: Path) -> bool:
    return folder.is_symlink() and any(folder.samefile(above) for above in folder.parents)


def look(
    folder: Path,
    files: list[Path],
    known: Seen,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Seen:
    """What is there now; the content is read only of files that differ from `known` in size or times.

    progress   called as progress(done, total), in files that have to be read
    Raises DataError for a file that cannot be read.
    """
    found = {readable(path.relative_to(folder).as_posix()): path for path in files}
    numbers = {name: _numbers(path) for name, path in found.items()}
    same = {name for name, now in numbers.items() if name in known and known[name][:3] == now}
    unread = [name for name in found if name not in same and found[name].exists()]
    content = {name: known[name][3] for name in same}
    with ThreadPoolExecutor(max(1, workers)) as pool:
        hashes = pool.map(lambda name: _sha256(found[name]), unread)
        for done, (name, value) in enumerate(zip(unread, hashes, strict=True), 1):
            content[name] = value
            if progress:
                progress(done, len(unread))
    return {name: [*now, content.get(name, "")] for name, now in numbers.items()}


def differences(before: Seen, now: Seen) -> list[str]:
    """Names of the files that were added, removed or have another content, sorted."""
    old, new = ({name: entry[3] for name, entry in seen.items()} for seen in (before, now))
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def _numbers(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError:
        return [0, 0, 0]
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _sha256(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check that you may read it.") from error
