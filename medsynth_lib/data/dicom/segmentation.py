"""DICOM-SEG files as label maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import SegmentationStorage

from ..slices import DataError
from .header import Header, group_of, hashed, header_of, open_dicom, reading
from .pixels import decode

AWAY = 0.1  # of a pixel: by how much a frame may lie beside its image


def read_segmentation(file: Path, images: Header) -> tuple[np.ndarray, tuple[str, ...]]:
    """The label map on the frames of `images`, uint8 [Z, H, W], and the label names, background first.

    Segments become 1, 2, ... in the order of their own numbers; where there is none is background. Raises DataError
    when the file is no binary segmentation of this series on its grid of pixels, or when two segments overlap.
    """
    data = open_dicom(file, pixels=True)
    with reading(file):
        kind = data.get("SegmentationType") if is_segmentation(data) else "no segmentation"
        if kind != "BINARY":
            raise DataError(f"{file} is {kind}; export the labels as a DICOM segmentation of type BINARY.")
        if images.series not in described_series(data, file):
            raise DataError(f"{file} segments another series than that of {images.file}; put it beside its own images.")
        own = header_of(data, file)
        if own.size[1:] != images.size[1:]:
            raise DataError(
                f"{file} has {own.size[1:]} rows and columns, but {images.file} {images.size[1:]}; export it at the "
                "size of its images."
            )
        names = _segment_names(data, file)
        numbers = sorted(names)
        labels = np.zeros(images.size, np.uint8)
        for frame, mask in enumerate(decode(data, file).reshape(own.size) > 0):
            segment = int(group_of(data, frame, "SegmentIdentificationSequence").ReferencedSegmentNumber)
            label = numbers.index(segment) + 1
            level = labels[_find_image(data, file, frame, own, images)]
            taken = level[mask & (level > 0) & (level != label)]
            if taken.size:
                raise DataError(
                    f"{file}: the segments {names[numbers[taken[0] - 1]]!r} and {names[segment]!r} overlap, but a "
                    "label map holds one label per pixel; export them without overlap."
                )
            level[mask] = label
    return labels, ("background", *(names[number] for number in numbers))


def is_segmentation(data: pydicom.Dataset) -> bool:
    """Whether the file is a segmentation, of any type."""
    return data.get("SOPClassUID") == SegmentationStorage or data.get("Modality") == "SEG"


def described_series(data: pydicom.Dataset, file: Path) -> set[str]:
    """Hashes of the series that a segmentation describes; DataError when it names none."""
    series = {hashed("series", item.SeriesInstanceUID) for item in data.get("ReferencedSeriesSequence") or []}
    if not series:
        raise DataError(f"{file} does not name the series that it segments; export it again with its images at hand.")
    return series


def _segment_names(data: pydicom.Dataset, file: Path) -> dict[int, str]:
    """Segment number -> name; DataError unless the names differ, none is background, and a label map can hold them."""
    names = {
        int(s.SegmentNumber): str(s.get("SegmentLabel") or "").strip() or f"segment {s.SegmentNumber}"
        for s in data.SegmentSequence
    }
    if len(names) > 255:
        raise DataError(f"{file} has {len(names)} segments; a label map holds at most 255.")
    if len(set(names.values())) < len(names):
        raise DataError(f"{file} has segments of the same name ({', '.join(names.values())}); rename them.")
    if any(name.casefold() == "background" for name in names.values()):
        raise DataError(
            f"{file} has a segment called background, which is what lies in no segment; rename or remove that segment."
        )
    return names


def _find_image(data: pydicom.Dataset, file: Path, frame: int, own: Header, images: Header) -> int:
    """The frame of `images` that a frame of a segmentation lies on: by position, else by the image that it names."""
    if own.origins is not None and images.origins is not None and images.spacing is not None:
        turned = not np.allclose(own.directions, images.directions, atol=1e-3)
        if turned or not np.allclose(own.spacing or images.spacing, images.spacing, rtol=1e-3):
            raise DataError(
                f"{file} has another orientation or pixel size than {images.file}; export it on the grid of its images."
            )
        distances = np.linalg.norm(images.origins - own.origins[frame], axis=1)
        nearest = int(distances.argmin())
        if distances[nearest] > AWAY * min(images.spacing):
            raise DataError(
                f"frame {frame + 1} of {file} lies {distances[nearest]:.3g} mm from the nearest image of its series; "
                "add the missing images, or export it on the grid of its images."
            )
        return nearest
    for source in group_of(data, frame, "DerivationImageSequence").get("SourceImageSequence") or []:
        number = source.get("ReferencedFrameNumber") or 1
        instance = hashed("instance", f"{source.ReferencedSOPInstanceUID} {number}")
        if instance in images.instances:
            return images.instances.index(instance)
    raise DataError(f"frame {frame + 1} of {file} has no position and names no image of its series; export it again.")
