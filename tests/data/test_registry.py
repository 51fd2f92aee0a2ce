"""From the user's word to a source."""

import inspect
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_brats import OLD, write_case
from test_decathlon import write_task

from medsynth_lib.data import registry
from medsynth_lib.data.slices import DataError

SIZES = dict(image_size=16, subjects=0, slices_per_subject=1, seed=0)


@pytest.mark.parametrize("word", ["", "brain", "phantom:here", "PNEUMONIA", "nnunet:/tmp"])
def test_unknown_word_lists_the_known(word):
    for function in (registry.check, registry.key, lambda data: registry.load(data, **SIZES)):
        with pytest.raises(
            DataError,
            match="known: phantom, phantom-uniform, hippocampus, braintumour, brats:PATH, folder:PATH, classes:PATH",
        ):
            function(word)


def test_paths(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="write brats:PATH"):
        registry.check("brats")
    with pytest.raises(DataError, match="nowhere does not exist"):
        registry.check(f"folder:{tmp_path / 'nowhere'}")
    assert registry.check(f"Folder:{tmp_path}") == ("folder", tmp_path.resolve())
    assert registry.check(" PHANTOM ") == ("phantom", None)
    monkeypatch.chdir(tmp_path.parent)
    assert registry.key(f"brats:{tmp_path.name}/") == registry.key(f"brats:{tmp_path}")


def test_a_source_is_resolved_where_it_was_typed(tmp_path, monkeypatch):
    (tmp_path / "my {set}").mkdir()
    monkeypatch.chdir(tmp_path)
    found = registry.resolved("Folder:my {set}/")
    monkeypatch.chdir(tmp_path.parent)
    assert found == f"folder:{(tmp_path / 'my {set}').resolve()}" == registry.resolved(found)
    assert registry.resolved(" Phantom ") == "phantom"
    with pytest.raises(DataError, match=f"the folder {tmp_path.parent}/my .set. does not exist"):
        registry.resolved("folder:my {set}")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="these systems have no such names")
def test_a_folder_whose_name_is_not_utf8_is_refused(tmp_path):
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/m\xe9d")
    os.mkdir(folder)
    with pytest.raises(DataError, match="not UTF-8; rename"):
        registry.check(f"folder:{folder}")


def names_of_files(data):
    folder, files = registry.files_of(data)
    return {file.relative_to(folder).as_posix() for file in files}


def test_the_files_of_a_source_are_those_that_it_reads(tmp_path, monkeypatch):
    """Not others beside them, and not the results of runs that are written into the same folder."""
    monkeypatch.setenv("MEDSYNTH_DATA", str(tmp_path / "public"))
    for name in (
        *("images/a.png", "images/b.NII.gz", "labels/a.png", "subjects.csv", "notes.docx", "images/.a.png.swp"),
        *("test/images/c.png", "test/masks/c.png", "old/images/d.png"),
        *("demo/folder-set/seed0/report.json", "demo/folder-set/seed0/00_data/figures/balance.png"),
        "demo/folder-set/seed0/release/edm/imagesTr/a.nii.gz",
    ):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).touch()
    assert names_of_files(f"folder:{tmp_path / 'set'}") == {
        "images/a.png",
        "images/b.NII.gz",
        "labels/a.png",
        "subjects.csv",
        "test/images/c.png",
        "test/masks/c.png",
    }
    assert names_of_files(f"brats:{tmp_path / 'set'}") == {"images/b.NII.gz"}
    for name in ("x/y/BraTS20_001/BraTS20_001_t1.nii", "x/y/BraTS20_001/BraTS20_001_seg.nii"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).touch()
    assert len(names_of_files(f"brats:{tmp_path / 'set'}")) == 3
    for data in ("phantom", "phantom-uniform", "hippocampus", "pneumoniamnist"):
        assert names_of_files(data) == set(), "simulated, or not downloaded yet"
    write_task(tmp_path / "public", "hippocampus")
    found = names_of_files("hippocampus")
    assert "dataset.json" in found and any(name.startswith("imagesTr/") for name in found)
    (tmp_path / "public" / "medmnist").mkdir()
    (tmp_path / "public" / "medmnist" / "pneumoniamnist.npz").touch()
    assert names_of_files("pneumoniamnist") == {"pneumoniamnist.npz"}


