"""From the user's word to a source."""

import inspect
import re

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
            DataError, match="known: phantom, phantom-uniform, hippocampus, braintumour, brats:PATH, folder:PATH, pneu"
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
