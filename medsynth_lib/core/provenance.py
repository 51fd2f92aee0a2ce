"""Provenance of results: code hashes, commit, package versions. Without torch, because the Snakefile imports it.

The hashes ignore comments, layout and docstrings.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import platform
import subprocess
from pathlib import Path

LIBRARY = Path(__file__).resolve().parent.parent
REPOSITORY = LIBRARY.parent
PACKAGES = ("torch", "monai", "diffusers", "lightning-fabric", "nilearn", "numpy", "scipy", "scikit-image")


def without_prose(source: str) -> str:
    """Syntax tree of a Python source, without comments, layout and docstrings."""
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


def sources_hash(sources: list[str]) -> str:
    """Hash (16 hex digits) of the code of several sources."""
    return hashlib.sha256("\n".join(map(without_prose, sources)).encode()).hexdigest()[:16]


def package_hash(part: str = "", library: Path = LIBRARY) -> str:
    """Fingerprint of the library, or of one package of it such as "data"."""
    return sources_hash([path.read_text(encoding="utf-8") for path in sorted((library / part).rglob("*.py"))])


def versions() -> dict[str, str]:
    """Versions of Python, the system and the packages that influence results."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    return found | {name: importlib.metadata.version(name) for name in PACKAGES}


def commit() -> str:
    """Short git commit, with "+changes" when the working tree differs from it; "unknown" outside a checkout."""
    git = ["git", "-C", str(REPOSITORY)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        dirty = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+changes" if dirty.stdout.strip() else "")
