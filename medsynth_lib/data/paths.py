"""Folders and files that a user names, resolved once: notebooks and jobs run in other folders than the user's."""

from __future__ import annotations

import os
from pathlib import Path

# What operating systems leave behind in folders, in lower case
SYSTEM_FILES = ("thumbs.db", "desktop.ini", "__macosx", "@eadir")


def absolute(text: str) -> Path:
    """The absolute path of a file or folder that a user named; ~ is a home folder, links are followed.

    Raises ValueError, in one sentence, for a name that is not UTF-8 (which no notebook could hold), for an unknown
    ~user, and for links that lead in a circle.
    """
    try:
        path = Path(text).expanduser().resolve()
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{readable(text)} cannot be resolved ({error}); correct the path.") from None
    if readable(path) != str(path):
        raise ValueError(f"{readable(path)} has a name that is not UTF-8; rename that folder or file.")
    return path


def readable(path: Path | str) -> str:
    r"""The path as text that can be printed and stored: bytes that are not UTF-8 become \x.. ."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
