"""Run one notebook with papermill: check its parameters, keep the log readable, keep the notebook of a failed run.

usage: python -m medsynth_lib.course.execute NOTEBOOK OUTPUT [name=value ...]
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from ..core.locks import own_turn
from ..experiment import disk
from .notebooks import FOLDER, NOTEBOOKS

CONVERT = {"str": str, "int": int, "float": float, "bool": lambda text: {"true": True, "false": False}[text.lower()]}


class ParameterError(ValueError):
    """A parameter that the notebook does not know or cannot read; found before a kernel starts."""


def read_parameters(notebook: Path, words: list[str]) -> dict:
    """name=value words as typed values, checked against the notebook's own `parameters` cell.

    papermill itself only warns about an unknown name and then uses the defaults.
    """
    known = papermill.inspect_notebook(as_it_is(notebook))
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


def as_it_is(path: Path) -> str:
    """The path for papermill, which would replace names in braces by parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


NOISE = ("Executing", "Ending", "Input Notebook", "Output Notebook", "Working directory", "<Figure")


def tells_something(record: logging.LogRecord) -> bool:
    """False for papermill's status lines, empty lines and the text form of figures."""
    text = record.getMessage().strip()
    record.msg, record.args = text, ()
    return bool(text) and not text.startswith(NOISE)


def run(notebook: str, output: Path, words: list[str]) -> int:
    """Execute and return papermill's exit code: 0, 1 for a failed cell, 138 for a dead kernel."""
    source = FOLDER / f"{notebook}.ipynb"
    if notebook not in NOTEBOOKS or not source.is_file():
        raise ParameterError(f"unknown notebook {notebook!r}; known notebooks: {', '.join(NOTEBOOKS)}.")
    parameters = read_parameters(source, words)
    log, handler = logging.getLogger("papermill"), logging.StreamHandler(sys.stdout)
    handler.addFilter(tells_something)
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO)
    with own_turn(output.parent, notebook):
        return execute(source, output, parameters)


def execute(source: Path, output: Path, parameters: dict) -> int:
    """Run the notebook in a kernel of this environment, in the repository's folder."""
    kernels = [str(Path(sys.prefix) / "share" / "jupyter"), os.environ.get("JUPYTER_PATH")]
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, kernels))  # this environment's kernel before any other
    os.environ["MEDSYNTH_HEADLESS"] = "1"
    os.environ.pop("MEDSYNTH_PROFILE", None)
    os.environ.pop("MPLBACKEND", None)  # a backend without display would leave the notebook without figures
    print(f"running {source.name} with {json.dumps(parameters)}", flush=True)
    try:
        executed = papermill.execute_notebook(
            as_it_is(source),
            as_it_is(output),
            parameters,
            kernel_name="python3",
            cwd=str(FOLDER.parent),
            progress_bar=False,
            log_output=True,
            start_timeout=300,  # seconds; the first import from a slow disk takes long
            extra_arguments=["--IPKernelApp.log_level=ERROR"],  # hides its messages about sockets
        )
    except PapermillExecutionError as error:
        print(f"{source.stem} failed in cell {error.exec_count}: {error.ename}: {error.evalue}")
        return 1
    except DeadKernelError as error:
        print(f"{source.stem} failed: {error} (was there too little memory?)")
        return 138
    if any(cell.cell_type == "code" and cell.source and not cell.execution_count for cell in executed.cells):
        print(f"{source.stem} failed: it ended before its last cell, without an error (sys.exit?)")
        return 1
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
    except OSError as error:
        print(f"{arguments[0]} failed: {disk.sentence(error)}")
        return 1


def silence_children() -> None:
    """Keep child processes from writing to this stdout: papermill logs what a kernel prints.

    ipykernel sends the output of its own child processes to the notebook, and once more to its stdout.
    """
    sys.stdout = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


if __name__ == "__main__":
    silence_children()
    sys.exit(main(sys.argv[1:]))
