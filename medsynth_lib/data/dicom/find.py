"""Which DICOM images, segmentations and other files lie below a folder."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import UID, MediaStorageDirectoryStorage

from ..paths import SYSTEM_FILES
from ..slices import DataError
from .header import ENDINGS, Header, header_of, is_dicom, open_dicom, reading
from .segmentation import described_series, is_segmentation

NO_IMAGES = ("RTDOSE",)  # modalities with pixels that are no image of the patient
LOCALISER = re.compile(r"(?<![a-z])(scout|locali[sz]er|topogram|surview)s?(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Series:
    """Files that belong together: the slices of one volume, or one file without positions.

    name     path below the folder that was searched: that of the file without its ending, else of the folder that holds
             nothing but this series, else of the folder followed by the hash of the series
    files    in the order of their paths, which need not be that of their positions
    patient  see `Header`
    series   see `Header`
    """

    name: str
    files: tuple[Path, ...]
    patient: str | None
    series: str


@dataclass(frozen=True)
class Found:
    """What `find_dicom` found.

    images         the images, sorted by their paths
    segmentations  hash of a series -> the DICOM-SEG file that describes it
    others         files that are not DICOM
    """

    images: list[Series]
    segmentations: dict[str, Path]
    others: list[Path]


def find_dicom(folder: Path, notes: list[str], *, masks: bool = True) -> Found:
    """The DICOM files in `folder` and in all folders below it, grouped to series. Hidden files are skipped.

    Localisers and files without an image (reports, plans, contours, doses, presentation states, DICOMDIR) are left out,
    each with a text in `notes`, which also count the images whose headers say that they show text. Without `masks`,
    segmentations are only counted, too. Raises DataError naming files that cannot be read, that are of one series but
    of two patients, or that segment the same series.
    """
    groups: dict[str, list[Header]] = {}
    segmentations: dict[str, Path] = {}
    others = []
    for file in _walk(folder):
        if not is_dicom(file):
            others.append(file)
            continue
        data = open_dicom(file, pixels=False)
        with reading(file):
            kind = UID(data.file_meta.get("MediaStorageSOPClassUID") or data.get("SOPClassUID") or "")
            if is_segmentation(data) and masks:
                add_segmentations(segmentations, dict.fromkeys(described_series(data, file), file))
            elif is_segmentation(data):
                notes.append("DICOM segmentations, not read")
            elif kind == MediaStorageDirectoryStorage or "Rows" not in data or data.get("Modality") in NO_IMAGES:
                notes.append(f"DICOM files without an image ({kind.name or 'of unknown kind'}), not read")
            elif _is_localiser(data):
                notes.append("DICOM localisers, not read")
            else:
                if data.get("BurnedInAnnotation") == "YES":
                    notes.append("DICOM images with text burned into their pixels, as their headers say")
                header = header_of(data, file)
                groups.setdefault(header.series if header.origins is not None else str(file), []).append(header)
    files_below = Counter(parent for headers in groups.values() for header in headers for parent in header.file.parents)
    return Found([_series(folder, headers, files_below) for headers in groups.values()], segmentations, others)


def add_segmentations(known: dict[str, Path], more: dict[str, Path]) -> None:
    """Add `more` to `known`, both hash of a series -> DICOM-SEG file; DataError naming two files of one series."""
    for series, file in more.items():
        other = known.setdefault(series, file)
        if not other.samefile(file):
            raise DataError(f"{other} and {file} segment the same series; keep one of them.")


def _walk(folder: Path) -> Iterator[Path]:
    """All files below `folder` in the order of their paths."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be listed ({error.strerror}); check that you may read it.")

    for parent, below, files in os.walk(folder, onerror=refuse, followlinks=True):
        below[:] = sorted(name for name in below if not _is_hidden(name))
        for name in sorted(files):
            file = Path(parent, name)
            if _is_hidden(name):
                continue
            if not file.exists():
                raise DataError(f"{file} is a link to a file that is not there; fetch its content or remove the link.")
            yield file


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in SYSTEM_FILES


def _is_localiser(data: Dataset) -> bool:
    kinds = data.get("ImageType") or []
    return "LOCALIZER" in kinds or LOCALISER.search(str(data.get("SeriesDescription") or "")) is not None


def _series(folder: Path, headers: list[Header], files_below: Counter) -> Series:
    """The files of `headers` with their name; `files_below` counts all images below each folder."""
    first, files = headers[0], tuple(header.file for header in headers)
    for header in headers:
        if header.patient != first.patient:
            raise DataError(
                f"{first.file} and {header.file} are of one series but of different patients (PatientID); correct the "
                "one that is wrong."
            )
    parent = Path(os.path.commonpath([file.parent for file in files]))
    if len(files) == 1:
        name = first.file.with_suffix("") if first.file.suffix.lower() in ENDINGS else first.file
    elif files_below[parent] == len(files) and parent != folder:
        name = parent
    else:
        name = parent / first.series
    return Series(name.relative_to(folder).as_posix(), files, first.patient, first.series)
