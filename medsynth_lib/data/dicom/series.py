"""Reading DICOM images: one file as stored, or the files of a series as one volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from ..slices import DataError
from .header import Header, header_of, open_dicom, reading
from .pixels import pixels_of, without_padding

UNEVEN = 0.1  # of the usual step: by how much the step from one slice to the next may differ from it
SAME_PLACE = 0.01  # mm between two slices that count as one position
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # DICOM's axes point left, posterior, superior; NIfTI's right, anterior


@dataclass(frozen=True, eq=False)
class DicomImage(Header):
    """`Header` with its pixels: float32 [Z, C, H, W] as `pixels.pixels_of` describes them, without padding."""

    pixels: np.ndarray


def read_stack(files: Sequence[Path]) -> DicomImage:
    """The files of one series as one image, its frames sorted along the slice normal; see `read_header`.

    Raises DataError, too, when a file cannot be read and when grey and colour are mixed.
    """
    headers, pixels, padding = zip(*map(_read, files), strict=True)
    header, order = _join(headers)
    for file, own in zip(files, pixels, strict=True):
        if own.shape[1] != pixels[0].shape[1]:
            raise DataError(f"of {files[0]} and {file} one is grey, one in colour; keep the files of one kind.")
    stacked, padded = (np.stack([frames[i][k] for i, k in order]) for frames in (pixels, padding))
    return DicomImage(**vars(header), pixels=without_padding(stacked, padded))


def _read(file: Path) -> tuple[Header, np.ndarray, np.ndarray]:
    """The header of one file, and its pixels and padding as `pixels_of` gives them."""
    data = open_dicom(file, pixels=True)
    with reading(file):
        return header_of(data, file), *pixels_of(data, file)


def read_header(files: Sequence[Path]) -> Header:
    """The common header of the files of one series; a single file without positions stays as stored.

    Raises DataError naming two files that are not of one series, patient, size, pixel size or orientation, that lie at
    one position, or between which slices are missing.
    """
    headers = []
    for file in files:
        data = open_dicom(file, pixels=False)
        with reading(file):
            headers.append(header_of(data, file))
    return _join(headers)[0]


def as_nifti(frames: np.ndarray, header: Header) -> nib.Nifti1Image:
    """Frames [Z, H, W] or [Z, C, H, W] of `header` as a volume [X, Y, Z] or [X, Y, Z, C] in RAS order.

    Raises DataError when the header is that of no volume: one frame, or without positions or a pixel size.
    """
    if not header.is_volume or header.spacing is None:
        lacks = "several frames" if header.size[0] == 1 else "a pixel size" if header.is_volume else "positions"
        raise DataError(f"{header.file} is no volume, it lacks {lacks}; read it as a single image or leave it out.")
    affine = np.eye(4)
    affine[:3, 0] = header.directions[0] * header.spacing[1]  # to the next column
    affine[:3, 1] = header.directions[1] * header.spacing[0]  # to the next row
    affine[:3, 2] = (header.origins[-1] - header.origins[0]) / (len(header.origins) - 1)
    affine[:3, 3] = header.origins[0]
    voxels = frames.transpose((2, 1, 0) if frames.ndim == 3 else (3, 2, 0, 1))
    return nib.as_closest_canonical(nib.Nifti1Image(voxels, TO_RAS @ affine))


def _join(headers: Sequence[Header]) -> tuple[Header, list[tuple[int, int]]]:
    """One header of all files, and the (file, frame) of each of its frames."""
    first = headers[0]
    order = [(i, k) for i, header in enumerate(headers) for k in range(header.size[0])]
    if len(headers) == 1 and not first.is_volume:
        return first, order
    for header in headers:
        _check_alike(first, header)
    origins = np.concatenate([header.origins for header in headers])
    along = np.concatenate([header.positions for header in headers])
    turn = np.argsort(along, kind="stable")
    order, origins = [order[t] for t in turn], origins[turn]
    _check_steps(origins, along[turn], [(headers[i].file, k) for i, k in order])
    joined = Header(
        file=first.file,
        size=(len(order), *first.size[1:]),
        spacing=first.spacing,
        patient=first.patient,
        series=first.series,
        instances=tuple(headers[i].instances[k] for i, k in order),
        origins=origins,
        directions=first.directions,
        capture=first.capture,
    )
    return joined, order


def _check_alike(first: Header, other: Header) -> None:
    """Raise DataError unless both are slices of one volume."""
    for header in (first, other):
        if header.origins is None:
            raise DataError(
                f"{header.file} has no position or orientation, so it is no slice of a volume; move it away."
            )
    same = {
        "series (SeriesInstanceUID)": first.series == other.series,
        "patient (PatientID)": first.patient == other.patient,
        "size": first.size[1:] == other.size[1:],
        "pixel size": np.allclose(first.spacing or 0, other.spacing or 0, rtol=1e-3),
        "orientation": np.allclose(first.directions, other.directions, atol=1e-3),
    }
    for topic, agrees in same.items():
        if not agrees:
            raise DataError(f"{first.file} and {other.file} differ in {topic}; keep the files of one volume together.")


def _check_steps(origins: np.ndarray, along: np.ndarray, frames: list[tuple[Path, int]]) -> None:
    """Raise DataError unless the frames, with origins [Z, 3] and positions [Z], follow each other in equal steps."""

    def neighbours(k: int) -> str:
        (file, own), (other, next_one) = frames[k : k + 2]
        return f"frames {own + 1} and {next_one + 1} of {file}" if file == other else f"{file} and {other}"

    gaps = np.diff(along)
    if (gaps < SAME_PLACE).any():
        raise DataError(
            f"{neighbours(int(gaps.argmin()))} lie at the same position (a copy, or several times, echoes or "
            "weightings in one series); keep one of them, or export each volume as a series of its own."
        )
    steps = np.diff(origins, axis=0)
    if len(steps) == 0:
        return
    usual = np.median(steps, axis=0)
    deviation = np.linalg.norm(steps - usual, axis=1)
    worst = int(deviation.argmax())
    if deviation[worst] > UNEVEN * np.linalg.norm(usual):
        raise DataError(
            f"between {neighbours(worst)} the position changes by {_mm(steps[worst])}, elsewhere by {_mm(usual)}; add "
            "the missing slices or leave this series out."
        )


def _mm(step: np.ndarray) -> str:
    return f"({', '.join(f'{value:g}' for value in np.round(step, 2) + 0.0)}) mm"
