"""DICOM: images, series as volumes, and DICOM-SEG as labels. Of a header only geometry and hashes are kept.

`find_dicom` says what lies in a folder, `read_stack` and `read_series` read the files of one image or volume, and
`read_segmentation` reads the label map that belongs to it. Every fault of a file is a DataError that names it.
"""

from .find import Found, Series, find_dicom
from .header import Header, is_dicom
from .segmentation import read_segmentation
from .series import DicomImage, as_nifti, read_file, read_header, read_series, read_stack

__all__ = [
    "DicomImage",
    "Found",
    "Header",
    "Series",
    "as_nifti",
    "find_dicom",
    "is_dicom",
    "read_file",
    "read_header",
    "read_segmentation",
    "read_series",
    "read_stack",
]
