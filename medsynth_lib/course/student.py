"""Student copies of the notebooks: the same files with the solution cells emptied. `make student`

usage: python -m medsynth_lib student [FOLDER]
"""

from __future__ import annotations

from pathlib import Path

import nbformat

from ..experiment import options
from .notebooks import FOLDER, NOTEBOOKS

EMPTY = "# your answer here"


def student_copy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without outputs and with every cell tagged `solution` emptied."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if "solution" in cell.metadata.get("tags", []):
            cell.source = EMPTY
    return notebook


def write_copies(folder: Path) -> None:
    """Write the copies of all notebooks into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NOTEBOOKS:
        copy = student_copy(nbformat.read(FOLDER / f"{name}.ipynb", as_version=4))
        nbformat.write(copy, folder / f"{name}.ipynb")
        print(folder / f"{name}.ipynb")


def main(arguments: list[str] | None = None) -> int:
    folder = options.student().parse_args(arguments).folder
    if folder.resolve() == FOLDER:
        print(f"{folder} holds the notebooks themselves; name another folder for the copies.")
        return 2
    write_copies(folder)
    return 0
