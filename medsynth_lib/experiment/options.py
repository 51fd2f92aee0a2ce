"""The options of every command, each described once. Imports no torch, so that `--help` and errors come at once."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from ..data.paths import absolute


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, with exit code 2, and whose help ends with an example."""

    def __init__(self, prog: str, about: str, example: str = ""):
        shape = argparse.RawDescriptionHelpFormatter
        super().__init__(prog, description=about, epilog=example and f"example:\n  {example}", formatter_class=shape)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def whole(least: int) -> Callable[[str], int]:
    """The type of an option that is a whole number from `least` on."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
        return int(text)

    return read


def profile_word(text: str) -> str:
    """A profile's name unchanged; the path of a .toml file made absolute, for jobs that run in other folders."""
    try:
        return str(absolute(text)) if text.endswith(".toml") else text
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the options that identify a run: profile, data, seed."""
    from ..data.registry import known_sources  # imports numpy, without which `doctor` must run
    from .profiles import NAMES

    profiles, sources = (", ".join(names) for names in (NAMES, known_sources()))
    of_yours = "or the path of your own .toml file"
    parser.add_argument(
        "--profile", default="demo", type=profile_word, help=f"{profiles}, {of_yours} (default: %(default)s)"
    )
    parser.add_argument("--data", default="phantom", help=f"{sources} (default: %(default)s)")
    parser.add_argument("--seed", default=0, type=whole(0), help="a whole number (default: %(default)s)")


def reproduce(prog: str = "medsynth reproduce") -> Parser:
    about = "Run the notebooks, print the results table and the report's path. Called again, it continues."
    parser = Parser(prog, about, f'{prog} --profile smoke --notebooks "00 01" --cores 2')
    _add_choice(parser)
    parser.add_argument("--dry-run", action="store_true", help="only say what would run, and what it would cost")
    return parser


def plan(prog: str = "medsynth plan") -> Parser:
    about = "Show what reproduce would run: jobs, hours as measured on this machine, disk. Runs no job."
    parser = Parser(prog, about, f"{prog} --profile paper --data brats:/data/BraTS2020")
    _add_choice(parser)
    return parser


def _add_choice(parser: Parser) -> None:
    """Add the options for a run, its notebooks and its cores."""
    add_run(parser)
    cores = os.cpu_count() or 1
    parser.add_argument("--cores", type=whole(1), default=cores, help="CPU cores in all (here by default: %(default)s)")
    parser.add_argument(
        "--notebooks", default="core", help='core (00 to 07), all, or numbers such as "00 01 05" (default: %(default)s)'
    )
    parser.add_argument(
        "--segmenters",
        default="",
        help='of 06: "unet", "dynunet", "swin" or several (default: the profile\'s)',
    )


def sample(prog: str = "medsynth sample") -> Parser:
    about = (
        "Sample synthetic slices from a trained generator, in shards, by any number of workers; restart killed ones.\n"
        "They go to GENERATOR/samples-SLICES-SEED; the worker that ends last joins the shards."
    )
    parser = Parser(prog, about, f"{prog} runs/demo/phantom/seed0/05_ddpm --slices 100000 --worker 0 --workers 4")
    parser.add_argument("generator", type=Path, help="folder with weights.safetensors and config.json")
    parser.add_argument("--slices", type=whole(1), required=True, help="how many")
    parser.add_argument("--seed", type=whole(0), default=0, help="a whole number (default: %(default)s)")
    parser.add_argument("--like", type=Path, help="slice set with the same channels and labels (default: the run's)")
    parser.add_argument("--worker", type=whole(0), default=0, help="number of this job, from 0 (default: %(default)s)")
    parser.add_argument("--workers", type=whole(1), default=1, help="jobs in all (default: %(default)s)")
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    return parser


def release(prog: str = "medsynth release") -> Parser:
    about = "Write a generator's samples as a data set to share, with its card. Refuses if the audit found copies."
    parser = Parser(prog, about, f"{prog} edm --profile demo")
    parser.add_argument("generator", help="of a finished run, as report.json names it, e.g. edm")
    add_run(parser)
    parser.add_argument("--force", action="store_true", help="release all the same; the card says so")
    return parser


def inspect(prog: str = "medsynth inspect") -> Parser:
    about = "Look at data before a run: what was found, how it was read, and a picture of twelve slices with outlines."
    parser = Parser(prog, about, f"{prog} folder:/data/my_images")
    parser.add_argument("data", help="as for reproduce --data, e.g. folder:PATH")
    parser.add_argument("--subjects", type=whole(0), default=0, help="read at most this many (default: all)")
    parser.add_argument("--seed", type=whole(0), default=0, help="chooses subjects and slices (default: %(default)s)")
    parser.add_argument("--picture", type=Path, help="file to write (default: inspect-DATA.png in this folder)")
    return parser


def student(prog: str = "medsynth student") -> Parser:
    parser = Parser(prog, "Write copies of the notebooks without solutions and outputs.", f"{prog} student")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("student"), help="(default: %(default)s)")
    return parser


def doctor(prog: str = "medsynth doctor") -> Parser:
    about = "Report what works on this machine. Exit code 1 if something that is needed is broken."
    return Parser(prog, about, prog)
