"""Paths that a user typed hold in every folder, and the ones that cannot be stored are refused."""

import os
import sys
from pathlib import Path

import pytest

from medsynth_lib.data.paths import absolute, readable


@pytest.mark.parametrize("typed", ["set", "./set", "below/../set", "~/set", "set/"])
def test_a_path_holds_in_every_folder(tmp_path, monkeypatch, typed):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "below").mkdir()
    found = absolute(typed)
    monkeypatch.chdir(tmp_path / "below")
    assert found == (tmp_path / "set").resolve() and absolute(str(found)) == found


@pytest.mark.parametrize("name", ["{3F2504E0-4F89}", "my data (1)", "Jörg's 数据", "100 % #1 $x"])
def test_odd_names_are_kept(tmp_path, name):
    assert absolute(str(tmp_path / name)) == (tmp_path / name).resolve()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="these systems have no such names")
def test_a_name_that_is_not_utf8_is_refused_in_words_that_can_be_printed(tmp_path):
    with pytest.raises(ValueError, match=r"m\\xe9d has a name that is not UTF-8; rename") as told:
        absolute(os.fsdecode(os.fsencode(tmp_path) + b"/m\xe9d"))
    str(told.value).encode()
    assert readable(os.fsdecode(b"m\xe9d")) == "m\\xe9d" and readable(Path("möd")) == "möd"


def test_an_unknown_home_and_a_circle_of_links_are_refused(tmp_path):
    with pytest.raises(ValueError, match="~nobody-of-that-name/set cannot be resolved"):
        absolute("~nobody-of-that-name/set")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(ValueError, match="cannot be resolved .*; correct the path"):
        absolute(str(tmp_path / "a"))
