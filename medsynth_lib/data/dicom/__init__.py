"""DICOM: images, series as volumes, and DICOM-SEG as labels. Of a header only geometry and hashes are kept.

`find_dicom` says what lies in a folder, `read_stack` reads the files of one image or volume, and `read_segmentation`
reads the label map that belongs to it. Every fault of a file is a DataError that names it.
"""

from .find import Found, Series, add_segmentations, find_dicom
from .header import Header, is_dicom
from .segmentation import read_segmentation
from .series import DicomImage, as_nifti, read_header, read_stack

__all__ = [
    "DicomImage",
    "Found",
    "Header",
    "Series",
    "add_segmentations",
    "as_nifti",
    "find_dicom",
    "is_dicom",
    "read_header",
    "read_segmentation",
    "read_stack",
]
