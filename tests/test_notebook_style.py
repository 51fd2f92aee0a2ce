"""The house style of the notebooks, as far as a machine can see it."""

import ast
import re
from collections import Counter
from statistics import median

import nbformat
import papermill
import pytest

from medsynth_lib.course.notebooks import FOLDER, NOTEBOOKS

FORBIDDEN = (
    r"^\s*[!%]",
    r"\binput\(",
    r"sys\.exit",
    r"os\.chdir",
    r"\.cuda\(",
    r"tqdm\.auto",
    r"if profile ==",
    r"(?<![\w.])/(home|tmp|root|work|mnt)/",
    r"torch\.load\(",
)


def cells(name, kind=None):
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    return [cell for cell in notebook.cells if kind in (None, cell.cell_type)]


def tags(cell):
    return cell.metadata.get("tags", [])


def code_lines(cell):
    return [line for line in cell.source.splitlines() if line.strip() and not line.strip().startswith("#")]


each = pytest.mark.parametrize("name", NOTEBOOKS)


@each
def test_opening_order(name):
    first = cells(name)[:4]
    assert [cell.cell_type for cell in first] == ["markdown", "code", "code", "code"]
    assert first[0].source.startswith(f"# {name[:2]} · ")
    for word in ("**Question.**", "Prerequisites", "Reads", "Writes", "Time", "Sources", "icence"):
        assert word in first[0].source
    assert "for diagnosis" in first[0].source
    assert tags(first[1]) == ["parameters"]
    assert "import medsynth_lib as ms" in first[2].source
    assert f'run = ms.start("{name}", profile, data, seed)' in first[3].source


@each
def test_parameters_are_few_typed_and_commented(name):
    cell = next(cell for cell in cells(name, "code") if "parameters" in tags(cell))
    lines = cell.source.splitlines()
    assert len(lines) <= 8 and all(re.fullmatch(r"\w+: (str|int|float|bool) = \S+  # .+", line) for line in lines)
    known = papermill.inspect_notebook(str(FOLDER / f"{name}.ipynb"))
    assert list(known)[:3] == ["profile", "data", "seed"]
    assert known["profile"]["default"] == '"demo"'


@each
def test_length_and_balance_of_cells(name):
    everything, code = cells(name), cells(name, "code")
    lengths = sorted(len(code_lines(cell)) for cell in code)
    prose = sum(len(cell.source.split()) for cell in cells(name, "markdown"))
    assert 25 <= len(everything) <= 75
    assert 0.5 <= len(cells(name, "markdown")) / len(everything) <= 0.65
    assert median(lengths) <= 8 and lengths[int(0.9 * len(lengths))] <= 20 and lengths[-1] <= 30
    assert sum(lengths) <= 300
    assert prose >= 5 * sum(lengths)


@each
def test_imports_stand_in_one_cell(name):
    importing = []
    for position, cell in enumerate(cells(name, "code")):
        nodes = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Import | ast.ImportFrom)]
        importing += [position] * len(nodes)
    assert set(importing) == {1} and len(importing) <= 12


@each
def test_nothing_forbidden(name):
    for cell in cells(name, "code"):
        for pattern in FORBIDDEN:
            assert not re.search(pattern, cell.source, flags=re.M), f"{pattern} in {cell.source[:60]!r}"


@each
def test_asserts_summary_exercises_solutions_and_the_last_cell(name):
    code = cells(name, "code")
    asserts = sum(isinstance(node, ast.Assert) for cell in code for node in ast.walk(ast.parse(cell.source)))
    assert asserts >= 3
    text = "\n".join(cell.source for cell in cells(name, "markdown"))
    exercises = text.split("## Exercises")[1]
    assert "## Summary" in text and 3 <= len(re.findall(r"^\d\. ", exercises, flags=re.M)) <= 5
    assert any("solution" in tags(cell) for cell in code)
    assert code[-1].source.startswith("run.finish(")


@each
def test_sources_are_stripped_but_for_compared_cells(name):
    """A compared cell needs output AND count, else nbval passes over it without a word."""
    compared = 0
    for cell in cells(name, "code"):
        if "keep_output" in tags(cell):
            assert "# NBVAL_CHECK_OUTPUT" in cell.source
            assert cell.outputs and cell.execution_count
            compared += 1
        else:
            assert not cell.outputs and cell.execution_count is None
    assert compared >= 1


def test_notebooks_do_not_repeat_each_other():
    """Lines that stand in three notebooks belong into the library; the common opening does not count."""
    where = Counter()
    lines = {
        name: {x.strip() for c in cells(name, "code")[3:] for x in code_lines(c) if len(x) > 25} for name in NOTEBOOKS
    }
    for own in lines.values():
        where.update(own)
    for name, own in lines.items():
        repeated = [line for line in own if where[line] >= 3]
        assert len(repeated) <= 0.15 * len(own), f"{name} repeats {repeated}"
