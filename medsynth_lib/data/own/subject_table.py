"""subjects.csv of a user's folder: which subject each image belongs to."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from ..slices import DataError
from .folder_files import list_entries, normal, require_content
from .image_files import suffix

NAME = "subjects.csv"
TABLES = (".csv", ".tsv", ".txt", ".xls", ".xlsx", ".ods")
LIKE_SUBJECTS = re.compile("subject|patient|participant")
SEPARATORS = ("\t", ";")  # else a comma: spreadsheets write ; in some languages


def read_subjects(
    path: Path, folders: Sequence[Path], images: dict[str, Path], notes: list[str]
) -> dict[str, str] | None:
    """Key of `images` -> subject from `path`/subjects.csv (columns file,subject); None when there is no such table.

    A row names an image by its key or its file, with or without the folders above it and the ending; its path below
    `path` comes first, where a shorter name would fit several. `folders` hold the images. Appends a text to `notes` for
    every row without an image. Raises DataError when the table cannot be read, does not give every image exactly one
    subject, or when there is only a table of a similar name.
    """
    table = _find_table(path, folders)
    if table is None:
        return None
    listed = _read_rows(table, notes)
    known: dict[str, list[str]] = {}  # form in which a row may name an image -> keys of the images
    for key, file in images.items():
        for form in _forms(key, file):
            known.setdefault(form, []).append(key)
    exact = {form: key for key, file in images.items() for form in _paths(file, path)}
    depth = max(key.count("/") for key in images) + 1
    found: dict[str, set[str]] = {}
    for row, subjects in listed.items():
        short = "/".join(row.split("/")[-depth:])
        ends = (row.split("/", k)[-1] for k in range(row.count("/") + 1))
        keys = next(([exact[end]] for end in ends if end in exact), None) or known.get(short)
        keys = keys or known.get(row.replace("/", "_")) or []
        if len(keys) > 1:
            raise DataError(f"{table} names {row}, which may be {' or '.join(keys[:2])}; write the folder, too.")
        if keys:
            found.setdefault(keys[0], set()).update(subjects)
        else:
            notes.append(f"rows of {table.name} without an image")
    owner: dict[str, str] = {}
    for key, file in images.items():
        subjects = sorted(found.get(key, ()))
        if not subjects:
            raise DataError(
                f"{table} does not name {file.name} (it names {len(listed)} files, such as {next(iter(listed), '-')}); "
                f"add a row {file.name},<subject>."
            )
        if len(subjects) > 1:
            raise DataError(f"{table} gives {file.name} the subjects {' and '.join(subjects)}; keep the right row.")
        owner[key] = subjects[0]
    _require_distinct(table, set(owner.values()))
    return owner


def _forms(key: str, file: Path) -> set[str]:
    """How a row may name an image: the end of its key, from one word to all, with and without the file's ending."""
    words = key.split("/")
    ends = {"/".join(words[k:]) for k in range(len(words))}
    return ends | {f"{end}{suffix(file)}" for end in ends} | {normal(file.name)}


def _paths(file: Path, path: Path) -> tuple[str, str]:
    """Where `file` lies below `path`, with and without its ending."""
    below = normal(file.relative_to(path).as_posix())
    return below, below[: len(below) - len(suffix(file))]


def _find_table(path: Path, folders: Sequence[Path]) -> Path | None:
    """The table below `path`, in any capitals; DataError for a similar name, which may be meant."""
    there = list_entries(path)
    found = [entry for entry in there if entry.name.casefold() == NAME]
    if len(found) > 1:
        raise DataError(f"{path} holds {' and '.join(entry.name for entry in found)}; keep one of them.")
    if found:
        require_content(found[0])
        return found[0]
    for entry in (*there, *(entry for folder in folders for entry in list_entries(folder))):
        name = entry.name.casefold()
        if name.endswith(TABLES) and LIKE_SUBJECTS.search(name):
            raise DataError(
                f"{entry} looks like the list of subjects, which is expected as {path / NAME} with the columns "
                "file,subject; move or rename it."
            )
    return None


def _read_rows(table: Path, notes: list[str]) -> dict[str, set[str]]:
    """File, with the folders that the table names -> the subjects that it gives it."""
    try:
        text = _decode(table, notes)
        separator = next((s for s in SEPARATORS if s in text.partition("\n")[0]), ",")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
        lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{table} cannot be read ({error}); save it as CSV in UTF-8.") from error
    header, *rows = [(line, cells) for line, cells in lines if any(cells)] or [(0, [])]
    columns = [name.casefold() for name in header[1]]
    if columns.count("file") != 1 or columns.count("subject") != 1:
        seen = ", ".join(map(ascii, header[1])) or "none"
        raise DataError(f"{table} has the columns {seen}; it needs the columns file,subject.")
    listed: dict[str, set[str]] = {}
    for line, cells in rows:
        if len(cells) < len(columns) or any(cells[len(columns) :]):
            raise DataError(
                f"{table} has {len(cells)} cells in line {line} but {len(columns)} columns; put quotes around a cell "
                "that holds the separator."
            )
        file, subject = cells[columns.index("file")], normal(cells[columns.index("subject")])
        if not file or not subject:
            raise DataError(f"{table} lacks the file or the subject in line {line}; fill it in or delete the row.")
        listed.setdefault(normal(file.replace("\\", "/")), set()).add(subject)
    return listed


def _decode(table: Path, notes: list[str]) -> str:
    raw = table.read_bytes()
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:  # what spreadsheets write as "CSV" on Western Windows
        text = raw.decode("cp1252")
        notes.append(f"{table.name} that is not UTF-8, read as Windows-1252")
        return text


def _require_distinct(table: Path, subjects: set[str]) -> None:
    """Raise DataError when two subjects differ only in capitals: one patient could stand on both sides of the split."""
    seen: dict[str, str] = {}
    for subject in sorted(subjects):
        other = seen.setdefault(subject.casefold(), subject)
        if other != subject:
            raise DataError(f"{table} has the subjects {other} and {subject}, which differ in capitals; write one.")
