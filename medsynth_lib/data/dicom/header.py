"""What is kept of a DICOM header: the geometry of its frames, and hashes in place of identifiers."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom import uid
from pydicom.errors import BytesLengthException, InvalidDicomError

from ..slices import DataError

ENDINGS = (".dcm", ".dicom", ".ima")
TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "PatientID", "Modality", "ImageType", "SeriesDescription"),
    *("Rows", "Columns", "NumberOfFrames", "PixelSpacing", "ImagerPixelSpacing"),
    *("ImagePositionPatient", "ImageOrientationPatient", "ReferencedSeriesSequence", "BurnedInAnnotation"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)
# Images made of a screen, a report or a scanned paper, and modalities that no scanner has
CAPTURES = (
    uid.SecondaryCaptureImageStorage,
    uid.MultiFrameSingleBitSecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
)
NO_SCANNER = ("SR", "DOC", "OT")
ERRORS = (
    *(OSError, EOFError, ValueError, TypeError, AttributeError, LookupError, RuntimeError, ArithmeticError),
    *(struct.error, zlib.error, InvalidDicomError, BytesLengthException),
)

# pydicom would quote invalid values, identifiers among them, in warnings that a notebook keeps.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE


@dataclass(frozen=True, eq=False)
class Header:
    """What is kept of the headers of one file, or of a series whose Z frames are sorted by their positions.

    file        the (first) file, for messages
    size        (Z, rows, columns)
    spacing     (row, column) pixel size in mm, None when unknown
    patient     hash of PatientID, None when the file has none
    series      hash of SeriesInstanceUID
    instances   Z hashes of SOPInstanceUID and frame number
    origins     centre of the first pixel of each frame in mm along DICOM's axes (left, posterior, superior):
                float64 [Z, 3]; None when unknown
    directions  unit vectors along a row and down a column, in the same axes: float64 [2, 3]; None when unknown
    capture     whether the header says that it is a secondary capture, or of a modality that no scanner has
    """

    file: Path
    size: tuple[int, int, int]
    spacing: tuple[float, float] | None
    patient: str | None
    series: str
    instances: tuple[str, ...]
    origins: np.ndarray | None
    directions: np.ndarray | None
    capture: bool

    @property
    def positions(self) -> np.ndarray | None:
        """Positions along the slice normal in mm: float64 [Z], None when unknown."""
        return None if self.origins is None else self.origins @ np.cross(*self.directions)

    @property
    def is_volume(self) -> bool:
        """Whether there are several frames with known positions."""
        return self.origins is not None and self.size[0] > 1


def is_dicom(file: Path) -> bool:
    """Whether the file's name ends as DICOM files do, or the file begins as they do; exports often have no ending."""
    if file.suffix.lower() in ENDINGS:
        return True
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}); copy it again from the source.") from error


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Whatever pydicom raises on a broken file, as one sentence."""
    try:
        yield
    except DataError:
        raise
    except ERRORS as error:
        raise DataError(f"{file} cannot be read as DICOM ({one_line(error)}); export it again.") from error


def one_line(error: Exception) -> str:
    """The text of an error without its line breaks and without a full stop at its end."""
    return " ".join(str(error).split()).rstrip(".")


def open_dicom(file: Path, *, pixels: bool) -> pydicom.Dataset:
    """The file's data; without `pixels` only what `header_of` and `find_dicom` ask for."""
    with reading(file):
        try:
            return pydicom.dcmread(file) if pixels else pydicom.dcmread(file, True, specific_tags=list(TAGS))
        except InvalidDicomError as error:
            raise DataError(
                f"{file} does not begin as a DICOM file (DICM after 128 bytes); export it again or leave it out."
            ) from error


def hashed(kind: str, value: object) -> str:
    """Twelve hexadecimal digits in place of an identifier. Whoever can guess the identifier can recompute them."""
    return hashlib.sha256(f"medsynth {kind} {value}".encode()).hexdigest()[:12]


