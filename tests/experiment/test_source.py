"""The record of a source's files beside the slices that were made from them."""

import json
import shutil

import pytest

from medsynth_lib.data.slices import DataError
from medsynth_lib.experiment import source


@pytest.fixture
def own(tmp_path):
    for name in ("images/a.png", "images/b.png", "images/c.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_text(name)
    data, folder = f"folder:{tmp_path / 'set'}", tmp_path / "00_data"
    folder.mkdir()
    source.remember(folder, source.seen(data))
    return tmp_path / "set", folder, data


def test_changes_begin_a_sentence(own):
    files, folder, data = own
    assert source.changes(folder, data)[0] == ""
    (files / "images" / "b.png").write_text("other")
    assert source.changes(folder, data)[0] == f"images/b.png of {data} changed, appeared or vanished"
    (files / "images" / "a.png").unlink()
    assert source.changes(folder, data)[0].startswith("images/a.png and 1 more file of ")
    (files / "images" / "d.png").touch()
    assert source.changes(folder, data)[0].startswith("images/a.png and 2 more files of ")


def test_times_that_changed_are_recorded_so_that_the_content_is_read_once(own, monkeypatch):
    files, folder, data = own
    before = json.loads((folder / source.RECORD).read_text())
    for file in sorted((files / "images").iterdir()):
        text = file.read_text()
        file.unlink()
        file.write_text(text)
    assert source.changes(folder, data)[0] == ""
    assert json.loads((folder / source.RECORD).read_text()) != before
    monkeypatch.setattr("medsynth_lib.data.source_files._sha256", lambda path: pytest.fail("read again"))
    assert source.changes(folder, data)[0] == ""


@pytest.mark.parametrize("record", ["", "{", "{}"])
def test_slices_of_unknown_origin_count_as_changed(own, record):
    _, folder, data = own
    (folder / source.RECORD).write_text(record)
    assert source.changes(folder, data)[0]


def test_a_simulation_never_changes_and_a_deleted_download_does_not_matter(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSYNTH_DATA", str(tmp_path))
    assert source.seen("phantom") == {} and source.changes(tmp_path, "phantom")[0] == ""
    file = tmp_path / "medmnist" / "pneumoniamnist.npz"
    file.parent.mkdir()
    file.write_text("content")
    source.remember(tmp_path, source.seen("pneumoniamnist"))
    file.write_text("other")
    assert source.changes(tmp_path, "pneumoniamnist")[0].startswith("pneumoniamnist.npz of pneumoniamnist changed")
    shutil.rmtree(file.parent)
    assert source.changes(tmp_path, "pneumoniamnist")[0] == ""


def test_an_own_folder_that_is_empty_or_gone_is_told(own):
    files, folder, data = own
    shutil.rmtree(files / "images")
    assert source.changes(folder, data)[0].startswith("images/a.png and 2 more files")
    files.rmdir()
    with pytest.raises(DataError, match="does not exist"):
        source.changes(folder, data)[0]
