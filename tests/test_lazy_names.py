"""`import medsynth_lib as ms`: names come when they are used, and editors and `dir` know all of them before."""

import ast
import subprocess
import sys
from pathlib import Path

import medsynth_lib as ms


def promised_to_editors() -> dict[str, str]:
    """{name: module} of the block that only type checkers read."""
    tree = ast.parse(Path(ms.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and node.test.id == "TYPE_CHECKING"]
    found = {}
    for line in block.body:
        assert isinstance(line, ast.ImportFrom) and line.level == 1
        for alias in line.names:
            assert alias.asname == alias.name and alias.name not in found, "exported, and once"
            found[alias.name] = line.module
    return found


def test_editors_see_the_names_that_a_notebook_gets():
    assert promised_to_editors() == {**ms._HOME, "joint": "data"}


def test_every_name_is_there_and_in_dir():
    assert "joint" in ms.__all__ and set(ms.__all__) <= set(dir(ms))
    assert ms.joint.__name__ == "medsynth_lib.data.joint"
    assert all(getattr(ms, name) is not None for name in ms.__all__)
    assert not hasattr(ms, "no_such_name")


def test_importing_the_library_imports_neither_torch_nor_matplotlib():
    program = "import sys, medsynth_lib; dir(medsynth_lib); sys.exit(bool({'torch', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_what_the_snakefile_reads_needs_no_torch():
    program = (
        "import sys; from medsynth_lib.core import provenance; from medsynth_lib.course import notebooks; "
        "from medsynth_lib.experiment import finished, profiles; from medsynth_lib.studies import memorization_plan, "
        "segmentation_plan; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
