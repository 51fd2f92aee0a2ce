"""BraTS 2020, 2021 and 2023 folders of NIfTI files, as unpacked by the user."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from . import preprocess as pre
from .slices import DataError, SliceSet

CHANNELS = ("T1", "T1ce", "T2", "FLAIR")
LABEL_NAMES = ("background", "necrotic core", "oedema", "enhancing tumour")
LABEL_MAP = {0: 0, 1: 1, 2: 2, 3: 3, 4: 3}  # enhancing tumour is 4 until 2021 and 3 from 2023 on

# Ending of the file name -> channel, for both namings. One file of BraTS 2020 (case 355) ends in "_Segm".
KINDS = {"t1": "T1", "t1ce": "T1ce", "t2": "T2", "flair": "FLAIR", "seg": "seg", "segm": "seg"}
KINDS |= {"t1n": "T1", "t1c": "T1ce", "t2w": "T2", "t2f": "FLAIR"}
FILE_NAME = re.compile(rf"(?P<case>[^.].*?)[_-](?P<kind>{'|'.join(KINDS)})\.nii(\.gz)?", re.IGNORECASE)
TIME_POINT = re.compile(r"(BraTS-[A-Za-z]+-\d+)-\d+", re.IGNORECASE)


def load(
    path: Path,
    *,
    image_size: int,
    subjects: int,
    slices_per_subject: int,
    seed: int,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> SliceSet:
    """The slices of a BraTS folder; a subject is a patient, with all time points. Arguments as in `registry.load`."""
    cases = find_cases(path)
    chosen = set(pre.choose_subjects([patient(name) for name, _ in cases], subjects, seed))
    stacked = pre.stack_cases(
        [(patient(name), files) for name, files in cases if patient(name) in chosen],
        partial(_read, {}),
        image_size=image_size,
        field=pre.field_of_view([files["seg"] for _, files in cases]),
        slices_per_subject=slices_per_subject,
        workers=workers,
        progress=progress,
    )
    return SliceSet(
        **stacked,
        channels=CHANNELS,
        label_names=LABEL_NAMES,
        source="BraTS (user's copy): Menze et al., IEEE TMI 34 (2015); Bakas et al., Scientific Data 4 (2017)",
        licence="terms of the BraTS challenge that the user has agreed to; not for redistribution",
        intended_use="research on glioma MR under the BraTS terms; not for diagnosis or treatment",
        processing={
            "intensity": pre.INTENSITY_BRAIN,
            "slices": pre.SLICES_BRAIN,
            "orientation": pre.ORIENTATION,
            "geometry": pre.GEOMETRY,
            "subjects": "one patient is one subject; time points of a patient (BraTS-GLI-<patient>-<time>) are joined "
            "and their slice positions numbered consecutively",
            "labels": "1 necrotic core and non-enhancing, 2 oedema, 3 enhancing tumour (4 is read as 3)",
        },
    )


def patient(case: str) -> str:
    """Patient identifier of a case name: the name without the time point (BraTS 2023), or the whole name."""
    match = TIME_POINT.fullmatch(case)
    return match[1] if match else case


def find_cases(path: Path) -> list[tuple[str, dict[str, Path]]]:
    """(case name, {channel or "seg": file}) for every case up to three folders below `path`, sorted.

    Raises DataError when there is no case, or when a case lacks a file.
    """
    found: dict[tuple[Path, str], dict[str, Path]] = {}
    for depth in range(4):
        # One glob per folder depth: unlike rglob it follows symbolic links to folders.
        for file in sorted(Path(path).glob("*/" * depth + "*.[nN][iI][iI]*")):
            match = FILE_NAME.fullmatch(file.name)
            if match and file.is_file():
                kind = match["kind"].lower()
                case = file.parent.name if kind == "segm" else match["case"]
                found.setdefault((file.parent, case), {}).setdefault(KINDS[kind], file)
    if not found:
        raise DataError(
            f"{path} holds no BraTS files up to three folders below (such as BraTS20_Training_001_t1.nii.gz or "
            "BraTS-GLI-00000-000-t1n.nii.gz); correct the path, or use folder:PATH for your own images."
        )
    for (folder, case), files in sorted(found.items()):
        missing = [name for name in (*CHANNELS, "seg") if name not in files]
        if missing:
            raise DataError(
                f"{folder} has no {missing[0]} file for case {case}; add it, or move the case away "
                "(validation cases carry no seg and cannot be used)."
            )
    return [(case, files) for (_, case), files in sorted(found.items())]


def _read(enhancing: dict[int, Path], files: dict[str, Path]) -> pre.AxialVolume:
    """One case as axial slices. `enhancing` {label 3 or 4: a file that holds it} is updated over all cases."""
    volumes = {}
    for name in (*CHANNELS, "seg"):
        volumes[name], spacing = pre.read_nifti(files[name])
        if volumes[name].shape != volumes["T1"].shape or volumes[name].ndim != 3:
            raise DataError(
                f"{files[name]} has shape {volumes[name].shape}, but T1 of this case {volumes['T1'].shape}; "
                "all five files of a case must lie on one grid: copy them again."
            )
    label = pre.map_labels(volumes["seg"], LABEL_MAP, files["seg"])
    for value in (3, 4):
        if (volumes["seg"] == value).any():
            enhancing.setdefault(value, files["seg"])
    if len(enhancing) == 2:
        raise DataError(
            f"{enhancing[4]} has label 4 and {enhancing[3]} label 3, so 4 cannot mean enhancing tumour in both "
            "(BraTS 2024 gives 4 to the resection cavity); load one year's data at a time, without label 4 of 2024."
        )
    image = np.stack([volumes[name] for name in CHANNELS])
    foreground = (image != 0).any(axis=0)
    scaled = pre.scale_intensity(image, foreground, [str(files[name]) for name in CHANNELS])
    keep = pre.brain_slices(pre.to_axial(foreground))
    return pre.AxialVolume(pre.to_axial(scaled), pre.to_axial(label), keep, (spacing[1], spacing[0]))
