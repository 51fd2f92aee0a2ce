"""Medical Segmentation Decathlon: Task04_Hippocampus and Task01_BrainTumour, downloaded by MONAI when absent."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from . import brats
from . import preprocess as pre
from .grids import check_grid, field_of_view
from .slices import DataError, SliceSet

CITATION = "Antonelli et al., Nature Communications 13, 4128 (2022)"


@dataclass(frozen=True)
class Task:
    """Properties of one task that its dataset.json does not state."""

    folder: str
    channels: tuple[str, ...]  # in the order of the SliceSet
    modalities: tuple[str, ...]  # the same channels, named as in dataset.json (lower case)
    label_names: tuple[str, ...]
    label_map: dict[int, int]  # value in the file -> value in the SliceSet
    skull_stripped: bool
    slice_rule: str
    subject_note: str
    intended_use: str


TASKS = {
    "hippocampus": Task(
        folder="Task04_Hippocampus",
        channels=("MR",),
        modalities=("mri",),
        label_names=("background", "anterior", "posterior"),
        label_map={0: 0, 1: 1, 2: 2},
        skull_stripped=False,
        slice_rule="axial slices with any label (crops have no background), evenly spread over them",
        subject_note="one file is taken as one subject; two crops (left and right) may come from one patient, which "
        "the file names do not show, so a split by subject may not be a split by patient",
        intended_use="teaching and research on hippocampus crops; not for diagnosis, not for whole-head images",
    ),
    "braintumour": Task(
        folder="Task01_BrainTumour",
        channels=brats.CHANNELS,
        modalities=("t1w", "t1gd", "t2w", "flair"),
        label_names=brats.LABEL_NAMES,
        label_map={0: 0, 1: 2, 2: 1, 3: 3},  # MSD: 1 oedema, 2 non-enhancing, 3 enhancing
        skull_stripped=True,
        slice_rule=pre.SLICES_BRAIN,
        subject_note="one case is taken as one subject; a patient may occur at two time points, which the file names "
        "do not show",
        intended_use="teaching and research on glioma MR; not for diagnosis or treatment",
    ),
}


def load(
    name: str,
    root: Path,
    *,
    image_size: int,
    subjects: int,
    slices_per_subject: int,
    seed: int,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> SliceSet:
    """The slices of "hippocampus" or "braintumour" from `root`/<task folder>, downloaded there when absent.

    Other arguments as in `registry.load`.
    """
    task = TASKS[name]
    files = find_files(task, root)
    chosen = pre.choose_subjects(list(files), subjects, seed)
    choice = pre.choice(len(chosen), len(files), "files", seed)
    for subject in chosen:
        check_grid(*files[subject])
    stacked = pre.stack_cases(
        [(subject, files[subject]) for subject in chosen],
        partial(_read, task, _channel_order(task, root / task.folder / "dataset.json")),
        image_size=image_size,
        field=field_of_view([label for _, label in files.values()]),
        slices_per_subject=slices_per_subject,
        workers=workers,
        progress=progress,
    )
    return SliceSet(
        **stacked,
        channels=task.channels,
        label_names=task.label_names,
        source=f"Medical Segmentation Decathlon {task.folder} ({CITATION})",
        licence="CC-BY-SA-4.0",
        intended_use=task.intended_use,
        processing={
            "intensity": pre.INTENSITY_BRAIN if task.skull_stripped else pre.INTENSITY_ALL,
            "slices": task.slice_rule,
            "orientation": pre.ORIENTATION,
            "geometry": pre.GEOMETRY,
            "subjects": task.subject_note,
            "labels": f"value in the file to value here: {task.label_map}",
            "files": choice,
        },
    )


def find_files(task: Task, root: Path) -> dict[str, tuple[Path, Path]]:
    """Subject -> (image file, label file) of the official training list; downloads the task when its folder is absent.

    Raises DataError when dataset.json cannot be read or lists a file that is missing.
    """
    from monai.data import load_decathlon_datalist

    folder = root / task.folder
    if not folder.exists():
        download(task.folder, root)
    try:
        records = load_decathlon_datalist(folder / "dataset.json", True, "training")
        files = {_stem(r["image"]): (Path(r["image"]), Path(r["label"])) for r in records}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder} is not a Decathlon folder ({error}); delete it to have it downloaded again, or copy it anew."
        ) from error
    if len(files) < len(records):
        raise DataError(f"{folder / 'dataset.json'} lists a case twice; use the data set's own file.")
    for path in (path for pair in files.values() for path in pair):
        if not path.is_file():
            raise DataError(f"{path} is listed in dataset.json but missing; copy it, or delete {folder} to download.")
    return files


def download(folder: str, root: Path) -> None:
    """Download and unpack a task with MONAI (which knows address and md5), or unpack a `<folder>.tar` found in `root`.

    Files are unpacked into a temporary folder that is renamed at the end, because MONAI takes any non-empty task folder
    for complete, even one that an interrupted run has left.
    """
    from monai.apps import DecathlonDataset, extractall

    temporary, tar = root / f"{folder}.part", f"{folder}.tar"
    address = DecathlonDataset.resource[folder]
    shutil.rmtree(temporary / folder, ignore_errors=True)
    try:
        temporary.mkdir(parents=True, exist_ok=True)
        if (root / tar).is_file():  # DecathlonDataset would contact the server nevertheless
            extractall(root / tar, temporary, DecathlonDataset.md5[folder], "md5")
        else:
            DecathlonDataset(temporary, folder, "training", download=True, val_frac=0.0, cache_num=0)
        (temporary / folder).rename(root / folder)
    except Exception as error:  # without network MONAI raises a bare Exception
        if temporary.is_dir() and not any(temporary.iterdir()):
            temporary.rmdir()
        raise DataError(
            f"{folder} is not in {root} and could not be downloaded or unpacked ({error}): fetch {address} on a "
            f"machine with network, unpack it, and set MEDSYNTH_DATA to the folder that holds {folder}/ (now {root})."
        ) from error
    shutil.rmtree(temporary, ignore_errors=True)


def _stem(path: str) -> str:
    return Path(path).name.removesuffix(".gz").removesuffix(".nii")


def _channel_order(task: Task, dataset_json: Path) -> list[int]:
    """For each channel of the SliceSet its index in the image file, from the names in dataset.json."""
    record = json.loads(dataset_json.read_text(encoding="utf-8")).get("modality", {})
    position = {str(name).lower(): int(k) for k, name in record.items()}
    missing = [name for name in task.modalities if name not in position]
    if missing:
        raise DataError(
            f"{dataset_json} lists modalities {sorted(position)} without {missing[0]!r}; use the data set's own file."
        )
    return [position[name] for name in task.modalities]


def _read(task: Task, order: list[int], pair: tuple[Path, Path]) -> pre.AxialVolume:
    """One case as axial slices with the task's channels and labels."""
    voxels, spacing = pre.read_nifti(pair[0])
    label, _ = pre.read_nifti(pair[1])
    image = voxels[None] if voxels.ndim == 3 else np.moveaxis(voxels, -1, 0)
    if image.shape[0] <= max(order) or label.ndim != 3:
        raise DataError(
            f"{pair[0]} has shape {voxels.shape} and its label {label.shape}; copy both again from the source."
        )
    image = image[order]
    label = pre.to_axial(pre.map_labels(label, task.label_map, pair[1]))
    foreground = (image != 0).any(axis=0) if task.skull_stripped else np.ones(image.shape[1:], dtype=bool)
    scaled = pre.to_axial(pre.scale_intensity(image, foreground, [f"{pair[0]} ({name})" for name in task.channels]))
    keep = np.flatnonzero(label.any(axis=(1, 2)))
    if task.skull_stripped:
        keep = pre.brain_slices(pre.to_axial(foreground))
    return pre.AxialVolume(scaled, label, keep, (spacing[1], spacing[0]))
