"""Notebooks run from a clean kernel at smoke size, and the compared outputs are truly compared (nbval).

00 and those outside the core; tests/test_dag.py runs the core, and tests/test_notebooks_on_device.py some of it.
"""

import subprocess
import sys

import nbformat
import pytest

from medsynth_lib.course.notebooks import CORE, FOLDER, NOTEBOOKS

OPTIONS = ["-x", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=180", "-p", "no:cacheprovider", "-q"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One runs folder for all: later notebooks read what earlier ones wrote."""
    return tmp_path_factory.mktemp("runs")


def nbval(notebook, environment, runs):
    environment = {**environment, "MEDSYNTH_PROFILE": "smoke", "MEDSYNTH_RUNS": str(runs), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", *OPTIONS, "--rootdir", str(notebook.parent), str(notebook)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, cwd=notebook.parent)


@pytest.mark.parametrize("name", ["00_data", *(name for name in NOTEBOOKS if name not in CORE)])
def test_notebook_runs_and_its_kept_outputs_hold(name, offline, runs):
    done = nbval(FOLDER / f"{name}.ipynb", offline, runs)
    assert done.returncode == 0, done.stdout[-3000:]
    assert (runs / "smoke" / "phantom" / "seed0" / name / "metrics.json").is_file()


def test_the_comparison_can_fail(offline, runs, tmp_path):
    """The same notebook with one digit of a kept output changed must not pass."""
    notebook = nbformat.read(FOLDER / "00_data.ipynb", as_version=4)
    kept = next(i for i, c in enumerate(notebook.cells) if "keep_output" in c.metadata.get("tags", []))
    output = notebook.cells[kept].outputs[0]
    digit = next(character for character in output["text"] if character.isdigit())
    output["text"] = output["text"].replace(digit, str((int(digit) + 1) % 10), 1)
    notebook.cells = notebook.cells[: kept + 1]
    nbformat.write(notebook, tmp_path / "00_data.ipynb")
    done = nbval(tmp_path / "00_data.ipynb", offline, runs)
    assert done.returncode == 1 and "mismatch" in done.stdout
