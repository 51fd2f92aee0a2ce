"""Files of a source are the same by content; times and sizes only spare reading them."""

import os
import shutil

import pytest

from medsynth_lib.data import source_files
from medsynth_lib.data.slices import DataError
from medsynth_lib.data.source_files import differences, find, look


@pytest.fixture
def folder(tmp_path):
    """Three files in folders, and things that do not belong to the source."""
    for name in ("images/a.png", "images/b.png", "labels/a.png", ".git/annex/c.png", "images/.a.png", "notes.txt"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_text(f"content of {name}")
    return tmp_path / "set"


def now(folder, known=None):
    return look(folder, list(find(folder, 2, (".png", ".csv"))), known or {})


def keep_time(file, change):
    """Change a file without a trace in its size and modification time."""
    before = file.stat()
    change(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns and file.stat().st_size == before.st_size


def copied_again(folder):
    shutil.copytree(folder, folder.with_name("copy"), copy_function=shutil.copy)
    shutil.rmtree(folder)
    folder.with_name("copy").rename(folder)


def linked(folder):
    """As DataLad keeps a file: a link to its content elsewhere."""
    (folder / "images/a.png").rename(folder / ".git/object")
    (folder / "images/a.png").symlink_to("../.git/object")


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda f: (f / "labels/a.png").write_text("mended"), ["labels/a.png"]),
        (lambda f: keep_time(f / "labels/a.png", lambda m: m.write_text("CONTENT OF labels/a.png")), ["labels/a.png"]),
        (lambda f: (f / "images/c.png").write_text("new"), ["images/c.png"]),
        (lambda f: (f / "subjects.csv").write_text("file,subject"), ["subjects.csv"]),
        (lambda f: (f / "images/b.png").unlink(), ["images/b.png"]),
        (lambda f: (f / "images/b.png").rename(f / "images/c.png"), ["images/b.png", "images/c.png"]),
        (lambda f: shutil.rmtree(f / "labels"), ["labels/a.png"]),
        (lambda f: (f / "images/c.png").symlink_to("nowhere"), ["images/c.png"]),
        (copied_again, []),
        (linked, []),
        (lambda f: os.utime(f / "images/a.png"), []),
        (lambda f: (f / "notes.txt").write_text("other"), []),
        (lambda f: (f / "images/.hidden.png").write_text("other"), []),
        (lambda f: (f / "images/deep").mkdir() or (f / "images/deep/c.png").write_text("deeper than it is read"), []),
    ],
)
def test_what_counts_as_a_change(folder, change, names):
    before = now(folder)
    assert set(before) == {"images/a.png", "images/b.png", "labels/a.png"}
    change(folder)
    assert differences(before, now(folder, before)) == names


def test_a_link_is_followed_to_content_that_changes_elsewhere(folder):
    linked(folder)
    before = now(folder)
    (folder / ".git/object").write_text("other content")
    assert differences(before, now(folder, before)) == ["images/a.png"]
    (folder / ".git/object").unlink()
    assert differences(before, now(folder, before)) == ["images/a.png"]


def test_only_what_may_have_changed_is_read(folder, monkeypatch):
    before, read, done = now(folder), [], []
    original = source_files._sha256
    monkeypatch.setattr(source_files, "_sha256", lambda path: read.append(path.name) or original(path))
    assert now(folder, before) == before and not read
    (folder / "images/b.png").write_text("other")
    found = list(find(folder, 2, (".png",)))
    after = look(folder, found, before, workers=2, progress=lambda *numbers: done.append(numbers))
    assert read == ["b.png"] and done == [(1, 1)]
    assert now(folder, after) == after and read == ["b.png"]


def test_links_in_a_circle_and_a_missing_folder_end(folder):
    (folder / "images" / "up").symlink_to(folder)
    assert len(list(find(folder, 4, (".png",)))) < 20
    assert list(find(folder / "nowhere", 2, (".png",))) == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="whoever is root may read everything")
def test_a_file_that_may_not_be_read_is_named(folder):
    (folder / "images/a.png").chmod(0)
    with pytest.raises(DataError, match=r"images/a.png cannot be read \(Permission denied\); check that you may"):
        now(folder)


def test_without_a_limit_every_depth_is_found_and_circles_end(folder):
    deep = folder / "images/1/2/3/4/5/6/7/8/9"
    deep.mkdir(parents=True)
    (deep / "d.png").touch()
    for link, target in ((deep / "up", folder), (deep / "same", deep), (folder / "labels/images", folder / "images")):
        link.symlink_to(target)
    found = {path.relative_to(folder).as_posix() for path in find(folder, None, (".png",))}
    below = {"a.png", "b.png", "1/2/3/4/5/6/7/8/9/d.png"}
    assert found == {"labels/a.png", *(f"{place}/{name}" for place in ("images", "labels/images") for name in below)}
