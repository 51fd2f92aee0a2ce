"""Which notebooks run, in which order, and what makes them run again."""

import nbformat
import pytest

from medsynth_lib.course import notebooks as course


def test_every_notebook_file_is_in_the_table_and_back(root):
    assert {path.stem for path in (root / "notebooks").glob("*.ipynb")} == set(course.NOTEBOOKS)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("core", course.CORE),
        ("00", ["00_data"]),
        ("01 00", ["00_data", "01_vae"]),
        ("05_ddpm", ["00_data", "01_vae", "05_ddpm"]),
        ("01,06", ["00_data", "01_vae", "06_segmentation"]),
        ("07", [name for name in course.CORE if name != "04_cyclegan"]),
    ],
)
def test_selection_brings_what_it_needs(asked, names):
    chosen = course.select(asked)
    assert chosen == [name for name in course.NOTEBOOKS if name in chosen]
    assert set(chosen) == {n for n in names if asked != "07" or n < "08"}


@pytest.mark.parametrize("asked", ["99", "", "01_vea", "core 01"])
def test_unknown_notebooks_are_refused_with_the_known_ones(asked):
    with pytest.raises(ValueError, match="known: core, all, 00, 01"):
        course.select(asked)


def test_evaluation_waits_for_the_selected_generators_only():
    assert course.needs("07_evaluation", ["00_data", "01_vae", "07_evaluation"]) == ["06_segmentation", "01_vae"]


@pytest.fixture
def small(tmp_path):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("# Words"), nbformat.v4.new_code_cell("x = 1  # one")]
    )
    library = tmp_path / "library"
    library.mkdir()
    (library / "a.py").write_text('"""Says what it does."""\ny = 2\n')

    def write_and_hash():
        nbformat.write(notebook, tmp_path / "n.ipynb")
        return course.notebook_hash("n", tmp_path, library)

    return notebook, library, write_and_hash


def test_prose_changes_nothing_and_code_does(small):
    notebook, library, hash_now = small
    before = hash_now()
    notebook.cells[0].source = "# Other words"
    notebook.cells[1].source = "x = 1  # uno"
    (library / "a.py").write_text('"""Says it better."""\n# why\ny = 2\n')
    assert hash_now() == before
    notebook.cells[1].source = "x = 2"
    changed = hash_now()
    (library / "a.py").write_text("y = 3\n")
    assert len({before, changed, hash_now()}) == 3