def group_of(data: pydicom.Dataset, frame: int, name: str) -> pydicom.Dataset:
    """The functional group `name` of a frame: its own, else that of all frames, else the header of the file."""
    own = (data.get("PerFrameFunctionalGroupsSequence") or [])[frame : frame + 1]
    shared = (data.get("SharedFunctionalGroupsSequence") or [])[:1]
    for groups in (*own, *shared):
        if groups.get(name):
            return groups[name][0]
    return data


def header_of(data: pydicom.Dataset, file: Path) -> Header:
    """The header of one file, its frames as stored.

    Raises DataError when numbers are missing or not finite, and when frames differ in pixel size or orientation.
    """
    if not data.get("Rows") or not data.get("Columns"):
        raise DataError(f"{file} holds no image; leave it out.")
    count = int(data.get("NumberOfFrames") or 1)
    spacings, origins, turns = [], [], []
    for frame in range(count):
        spacing = _numbers(group_of(data, frame, "PixelMeasuresSequence"), "PixelSpacing", 2, file)
        if spacing is None or not spacing.any():  # some detectors write 0 for unknown
            spacing = _numbers(data, "ImagerPixelSpacing", 2, file)
        spacings.append(spacing)
        origins.append(_numbers(group_of(data, frame, "PlanePositionSequence"), "ImagePositionPatient", 3, file))
        turns.append(_numbers(group_of(data, frame, "PlaneOrientationSequence"), "ImageOrientationPatient", 6, file))
    spacing, turn = _same(spacings, "pixel sizes", file), _same(turns, "orientations", file)
    if spacing is not None and spacing.min() <= 0:
        raise DataError(f"{file} has pixel size {spacing.tolist()} mm; correct the header.")
    # Without a group per frame, the header of a file of many frames gives the position of the first one only.
    placed = count == 1 or bool(data.get("PerFrameFunctionalGroupsSequence"))
    known = placed and turn is not None and all(origin is not None for origin in origins)
    patient = str(data.get("PatientID") or "").strip()
    instance = data.get("SOPInstanceUID") or file
    return Header(
        file=file,
        size=(count, int(data.Rows), int(data.Columns)),
        spacing=None if spacing is None else tuple(spacing.tolist()),
        patient=hashed("patient", patient) if patient else None,
        series=hashed("series", data.get("SeriesInstanceUID") or file),
        instances=tuple(hashed("instance", f"{instance} {frame + 1}") for frame in range(count)),
        origins=np.stack(origins) if known else None,
        directions=_directions(turn, file) if known else None,
        capture=data.get("SOPClassUID") in CAPTURES or data.get("Modality") in NO_SCANNER,
    )


def _numbers(data: pydicom.Dataset, name: str, count: int, file: Path) -> np.ndarray | None:
    """`count` finite numbers under `name`: float64, None when it is absent or empty."""
    value = data.get(name)
    if value is None or value == "" or len(value) == 0:
        return None
    numbers = np.asarray(value, dtype=np.float64)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise DataError(f"{file} has {name} {numbers.tolist()}, expected {count} numbers; correct the header.")
    return numbers


def _same(values: Sequence[np.ndarray | None], topic: str, file: Path) -> np.ndarray | None:
    """The value that all frames share."""
    first = values[0]
    for value in values:
        if (value is None) != (first is None) or (first is not None and not np.allclose(value, first, atol=1e-3)):
            raise DataError(f"{file} has frames of different {topic}; export each kind to a file of its own.")
    return first


def _directions(turn: np.ndarray, file: Path) -> np.ndarray:
    """ImageOrientationPatient [6] as unit vectors [2, 3]; DataError unless they are of length 1 and at right angles."""
    vectors = turn.reshape(2, 3)
    if not np.allclose(vectors @ vectors.T, np.eye(2), atol=1e-2):
        raise DataError(f"{file} has ImageOrientationPatient {turn.tolist()}, not two directions; correct the header.")
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
