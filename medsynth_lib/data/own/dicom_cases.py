"""Cases that are DICOM: single images, films and series, with segmentations or other masks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np

from .. import preprocess as pre
from ..dicom import (
    Found,
    Header,
    Series,
    add_segmentations,
    as_nifti,
    find_dicom,
    is_dicom,
    read_header,
    read_segmentation,
    read_stack,
)
from ..grids import differences
from ..slices import DataError
from .cases import Case, Cases
from .folder_files import Part, find_masks, list_entries
from .image_files import AVERAGED, NIFTI, SUFFIXES, read_mask, suffix
from .mask_values import MOST_LABELS, Encoding, learn_encoding

KIND = "DICOM images and series"


def holds_dicom(folder: Path) -> bool:
    """Whether there is a DICOM file in `folder` or below it."""
    for entry in list_entries(folder):
        if entry.is_dir():
            if holds_dicom(entry):
                return True
        elif entry.is_file() and suffix(entry) not in SUFFIXES and is_dicom(entry):
            return True
    return False


def find_dicom_cases(parts: list[Part], notes: list[str], workers: int, *, masks: bool = True) -> Cases:
    """One case per image, film or series in the folders of images and below, named by its path with _ for /.

    Segmentations may lie in either folder: they name the series that they describe. Other masks are those in the folder
    of masks with the name of a case. Without `masks`, segmentations are only counted in `notes`.
    """
    series: dict[str, Series] = {}
    segmentations: dict[str, Path] = {}
    others: list[Path] = []  # files in the folders of masks that are not DICOM
    for part in parts:
        own, of_series = _find(part.images, notes, masks)
        series |= {part.prefix + name: one for name, one in own.items()}
        add_segmentations(segmentations, of_series)
        if part.labels is not None:
            found = _find_labels(part.labels, notes)
            add_segmentations(segmentations, found.segmentations)
            others += found.others
    headers = _without_captures({name: read_header(one.files) for name, one in series.items()}, notes)
    series = {name: series[name] for name in headers}
    if segmentations:
        _require_one_kind(segmentations, others)
        notes += ["files that are not DICOM, not read"] * len(others)
        of_series = _pair(series, segmentations, notes)
        names = _segment_names(of_series, headers)
        of_labels = {name: partial(_segmented, mask, names) for name, mask in of_series.items()}
        text = "DICOM segmentations: " + ", ".join(names)
    elif parts[0].labels is not None:
        files = {name: mask for part in parts for name, mask in _find_masks(series, part, notes).items()}
        encoding = learn_encoding(list(files.values()), workers)
        of_labels = {name: partial(_masked, files[name], encoding) for name in series}
        names, text = encoding.names, encoding.text
    else:
        of_labels, names, text = dict.fromkeys(series), (), "none"
    cases = {
        name: Case(one.files[0], partial(_read, one, of_labels[name]), _extent(headers[name]), one.patient)
        for name, one in series.items()
    }
    return Cases(cases, KIND, names, text)


def _find(images: Path, notes: list[str], masks: bool) -> tuple[dict[str, Series], dict[str, Path]]:
    """Name -> series, and hash of a series -> segmentation, in a folder that holds no other images."""
    found = find_dicom(images, notes, masks=masks)
    others = [file for file in found.others if suffix(file) in SUFFIXES]
    if others:
        raise DataError(f"{images} holds DICOM images and {others[0].name}; keep images of one kind in it.")
    notes += ["files that are not DICOM, not read"] * len(found.others)
    series = {one.name.replace("/", "_"): one for one in found.images}
    if not series:
        raise DataError(f"{images} holds DICOM files, but none of them is an image; put the images there.")
    if len(series) < len(found.images):
        raise DataError(f"{images} holds images whose paths differ in / and _ only; rename one of them.")
    return series, found.segmentations


def _find_labels(labels: Path, notes: list[str]) -> Found:
    """What lies in a folder of masks; DataError where its DICOM files are images, none of them a segmentation."""
    found = find_dicom(labels, notes)
    if found.images and not found.segmentations:
        raise DataError(
            f"{found.images[0].files[0]} is no DICOM segmentation; save masks as PNG, NIfTI or DICOM-SEG, and move "
            "images away."
        )
    notes += ["DICOM images in the folder of masks, not read"] * sum(len(one.files) for one in found.images)
    return found


def _require_one_kind(segmentations: dict[str, Path], others: list[Path]) -> None:
    """Raise DataError when there is a mask among the files that are not DICOM: which of both would be right?"""
    mask = next((file for file in others if suffix(file) in SUFFIXES), None)
    if mask is not None:
        raise DataError(
            f"{next(iter(segmentations.values()))} is a DICOM segmentation, {mask} a mask of another kind; keep the "
            "masks of one kind."
        )


def _without_captures(headers: dict[str, Header], notes: list[str]) -> dict[str, Header]:
    """Without the secondary captures of unknown pixel size that lie among volumes of known size.

    Scanners store such pages ("Dose Report") beside their series. As images, they would also cost all others their
    common scale in mm.
    """
    if not any(header.is_volume and header.spacing is not None for header in headers.values()):
        return headers
    left_out = {name for name, one in headers.items() if one.capture and not one.is_volume and one.spacing is None}
    notes += ["secondary captures without a pixel size beside volumes, not read"] * len(left_out)
    return {name: header for name, header in headers.items() if name not in left_out}


def _pair(series: dict[str, Series], segmentations: dict[str, Path], notes: list[str]) -> dict[str, Path]:
    """Name of a series -> its segmentation; DataError for a series without one."""
    pairs = {name: segmentations[one.series] for name, one in series.items() if one.series in segmentations}
    spare = set(segmentations.values()) - set(pairs.values())
    for name, one in series.items():
        if name not in pairs:
            others = "other images have" if pairs else f"{min(spare)} describes a series that is not there"
            raise DataError(f"{one.files[0]} has no segmentation, {others}; add it or move the image away.")
    notes += ["segmentations of a series that is not there, not read"] * len(spare)
    return pairs


def _find_masks(series: dict[str, Series], part: Part, notes: list[str]) -> dict[str, Path]:
    """Name of a series of `part` -> the picture or NIfTI file that is its mask."""
    inside = [name for name in series if ("/" in name) == bool(part.prefix)]
    bare = {name.removeprefix(part.prefix): series[name].files[0] for name in inside}
    return {part.prefix + name: mask for name, mask in find_masks(bare, part.labels, notes).items()}


def _segment_names(masks: dict[str, Path], headers: dict[str, Header]) -> tuple[str, ...]:
    """The names of the segments of all files, background first, the others in alphabetical order.

    Raises DataError for more than training can use.
    """
    of_file = {mask: read_segmentation(mask, headers[name])[1][1:] for name, mask in masks.items()}
    names = sorted({one for own in of_file.values() for one in own})
    if len(names) > MOST_LABELS:
        most = max(of_file, key=lambda mask: len(of_file[mask]))
        raise DataError(
            f"the segmentations hold {len(names)} segments of different names ({names[0]}, {names[1]}, ...), {most} "
            f"most of them, but at most {MOST_LABELS} can be used; merge segments, and give those of one kind one name."
        )
    return ("background", *names)


def _extent(header: Header) -> tuple[float, float] | None:
    """Width and height in mm of the axial plane of a volume, or of an image."""
    if header.spacing is None:
        return None
    if header.is_volume:
        volume = _place(header)
        width, height = np.array(volume.shape[:2]) * volume.header.get_zooms()[:2]
        return float(width), float(height)
    return header.size[2] * header.spacing[1], header.size[1] * header.spacing[0]


def _place(header: Header) -> nib.Nifti1Image:
    """A volume of zeros where the images of `header` lie, in RAS order."""
    return as_nifti(np.broadcast_to(np.uint8(0), header.size), header)


def _read(
    series: Series, labels_on: partial | None, notes: list[str]
) -> tuple[np.ndarray, tuple[float, float], np.ndarray | None]:
    """What `Case.read` gives: volumes are cut into axial slices, single images and films stay as they are stored."""
    image = read_stack(series.files)
    pixels, spacing = image.pixels, image.spacing or (1.0, 1.0)
    if image.is_volume:
        volume = as_nifti(pixels, image)
        width, height = volume.header.get_zooms()[:2]
        pixels, spacing = pre.to_axial(np.moveaxis(np.asanyarray(volume.dataobj), -1, 0)), (float(height), float(width))
    if pixels.shape[1] == 3:
        notes.append(AVERAGED)
        pixels = pixels.mean(axis=1, keepdims=True)
    return pixels, spacing, labels_on(image) if labels_on else None


def _segmented(mask: Path, names: tuple[str, ...], image: Header) -> np.ndarray:
    """The labels of a DICOM-SEG on the slices of its image, numbered as in `names`: uint8 [Z, H, W]."""
    labels, own = read_segmentation(mask, image)
    labels = np.array([names.index(one) for one in own], dtype=np.uint8)[labels]
    return pre.to_axial(np.asanyarray(as_nifti(labels, image).dataobj)) if image.is_volume else labels


def _masked(mask: Path, encoding: Encoding, image: Header) -> np.ndarray:
    """The labels of a NIfTI file on the slices of a volume, or of a picture on an image: uint8 [Z, H, W]."""
    if image.is_volume != (suffix(mask) in NIFTI):
        what = "a volume: save its mask as NIfTI or DICOM-SEG" if image.is_volume else "no volume: save it as a picture"
        raise DataError(f"{mask} does not fit its image {image.file}, which is {what}.")
    if image.is_volume:
        # In RAS order, since programs that convert a series store its rows and slices in another order than DICOM.
        if found := differences(nib.as_closest_canonical(pre.open_nifti(mask)), _place(image)):
            raise DataError(
                f"{mask} does not lie on the grid of {image.file}: its {' and its '.join(found)}; save it again on "
                "that grid."
            )
        return encoding.labels(read_mask(mask), mask)
    values = read_mask(mask)
    if values.shape != image.size:
        raise DataError(
            f"{mask} has shape {values.shape} but its image {image.size} (frames, rows, columns); export the mask "
            "again at the image's size."
        )
    return encoding.labels(values, mask)
