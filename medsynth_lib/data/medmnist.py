"""PneumoniaMNIST (MedMNIST v2): small chest X-rays with a class and no label map."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from . import preprocess as pre
from .slices import DataError, SliceSet

ADDRESS = "https://zenodo.org/records/10519652/files/pneumoniamnist.npz"
MD5 = "28209eda62fecd6e6a2d98b1501bb15f"
PARTS = ("train", "val", "test")


def load(root: Path, *, image_size: int, subjects: int, seed: int) -> SliceSet:
    """PneumoniaMNIST from `root`/medmnist/pneumoniamnist.npz, downloaded there when absent.

    The three official parts are pooled, because this library makes its own split. Arguments as in `registry.load`.
    """
    pixels, classes = _read(find_file(root))
    names = np.array([f"image-{k:04d}" for k in range(len(pixels))])
    chosen = np.isin(names, pre.choose_subjects(names.tolist(), subjects, seed))
    pixels, classes, names = pixels[chosen], classes[chosen], names[chosen]
    # All images are on one 8-bit scale, so the fixed mapping of 0..255 to [-1, 1] shares nothing between subjects.
    images, _, _ = pre.fit_square(pixels[:, None].astype(np.float32) / 127.5 - 1, None, image_size, (1.0, 1.0))
    return SliceSet(
        images=images,
        subjects=names,
        classes=classes,
        levels=np.zeros(len(names), dtype=np.int64),
        channels=("X-ray",),
        class_names=("normal", "pneumonia"),
        source="PneumoniaMNIST, MedMNIST v2 (Yang et al., Sci. Data 10, 41 (2023); Kermany et al., Cell 172 (2018))",
        licence="CC-BY-4.0",
        intended_use="teaching; MedMNIST is not intended for clinical use",
        processing={
            "intensity": "grey levels 0..255 to [-1, 1]",
            "slices": "the official train, val and test images, pooled",
            "geometry": "28 x 28 pixels resampled by antialiased linear interpolation; pixel size unknown, taken as 1 "
            "mm",
            "subjects": "each image is its own subject; MedMNIST does not say which images share a patient, so a "
            "split by patient cannot be guaranteed",
        },
    )


def find_file(root: Path) -> Path:
    """The local file if there is one (its content is checked when it is read), else the download, checked by md5."""
    path = root / "medmnist" / "pneumoniamnist.npz"
    if path.is_file():
        return path
    import pooch

    try:
        return Path(pooch.retrieve(ADDRESS, f"md5:{MD5}", fname=path.name, path=path.parent))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} does not exist and could not be downloaded ({error}): fetch {ADDRESS} on a machine with network "
            f"into a folder medmnist/, and set MEDSYNTH_DATA to the folder above it (now {root})."
        ) from error


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 [N, 28, 28] and classes int64 [N] of the pooled parts."""
    try:
        with np.load(path, allow_pickle=False) as file:
            pixels = [file[f"{part}_images"] for part in PARTS]
            classes = [file[f"{part}_labels"].reshape(-1) for part in PARTS]
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is not a MedMNIST file ({error}); delete it and have it downloaded again.") from error
    pixels, classes = np.concatenate(pixels), np.concatenate(classes)
    if (
        pixels.dtype != np.uint8
        or pixels.ndim != 3
        or len(pixels) != len(classes)
        or not np.isin(classes, (0, 1)).all()
    ):
        raise DataError(
            f"{path} holds {pixels.dtype} images {pixels.shape} with {len(classes)} classes, expected uint8 [N, 28, "
            "28] and one class 0 or 1 each; delete it and have it downloaded again."
        )
    return pixels, classes.astype(np.int64)
