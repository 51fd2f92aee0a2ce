"""subjects.csv of a user's folder: which subject each image belongs to."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..slices import DataError
from .folder_files import TABLE, TEST, list_entries, normal, require_content
from .image_files import suffix

TABLES = (".csv", ".tsv", ".txt", ".xls", ".xlsx", ".ods")
LIKE_SUBJECTS = re.compile("subject|patient|participant")
SEPARATORS = ("\t", ";")  # else a comma: spreadsheets write ; in some languages


def read_subjects(
    path: Path, folders: Sequence[Path], images: dict[str, Path], notes: list[str]
) -> dict[str, str] | None:
    """Key of `images` -> subject from `path`/subjects.csv (columns file,subject); None when there is no such table.

    A row names an image by its file, with or without the folders above it and the ending, or by its key, a series of
    DICOM also by its folder; see `_Names`. `folders` hold the images. Appends a text to `notes` for every row without
    an image. Raises DataError when the table cannot be read, does not give every image exactly one subject, or when
    there is only a table of a similar name.
    """
    table = _find_table(path, folders)
    if table is None:
        return None
    listed = _read_rows(table, notes)
    names = _Names(path, folders, images)
    found: dict[str, set[str]] = {}
    for row, subjects in listed.items():
        keys = names.find(row)
        if len(keys) > 1:
            both = " or ".join([names.full(key) for key in keys][:2])
            raise DataError(f"{table} names {row}, which may be {both}; write the folder, too.")
        if keys:
            found.setdefault(keys[0], set()).update(subjects)
        else:
            notes.append(f"rows of {table.name} without an image")
    owner: dict[str, str] = {}
    for key in images:
        subjects = sorted(found.get(key, ()))
        if not subjects:
            name = names.short(key)
            raise DataError(
                f"{table} does not name {name} (it names {len(listed)} files, such as {next(iter(listed), '-')}); "
                f"add a row {name},<subject>."
            )
        if len(subjects) > 1:
            raise DataError(
                f"{table} gives {names.short(key)} the subjects {' and '.join(subjects)}; keep the right row."
            )
        owner[key] = subjects[0]
    _require_distinct(table, set(owner.values()))
    return owner


class _Names:
    """What a row may call an image, in tables name -> keys of the images that it fits, which are asked in this order.

    _below   the path below the user's folder
    _inside  the path below the folder of images or of a class, without or with that of its class or test part
    _ends    the last words of these paths
    _keys    the key, _ for /

    All are the paths of the file, with and without its ending, and of the folder after which a series is called. A row
    may begin with the folders of another computer, too; then it has to hold the whole path, but for the folder images.
    It never names an image outside the test part by a path in it, which may have been left unread.
    """

    def __init__(self, path: Path, folders: Sequence[Path], images: dict[str, Path]):
        self._below: dict[str, set[str]] = {}
        self._inside: dict[str, set[str]] = {}
        self._whole: dict[str, set[str]] = {}  # those of _inside with the folder of their class or test part
        self._ends: dict[str, set[str]] = {}
        self._keys: dict[str, set[str]] = {}
        self._full: dict[str, list[str]] = {}  # key -> the paths below the user's folder, and
        self._short: dict[str, list[str]] = {}  # those below the folder of images, the one to show first
        self._top = normal(path.name)
        for key, file in images.items():
            folder = max((one for one in folders if file.is_relative_to(one)), key=lambda one: len(one.parts))
            self._add(key, file, path, folder)
        # A row may be longer than a path of one word only where no file has a folder: else p3/a.dcm might be a.dcm.
        self._fewest = 1 if not any("/" in short for names in self._short.values() for short in names) else 2

    def find(self, row: str) -> list[str]:
        """The keys of the images that `row` may mean, sorted; none or several leave it open."""
        row = row.rstrip("/")
        found = self._below.get(row) or self._inside.get(row) or self._ends.get(row)
        words = row.split("/")
        for k in range(len(words)):
            if found or (k and len(words) - k < self._fewest) or (k and self._is_test(words[k - 1])):
                break
            end = "/".join(words[k:])
            found = self._below.get(end) or self._whole.get(end) or self._keys.get(end.replace("/", "_"))
        return sorted(found or ())

    def short(self, key: str) -> str:
        """A short path that names this image alone."""
        return self._sure(key, [*self._short[key], *self._full[key]])

    def full(self, key: str) -> str:
        """Its path below the user's folder, without the ending where that leaves no doubt."""
        return self._sure(key, sorted(self._full[key], key=len))

    def _sure(self, key: str, names: Sequence[str]) -> str:
        return next((name for name in names if self.find(name) == [key]), names[0])

    def _is_test(self, word: str) -> bool:
        return word.casefold() in TEST and word != self._top

    def _add(self, key: str, file: Path, path: Path, folder: Path) -> None:
        """Enter an image that lies in `folder`, that of images or of a class."""
        above, _, name = key.rpartition("/")
        own = next((p for p in file.parents if _joined(p, folder) == name), None)  # the folder of a series
        full = _with_and_without_ending(file, path)
        inside = _with_and_without_ending(file, folder)
        if own is not None:
            full = [normal(own.relative_to(path).as_posix()), *full]
            inside = [normal(own.relative_to(folder).as_posix()), *inside]
        whole = [f"{normal(above)}/{one}" if above else one for one in inside]
        words = [one.split("/") for one in (*full, *whole)]
        _enter(self._below, full, key)
        _enter(self._inside, [*inside, *whole], key)
        _enter(self._whole, whole, key)
        _enter(self._ends, ["/".join(one[k:]) for one in words for k in range(1, len(one))], key)
        _enter(self._keys, [normal(f"{key}{end}").replace("/", "_") for end in ("", suffix(file))], key)
        self._full[key], self._short[key] = full, whole


def _enter(table: dict[str, set[str]], names: Iterable[str], key: str) -> None:
    for name in names:
        table.setdefault(name, set()).add(key)


def _joined(folder: Path, above: Path) -> str | None:
    """The path of `folder` below `above` with _ for /, as a series is called; None when it does not lie below it."""
    return folder.relative_to(above).as_posix().replace("/", "_") if folder.is_relative_to(above) else None


def _with_and_without_ending(file: Path, above: Path) -> list[str]:
    """The path of `file` below `above`, also without its ending."""
    below = normal(file.relative_to(above).as_posix())
    return [below, below[: len(below) - len(suffix(file))]]


def _find_table(path: Path, folders: Sequence[Path]) -> Path | None:
    """The table below `path`, in any capitals; DataError for a similar name, which may be meant."""
    there = list_entries(path)
    found = [entry for entry in there if entry.name.casefold() == TABLE]
    if len(found) > 1:
        raise DataError(f"{path} holds {' and '.join(entry.name for entry in found)}; keep one of them.")
    if found:
        require_content(found[0])
        return found[0]
    for entry in (*there, *(entry for folder in folders for entry in list_entries(folder))):
        name = entry.name.casefold()
        if name.endswith(TABLES) and LIKE_SUBJECTS.search(name):
            raise DataError(
                f"{entry} looks like the list of subjects, which is expected as {path / TABLE} with the columns "
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
