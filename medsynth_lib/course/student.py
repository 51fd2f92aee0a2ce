"""Student copies of the notebooks: the same files with the solution cells emptied. `make student`

usage: python -m medsynth_lib.course.student [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat

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


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in NOTEBOOKS:
        copy = student_copy(nbformat.read(FOLDER / f"{name}.ipynb", as_version=4))
        nbformat.write(copy, folder / f"{name}.ipynb")
        print(folder / f"{name}.ipynb")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "student"))
