"""Student copies: the same notebooks without solutions and without outputs."""

import nbformat

from medsynth_lib.course import notebooks as course
from medsynth_lib.course import student


def test_copies_have_no_solution_and_all_the_rest(root, tmp_path):
    assert student.main([str(tmp_path)]) == 0
    for name in course.NOTEBOOKS:
        source = nbformat.read(root / "notebooks" / f"{name}.ipynb", 4).cells
        copy = nbformat.read(tmp_path / f"{name}.ipynb", 4).cells
        assert len(copy) == len(source)
        emptied = 0
        for mine, theirs in zip(source, copy, strict=True):
            if "solution" in mine.metadata.get("tags", []):
                emptied += 1
                assert theirs.source == student.EMPTY
            else:
                assert theirs.source == mine.source
            assert not theirs.get("outputs")
        assert emptied >= 1, f"{name} has no solution cell"


def test_the_notebooks_themselves_are_not_overwritten(capsys):
    before = {path: path.read_bytes() for path in course.FOLDER.glob("*.ipynb")}
    assert student.main([str(course.FOLDER)]) == 2 and "name another folder" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in course.FOLDER.glob("*.ipynb")} == before
