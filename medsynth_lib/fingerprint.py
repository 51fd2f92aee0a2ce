"""When do two texts of Python do the same? Hashes of code that prose (comments, layout, docstrings) does not change."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

LIBRARY = Path(__file__).resolve().parent


def without_prose(source: str) -> str:
    """The code of a Python text as its syntax tree: comments, layout and docstrings leave no trace."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            node.body = body[1:]
    return ast.dump(tree)


def fingerprint(sources: list[str]) -> str:
    """16 hex digits that change when the code of one of the texts does."""
    return hashlib.sha256("\n".join(map(without_prose, sources)).encode()).hexdigest()[:16]


def package_hash(part: str = "", library: Path = LIBRARY) -> str:
    """Fingerprint of the library, or of one room of it such as "data"."""
    return fingerprint([path.read_text(encoding="utf-8") for path in sorted((library / part).rglob("*.py"))])
