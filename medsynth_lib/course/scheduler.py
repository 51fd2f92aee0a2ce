"""Snakemake for one run folder. It holds a lock of its own, because it may outlive a killed `reproduce`.

usage: python -m medsynth_lib.course.scheduler FOLDER [Snakemake's options]
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ..core.locks import Taken, lock
from .notebooks import FOLDER

LOCK = ".snakemake.lock"


def words(folder: Path, cores: int, *more: str, quiet: str = "all") -> list[str]:
    """Snakemake's options for one run folder; its own bookkeeping stays in that folder."""
    found = ["--snakefile", str(FOLDER / "Snakefile"), "--directory", str(folder)]
    found += ["--configfile", str(folder / "config.json"), "--cores", str(cores), "--rerun-incomplete"]
    return [*found, "--quiet", quiet, *more]


def run(folder: Path, cores: int, *more: str, quiet: str = "all") -> int:
    """Run Snakemake to its end; its exit code."""
    command = [sys.executable, "-m", "medsynth_lib.course.scheduler", str(folder)]
    return subprocess.run([*command, *words(folder, cores, *more, quiet=quiet)]).returncode


def is_at_work(folder: Path) -> bool:
    """Whether Snakemake of an earlier call still runs in this folder."""
    try:
        with lock(folder / LOCK):
            return False
    except Taken:
        return True


def main(arguments: list[str]) -> int:
    from snakemake.cli import main as snakemake

    with lock(Path(arguments[0]) / LOCK):
        snakemake(arguments[1:])  # it ends with sys.exit
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
