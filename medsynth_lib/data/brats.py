"""BraTS folders of NIfTI files from 2017 on, as unpacked by the user."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from . import preprocess as pre
from .grids import check_grid, field_of_view
from .slices import DataError, SliceSet

CHANNELS = ("T1", "T1ce", "T2", "FLAIR")
LABEL_NAMES = ("background", "necrotic core", "oedema", "enhancing tumour")
CAVITY = "resection cavity"

# Value in the file -> value here. A label number means what it meant in the year of the challenge, which the case's
# name shows; the numbers in a file do not, because few cases hold all of them.
UNTIL_2022 = {0: 0, 1: 1, 2: 2, 4: 3}
FROM_2023 = {0: 0, 1: 1, 2: 2, 3: 3}
AFTER_TREATMENT = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4}
NUMBERS = {
    r"(BraTS|FeTS)(20)?(17|18|19|20|21|22)_.+": UNTIL_2022,
    r"BraTS-GLI-\d+-[1-9]\d\d": AFTER_TREATMENT,  # time points count from 100 after treatment, from 000 before it
    r"BraTS-(GLI|SSA|MEN|MET|GoAT)-\d+(-0\d\d)?": FROM_2023,
}

# Ending of the file name -> channel, for both namings. One file of BraTS 2020 (case 355) ends in "_Segm".
KINDS = {"t1": "T1", "t1ce": "T1ce", "t2": "T2", "flair": "FLAIR", "seg": "seg", "segm": "seg"}
KINDS |= {"t1n": "T1", "t1c": "T1ce", "t2w": "T2", "t2f": "FLAIR"}
FILE_NAME = re.compile(rf"(?P<case>.+?)[_-](?P<kind>{'|'.join(KINDS)})\.nii(\.gz)?", re.IGNORECASE)
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
    notes: list[str] = []
    cases = find_cases(path, notes)
    numbers = {name: label_numbers(name, files["seg"]) for name, files in cases}
    chosen = set(pre.choose_subjects([patient(name) for name, _ in cases], subjects, seed))
    used = [(name, files) for name, files in cases if patient(name) in chosen]
    choice = pre.choice(len(used), len(cases), "cases", seed)
    for _, files in used:
        check_grid(*(files[kind] for kind in (*CHANNELS, "seg")))
    stacked = pre.stack_cases(
        [(patient(name), (numbers[name], files)) for name, files in used],
        _read,
        image_size=image_size,
        field=field_of_view([files["seg"] for _, files in cases]),
        slices_per_subject=slices_per_subject,
        workers=workers,
        progress=progress,
    )
    cavity = AFTER_TREATMENT in numbers.values()
    return SliceSet(
        **stacked,
        channels=CHANNELS,
        label_names=(*LABEL_NAMES, CAVITY) if cavity else LABEL_NAMES,
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
            "labels": "1 necrotic core and non-enhancing, 2 oedema, 3 enhancing tumour (4 in the files until 2022)"
            + (f", 4 {CAVITY} (in cases after treatment)" if cavity else ""),
            "files": "; ".join([choice, *notes]),
        },
    )


def patient(case: str) -> str:
    """Patient identifier of a case name: the name without the time point (BraTS 2023), or the whole name."""
    match = TIME_POINT.fullmatch(case)
    return match[1] if match else case


def label_numbers(case: str, file: Path) -> dict[int, int]:
    """Value in the mask `file` -> value here, by the name of its case; DataError when the name does not show it."""
    for pattern, numbers in NUMBERS.items():
        if re.fullmatch(pattern, case, re.IGNORECASE):
            return numbers
    if re.match("BraTS-PED", case, re.IGNORECASE):
        raise DataError(
            f"{file} is a paediatric case, whose label numbers changed their meaning in 2024 while the names stayed: "
            "paediatric cases cannot be read; move them away."
        )
    raise DataError(
        f"{file}: the name {case} does not show the year of BraTS, and label numbers changed over the years; restore "
        "the names of the download, such as BraTS20_Training_001, BraTS2021_00000 or BraTS-GLI-00000-000."
    )


def find_cases(path: Path, notes: list[str]) -> list[tuple[str, dict[str, Path]]]:
    """(case name, {channel or "seg": file}) for every case up to three folders below `path`, sorted.

    Appends a text to `notes` about NIfTI files with other names. Raises DataError when there is no case, when a case
    lacks a file or has two of a kind, and for a link whose content is missing.
    """
    found: dict[tuple[Path, str], dict[str, Path]] = {}
    others: list[str] = []
    for depth in range(4):
        # One glob per folder depth: unlike rglob it follows symbolic links to folders.
        for file in sorted(Path(path).glob("*/" * depth + "*")):
            if any(part.startswith(".") for part in file.relative_to(path).parts):
                continue
            if file.is_symlink() and not file.exists():
                raise DataError(
                    f"{file} is a link to {file.readlink()}, which is not there; fetch its content (datalad get) or "
                    "remove the link."
                )
            match = FILE_NAME.fullmatch(file.name)
            if match and file.is_file():
                kind = match["kind"].lower()
                case = file.parent.name if kind == "segm" else match["case"]
                earlier = found.setdefault((file.parent, case), {}).setdefault(KINDS[kind], file)
                if earlier != file:
                    raise DataError(f"{file} and {earlier.name} are both the {KINDS[kind]} of {case}; remove one.")
            elif ".nii" in file.name.lower() and file.is_file():
                others.append(file.name)
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
    if others:
        notes.append(f"{len(others)} NIfTI files with other names, not read, such as {others[0]}")
    return [(case, files) for (_, case), files in sorted(found.items())]


def _read(case: tuple[dict[int, int], dict[str, Path]]) -> pre.AxialVolume:
    """One case, given by its label numbers and files, as axial slices."""
    numbers, files = case
    volumes = {}
    for name in (*CHANNELS, "seg"):
        volumes[name], spacing = pre.read_nifti(files[name])
        if volumes[name].ndim != 3:
            raise DataError(f"{files[name]} has shape {volumes[name].shape}, expected one volume; copy it again.")
    label = pre.map_labels(volumes["seg"], numbers, files["seg"])
    image = np.stack([volumes[name] for name in CHANNELS])
    foreground = (image != 0).any(axis=0)
    scaled = pre.scale_intensity(image, foreground, [str(files[name]) for name in CHANNELS])
    keep = pre.brain_slices(pre.to_axial(foreground))
    return pre.AxialVolume(pre.to_axial(scaled), pre.to_axial(label), keep, (spacing[1], spacing[0]))
