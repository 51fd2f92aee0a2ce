"""The environment of a command and of its jobs: absolute paths, because jobs run elsewhere, and places for caches."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

from ..data.paths import absolute

FOLDERS = ("MEDSYNTH_RUNS", "MEDSYNTH_DATA")
# Where programs keep what they may lose, relative to the home folder
CACHES = {
    "XDG_CACHE_HOME": ".cache",  # Snakemake
    "MPLCONFIGDIR": ".config/matplotlib",
    "IPYTHONDIR": ".ipython",
    "JUPYTER_RUNTIME_DIR": ".local/share/jupyter/runtime",
}


def settle() -> None:
    """Resolve the folders that variables name, once, and give caches a place if the home folder cannot be written.

    Raises ValueError for a folder that cannot be resolved.
    """
    if hasattr(sys.stdout, "reconfigure"):  # a file name that the terminal cannot show must not stop a command
        sys.stdout.reconfigure(errors="backslashreplace")
    for name in FOLDERS:
        if os.environ.get(name):
            os.environ[name] = str(absolute(os.environ[name]))
    missing = [name for name, place in CACHES.items() if name not in os.environ and not may_write(home() / place)]
    if missing:
        from ..data.registry import data_root

        os.environ.setdefault("MEDSYNTH_DATA", str(data_root()))  # public data stay where they are
        spare = Path(tempfile.mkdtemp(prefix="medsynth-"))
        atexit.register(shutil.rmtree, spare, ignore_errors=True)
        os.environ |= {name: str(spare / name.lower()) for name in missing}
        print(f"{home()} cannot be written: caches of Jupyter, matplotlib and Snakemake go to {spare} for this command")


def home() -> Path:
    """The home folder; "~", which is nowhere, if there is none (a container with a user id of its own)."""
    return Path(os.path.expanduser("~"))


def may_write(folder: Path) -> bool:
    """Whether the folder is there, or can be made, and can be written: programs would make it anyway."""
    try:
        if folder.is_absolute():
            folder.mkdir(parents=True, exist_ok=True)
        return folder.is_absolute() and os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        return False
