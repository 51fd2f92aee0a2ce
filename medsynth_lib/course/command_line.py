"""The one command line: `medsynth COMMAND ...`, or `python -m medsynth_lib COMMAND ...`.

Options are parsed before a command's module is imported, so that `--help` and errors do not wait for torch.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass

from ..experiment import disk, options
from . import environment


@dataclass(frozen=True)
class Command:
    about: str
    parser: Callable[[], options.Parser]
    module: str  # with a function main(arguments) that returns an exit code
    more: tuple[str, ...] = ()  # arguments that are always given


COMMANDS = {
    "reproduce": Command(
        "run the notebooks, print the results table and the report's path", options.reproduce, "course.reproduce"
    ),
    "plan": Command(
        "show what reproduce would run: jobs, hours, disk", options.plan, "course.reproduce", more=("--dry-run",)
    ),
    "inspect": Command("look at your data before a run", options.inspect, "experiment.inspection"),
    "sample": Command("sample synthetic slices from a trained generator", options.sample, "experiment.sampling"),
    "release": Command("write a generator's samples as a data set to share", options.release, "evaluation.release"),
    "student": Command("write copies of the notebooks without solutions", options.student, "course.student"),
    "doctor": Command("report what works on this machine", options.doctor, "course.doctor"),
}

HELP = """usage: medsynth COMMAND [option ...]        (or: python -m medsynth_lib COMMAND ...)

{commands}

medsynth COMMAND --help lists the options. Example:
  medsynth reproduce --profile demo --data phantom --seed 0
"""


def main(arguments: list[str] | None = None) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] in ([], ["-h"], ["--help"], ["help"]):
        listed = "\n".join(f"  {name:10s} {command.about}" for name, command in COMMANDS.items())
        print(HELP.format(commands=listed), end="")
        return 0 if words else 2
    if words[0] not in COMMANDS:
        print(f"medsynth: unknown command {words[0]!r}; known: {', '.join(COMMANDS)}.", file=sys.stderr)
        return 2
    command, rest = COMMANDS[words[0]], words[1:]
    command.parser().parse_args(rest)  # ends here for --help and for what it does not know
    try:
        environment.settle()
    except (OSError, ValueError) as error:
        print(error)
        return 2
    try:
        return importlib.import_module(f"medsynth_lib.{command.module}").main([*rest, *command.more])
    except OSError as error:
        print(disk.sentence(error))
        return 2
