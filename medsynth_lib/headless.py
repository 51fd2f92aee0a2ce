"""Run one notebook with papermill: parameters checked first, a log that reads well, the partial notebook kept.

usage: python -m medsynth_lib.headless NOTEBOOK OUTPUT [name=value ...]
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

import papermill
from papermill.exceptions import PapermillExecutionError

from .course import FOLDER, NOTEBOOKS

CONVERT = {"str": str, "int": int, "float": float, "bool": lambda text: {"true": True, "false": False}[text.lower()]}


class ParameterError(ValueError):
    """A parameter that the notebook does not know or cannot read; refused before a kernel starts."""


def read_parameters(notebook: Path, words: list[str]) -> dict:
    """name=value words as typed values, checked against the notebook's own `parameters` cell.

    papermill itself only warns about an unknown name and then runs the defaults.
    """
    known = papermill.inspect_notebook(str(notebook))
    values = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in known:
            raise ParameterError(f"{notebook.name} has no parameter {name!r}; known parameters: {', '.join(known)}.")
        kind = known[name]["inferred_type_name"]
        try:
            values[name] = CONVERT[kind](text)
        except (ValueError, KeyError):
            raise ParameterError(f"{notebook.name}: parameter {name} is {text!r}, expected {kind}.") from None
    return values


NOISE = ("Executing", "Ending", "Input Notebook", "Output Notebook", "Working directory", "<Figure")


def tells_something(record: logging.LogRecord) -> bool:
    """False for papermill's frame lines, empty lines, the text form of figures and the kernel's word on its sockets."""
    text = record.getMessage().strip()
    record.msg, record.args = text, ()
    return bool(text) and "encryption" not in text and not text.startswith(NOISE)


def run(notebook: str, output: Path, words: list[str]) -> int:
    """Execute and return papermill's exit code: 0, 1 for a failed cell, 138 for a dead kernel."""
    source = FOLDER / f"{notebook}.ipynb"
    if notebook not in NOTEBOOKS or not source.is_file():
        raise ParameterError(f"unknown notebook {notebook!r}; known notebooks: {', '.join(NOTEBOOKS)}.")
    parameters = read_parameters(source, words)
    os.environ["MEDSYNTH_HEADLESS"] = "1"
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # this environment's kernel before one of the user's home
    os.environ.pop("MEDSYNTH_PROFILE", None)
    log, handler = logging.getLogger("papermill"), logging.StreamHandler(sys.stdout)
    handler.addFilter(tells_something)
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO)
    output.parent.mkdir(parents=True, exist_ok=True)
    print(f"running {source.name} with {json.dumps(parameters)}", flush=True)
    try:
        papermill.execute_notebook(
            str(source),
            str(output),
            parameters,
            kernel_name="python3",
            cwd=str(FOLDER.parent),
            progress_bar=False,
            log_output=True,
        )
    except PapermillExecutionError as error:
        print(f"{notebook} failed in cell {error.exec_count}: {error.ename}: {error.evalue}")
        return 1
    except RuntimeError as error:  # nbclient's DeadKernelError: killed, for instance for want of memory
        print(f"{notebook} failed: {error} (was it killed for want of memory?)")
        return 138
    return 0


def main(arguments: list[str]) -> int:
    if len(arguments) < 2:
        print(__doc__.strip())
        return 2
    try:
        return run(arguments[0], Path(arguments[1]), arguments[2:])
    except ParameterError as error:
        print(error)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
