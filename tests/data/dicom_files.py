"""DICOM files for tests, written with pydicom: slices of a volume whose every voxel says where it lies."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, SegmentationStorage, generate_uid

AXIAL, SAGITTAL, CORONAL = (1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1)
SPACING, THICK = (0.5, 0.75), 3.0  # rows, columns; between slices
SERIES = "1.2.826.0.1.3680043.10.511.7"


def truth(ras):
    """The value planted at positions [..., 3] in mm: right, anterior, superior."""
    return 1000 + ras @ np.array([2.0, 4.0, 8.0])


def write(file: Path, stored: np.ndarray, photometric="MONOCHROME2", kind=CTImageStorage, **header) -> Path:
    """`stored` [H, W], [Z, H, W] or [H, W, 3] as an uncompressed DICOM file with further header fields."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = kind
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = header.pop("SOPInstanceUID", generate_uid())
    colour = photometric not in ("MONOCHROME1", "MONOCHROME2")
    shape = stored.shape[:-1] if colour else stored.shape
    bits = stored.dtype.itemsize * 8
    data.Rows, data.Columns = shape[-2:]
    if len(shape) == 3:
        data.NumberOfFrames = shape[0]
    data.PhotometricInterpretation, data.SamplesPerPixel = photometric, 3 if colour else 1
    if colour:
        data.PlanarConfiguration = 0
    data.BitsAllocated = bits
    if stored.dtype.kind == "f":
        data.FloatPixelData = stored.astype("<f4").tobytes()
    else:
        data.BitsStored = header.pop("BitsStored", bits)
        data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(stored.dtype.kind == "i")
        content = stored.tobytes()
        data.add_new("PixelData", "OB" if bits == 8 else "OW", content + b"\0" * (len(content) % 2))
    for name, value in {"PatientID": "p1", "SeriesInstanceUID": SERIES, **header}.items():
        if value is not None:
            setattr(data, name, value)
    file.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(file, enforce_file_format=True)
    return file


def plane(turn=AXIAL, level=0, shift=(0.0, 0.0, 0.0), size=(6, 5)):
    """Stored values uint16 [H, W] of one slice of the planted volume, and its position in DICOM's axes."""
    row, column = np.array(turn[:3], float), np.array(turn[3:], float)
    origin = np.array([-11.0, 7.0, 20.0]) + level * THICK * np.cross(row, column) + shift
    r, c = np.mgrid[: size[0], : size[1]]
    lps = origin + row * SPACING[1] * c[..., None] + column * SPACING[0] * r[..., None]
    return np.round(truth(lps * [-1, -1, 1]) * 10).astype(np.uint16), [round(float(v), 6) for v in origin]


def write_slice(file: Path, turn=AXIAL, level=0, shift=(0.0, 0.0, 0.0), size=(6, 5), **header) -> Path:
    """One slice of the planted volume, in tenths of its values."""
    stored, origin = plane(turn, level, shift, size)
    geometry = {
        "ImagePositionPatient": origin,
        "ImageOrientationPatient": list(turn),
        "PixelSpacing": list(SPACING),
        "RescaleSlope": 0.1,
        "RescaleIntercept": 0,
    }
    return write(file, stored, **{**geometry, **header})


def write_series(folder: Path, turn=AXIAL, levels=(2, 0, 3, 1), **header) -> list[Path]:
    """Slices whose file names are not in the order of their positions."""
    return [write_slice(folder / f"{k}.dcm", turn, level, **header) for k, level in enumerate(levels)]


def item(**fields) -> Dataset:
    data = Dataset()
    for name, value in fields.items():
        setattr(data, name, value)
    return data


def write_segmentation(file: Path, frames, names=("core", "rim"), turn=AXIAL, **header) -> Path:
    """A DICOM-SEG of `frames` (segment number, mask [H, W], fields of the frame: its position or its image)."""
    masks = np.stack([mask for _, mask, _ in frames]).astype(np.uint8)
    per_frame = [
        item(SegmentIdentificationSequence=[item(ReferencedSegmentNumber=number)], **fields)
        for number, _, fields in frames
    ]
    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=list(turn))],
        PixelMeasuresSequence=[item(PixelSpacing=list(SPACING))],
    )
    write(
        file,
        masks,
        kind=SegmentationStorage,
        **{
            "SeriesInstanceUID": generate_uid(),
            "Modality": "SEG",
            "SegmentationType": "BINARY",
            "SegmentSequence": [item(SegmentNumber=k, SegmentLabel=name) for k, name in enumerate(names, 1)],
            "ReferencedSeriesSequence": [item(SeriesInstanceUID=SERIES)],
            "SharedFunctionalGroupsSequence": [shared],
            "PerFrameFunctionalGroupsSequence": per_frame,
            **header,
        },
    )
    data = pydicom.dcmread(file)  # one bit per pixel, as the standard asks for
    data.BitsAllocated = data.BitsStored = 1
    data.HighBit = 0
    data.PixelData = pydicom.pixels.pack_bits(masks)
    data.save_as(file)
    return file


def at(level, turn=AXIAL, shift=(0.0, 0.0, 0.0)) -> dict:
    """The fields of a frame that lies on a slice of the planted volume."""
    return {"PlanePositionSequence": [item(ImagePositionPatient=plane(turn, level, shift)[1])]}