def test_keys_are_safe_and_tell_folders_apart(tmp_path):
    names = ["my data (1)", "täglich", "my data (1)/my data (1)"]
    keys = {"phantom": registry.key("Phantom")}
    for name in names:
        (tmp_path / name).mkdir(parents=True)
        keys[name] = registry.key(f"brats:{tmp_path / name}")
        assert re.fullmatch(r"brats-[A-Za-z0-9_.]+-[0-9a-f]{6}", keys[name])
    assert len(set(keys.values())) == 4 and keys["phantom"] == "phantom"


def test_data_root(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSYNTH_DATA", str(tmp_path))
    assert registry.data_root() == tmp_path.resolve()
    monkeypatch.delenv("MEDSYNTH_DATA")
    assert registry.data_root().name == "medsynth"


def test_every_source_can_be_loaded(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSYNTH_DATA", str(tmp_path))
    write_task(tmp_path, "hippocampus")
    write_task(tmp_path, "braintumour")
    write_case(tmp_path / "b" / "BraTS20_Training_001", "BraTS20_Training_001", OLD, 4)
    (tmp_path / "f" / "images").mkdir(parents=True)
    Image.fromarray(np.arange(81, dtype=np.uint8).reshape(9, 9)).save(tmp_path / "f" / "images" / "a.png")
    (tmp_path / "medmnist").mkdir()
    images, labels = np.zeros((2, 28, 28), np.uint8), np.zeros((2, 1), np.uint8)
    parts = {f"{p}_{k}": v for p in ("train", "val", "test") for k, v in (("images", images), ("labels", labels))}
    np.savez(tmp_path / "medmnist" / "pneumoniamnist.npz", **parts)
    for data, n in (
        ("hippocampus", 3),
        ("BrainTumour", 3),
        (f"brats:{tmp_path / 'b'}", 1),
        ("pneumoniamnist", 6),
    ):
        slices = registry.load(data, **SIZES)
        assert len(slices) == n and slices.size == 16 and slices.source and slices.licence and slices.processing
    with pytest.warns(UserWarning, match="subjects.csv"):
        assert len(registry.load(f"folder:{tmp_path / 'f'}", **SIZES)) == 1


def test_the_phantom_gets_all_arguments(monkeypatch):
    phantom = pytest.importorskip("medsynth_lib.data.phantom")
    wanted = {"subjects", "image_size", "slices_per_subject", "seed", "workers", "progress"}
    assert wanted <= set(inspect.signature(phantom.simulate).parameters)
    monkeypatch.setattr(phantom, "simulate", lambda **given: given)
    for name, how in phantom.VARIATIONS.items():
        given = registry.load(name, **SIZES)
        assert set(given) == {*wanted, "how"} and given["how"] is how


DEEP = "images/s/1/2/3/4/5/6/7/IM0"


@pytest.mark.parametrize(
    ("source", "names", "others"),
    [
        ("classes", {"a/IM0", "a/1.2.840.113", "train/b/s/I1", "subjects.csv", f"a/{DEEP}"}, {"notes.txt", ".x/a/IM0"}),
        (
            "folder",
            {DEEP, "imagesTr/I0", "test/images/s/IM", "subjects.csv"},
            {"other/IM0", "images/.x/IM1", "a/b/c.png"},
        ),
    ],
)
def test_files_of_dicom_without_an_ending_are_watched_at_any_depth(tmp_path, source, names, others):
    for name in names | others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert names_of_files(f"{source}:{tmp_path}") == names


@pytest.mark.parametrize("source", ["classes", "folder"])
def test_a_folder_that_may_not_be_listed_is_named(tmp_path, monkeypatch, source):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match=r"cannot be listed \(Permission denied\); check that you may read it"):
        registry.files_of(f"{source}:{tmp_path}")
