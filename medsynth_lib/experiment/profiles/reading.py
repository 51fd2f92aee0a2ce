"""Read a Profile from a .toml file and its base, and check every name and type."""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import EllipsisType
from typing import Any, get_args, get_origin, get_type_hints

from .checks import check
from .sizes import Profile

MINUTES_KEY = re.compile(r"\d\d_\w+|together")  # a notebook, or the core as a whole
WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: 'a word in quotes ("...")'}


def parse(path: Path) -> dict:
    """The file's tables; ValueError when it cannot be opened or is not valid TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); check the path of the profile.") from None
    except ValueError as error:  # TOMLDecodeError, or bytes that are not text
        raise ValueError(f"{path} is not valid TOML ({error}); correct it there.") from None


def read(path: Path, known: dict[str, Profile], above: tuple[Path, ...] = ()) -> tuple[Profile, dict[str, float]]:
    """The profile in a file, and its minutes by notebook (a base's minutes were measured at other sizes: not taken).

    known   the profiles that `base` may name; else it is the path of another file, relative to this one
    above   the files whose base this one is
    Raises ValueError, one sentence with file, key and what to do, for an incomplete or wrong file.
    """
    path = Path(path)
    tables = parse(path)
    base, minutes = tables.pop("base", None), tables.pop("minutes", {})
    start = {} if base is None else base_of(path, base, known, above).as_dict()
    profile = filled(Profile, start, tables, str(path))
    check(profile, path)
    return profile, checked_minutes(path, minutes)


def base_of(path: Path, base: Any, known: dict[str, Profile], above: tuple[Path, ...]) -> Profile:
    """The profile that the file at `path` calls its base."""
    if isinstance(base, str) and base in known:
        return known[base]
    if not isinstance(base, str) or not base.endswith(".toml"):
        raise ValueError(f"{path}: base is {base!r}; write one of {', '.join(known)}, or the path of a .toml file.")
    file, chain = (path.parent / base).resolve(), (*above, path.resolve())
    if file in chain:
        raise ValueError(f"{path}: base {base!r} leads back to the same file; name another base.")
    return read(file, known, chain)[0]


def filled(cls: type, start: dict, given: dict, where: str) -> Any:
    """An instance of the dataclass `cls` from the values of `start`, replaced by those `given` in a file.

    where   file and section, for messages
    """
    hints = get_type_hints(cls)
    for key in given:
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1)
            kind = "section" if isinstance(given[key], dict) else "key"
            fix = f"did you mean {near[0]}?" if near else f"known here: {', '.join(hints)}."
            raise ValueError(f"{where}: {key} is an unknown {kind}; {fix}")
    values = {}
    for field in fields(cls):
        name, hint = field.name, hints[field.name]
        if is_dataclass(hint):
            section = given.get(name, {})
            if not isinstance(section, dict):
                raise ValueError(f"{where}: {name} is {section!r}; write it as a section [{name}].")
            values[name] = filled(hint, start.get(name, {}), section, f"{where}: [{name}]")
        elif name in given:
            values[name] = typed(given[name], hint, f"{where}{':' if cls is Profile else ''} {name}")
        elif name in start:
            values[name] = start[name]
        elif field.default is MISSING:
            fix = 'give it, or name a base at the top of the file (base = "demo")'
            raise ValueError(f"{where}{':' if cls is Profile else ''} {name} is missing; {fix}.")
    return cls(**values)


def typed(value: Any, hint: Any, where: str) -> Any:
    """`value` as the type `hint`: lists become tuples, whole numbers floats; ValueError for any other type."""
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        length = None if isinstance(kinds[-1], EllipsisType) else len(kinds)
        if not isinstance(value, list) or length not in (None, len(value)):
            expected = f"a list of {length or 'values'}{' values' if length else ''} in brackets ([...])"
            raise ValueError(f"{where} is {value!r}; write {expected}.")
        return tuple(typed(one, kinds[0], where) for one in value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise ValueError(f"{where} is {value!r}; write {WORDS[hint]}.")
    return value


def checked_minutes(path: Path, minutes: Any) -> dict[str, float]:
    """The section [minutes]: a positive number per notebook."""
    if not isinstance(minutes, dict):
        raise ValueError(f"{path}: minutes is {minutes!r}; write it as a section [minutes].")
    for key, value in minutes.items():
        if not MINUTES_KEY.fullmatch(key):
            raise ValueError(f"{path}: [minutes] {key} is no notebook; write a name such as 01_vae, or together.")
        if type(value) not in (int, float) or not value > 0:
            raise ValueError(f"{path}: [minutes] {key} is {value!r}; write a number above 0.")
    return dict(minutes)
