"""PneumoniaMNIST from a made file of the same layout, and from the real one where MEDSYNTH_DATA holds it."""

import os
from pathlib import Path

import numpy as np
import pytest

from medsynth_lib.data import medmnist
from medsynth_lib.data.slices import DataError


def write(root, **changes):
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", 20), ("val", 6), ("test", 4)):
        arrays[f"{part}_images"] = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        arrays[f"{part}_labels"] = rng.integers(0, 2, (n, 1), dtype=np.uint8)
    (root / "medmnist").mkdir()
    np.savez(root / "medmnist" / "pneumoniamnist.npz", **{**arrays, **changes})
    return arrays


def test_parts_are_pooled_and_classes_named(tmp_path):
    arrays = write(tmp_path)
    slices = medmnist.load(tmp_path, image_size=28, subjects=0, seed=0)
    assert len(slices) == 30 == len(slices.unique_subjects()) and slices.labels is None
    np.testing.assert_allclose((slices.images[20:26, 0] + 1) * 127.5, arrays["val_images"], atol=1e-3)
    assert slices.classes[26:].tolist() == arrays["test_labels"].ravel().tolist()
    assert slices.class_names == ("normal", "pneumonia")
    few = medmnist.load(tmp_path, image_size=64, subjects=10, seed=1)
    assert few.images.shape == (10, 1, 64, 64)


def test_bad_files_are_named(tmp_path):
    write(tmp_path, train_labels=np.full((20, 1), 2))
    path = tmp_path / "medmnist" / "pneumoniamnist.npz"
    with pytest.raises(DataError, match="one class 0 or 1 each"):
        medmnist.load(tmp_path, image_size=28, subjects=0, seed=0)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(DataError, match="is not a MedMNIST file"):
        medmnist.load(tmp_path, image_size=28, subjects=0, seed=0)
    np.savez(path, train_images=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="is not a MedMNIST file"):
        medmnist.load(tmp_path, image_size=28, subjects=0, seed=0)


def test_offline_says_what_to_do(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("pooch.retrieve", refuse)
    with pytest.raises(DataError, match="no network.*zenodo.org.*MEDSYNTH_DATA"):
        medmnist.load(tmp_path, image_size=28, subjects=0, seed=0)


REAL = Path(os.environ.get("MEDSYNTH_DATA") or "none")


@pytest.mark.skipif(not (REAL / "medmnist" / "pneumoniamnist.npz").is_file(), reason="MEDSYNTH_DATA holds no copy")
def test_real_copy():
    slices = medmnist.load(REAL, image_size=32, subjects=0, seed=0)
    assert len(slices) == 5856
    assert slices.describe()["class_counts"] == {"normal": 1583, "pneumonia": 4273}
