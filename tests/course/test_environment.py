"""What a command hands on to its jobs: paths that hold in other folders, and places for caches."""

import os
import sys
from pathlib import Path

import pytest

from medsynth_lib.course import environment


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    """No variable is set, the home folder is a new one, and whatever the test sets is forgotten."""
    for name in (*environment.FOLDERS, *environment.CACHES):
        monkeypatch.setenv(name, "to be restored")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setattr(environment.atexit, "register", lambda *_, **__: None)
    monkeypatch.setattr(environment.tempfile, "mkdtemp", lambda prefix: str(tmp_path / "spare"))


def test_folders_are_resolved_where_the_command_was_given(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDSYNTH_RUNS", "my {runs}")
    monkeypatch.setenv("MEDSYNTH_DATA", "~/public")
    environment.settle()
    monkeypatch.chdir("/")
    environment.settle()
    assert os.environ["MEDSYNTH_RUNS"] == str((tmp_path / "my {runs}").resolve())
    assert os.environ["MEDSYNTH_DATA"] == str((tmp_path / "public").resolve())
    assert capsys.readouterr().out == "" and not set(environment.CACHES) & os.environ.keys()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names and no HOME")
@pytest.mark.parametrize("home", ["/proc/none", "file", "~"])
def test_without_a_home_that_can_be_written_caches_go_elsewhere(tmp_path, monkeypatch, capsys, home):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / home) if home == "file" else home)
    monkeypatch.setenv("MPLCONFIGDIR", "/the user's own")
    data = Path(environment.home()) / ".cache" / "medsynth"
    environment.settle()
    places = {name: os.environ[name] for name in environment.CACHES}
    assert places.pop("MPLCONFIGDIR") == "/the user's own"
    assert all(place.startswith(str(tmp_path / "spare")) for place in places.values())
    assert len(set(places.values())) == len(places)
    assert os.environ["MEDSYNTH_DATA"].endswith(str(data).lstrip("~")), "downloads are still found where they were"
    told = capsys.readouterr().out
    assert "cannot be written: caches of Jupyter" in told and len(told.splitlines()) == 1
    environment.settle()
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="these systems have no such names")
def test_a_folder_of_runs_that_is_not_utf8_is_refused(monkeypatch):
    monkeypatch.setenv("MEDSYNTH_RUNS", os.fsdecode(b"/r\xe9sultats"))
    with pytest.raises(ValueError, match="not UTF-8"):
        environment.settle()
