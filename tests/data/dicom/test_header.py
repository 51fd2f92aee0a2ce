"""What is kept of a header, and headers that say nothing or too much."""

import hashlib
import re
import warnings

import numpy as np
import pytest
from dicom_files import AXIAL, CORONAL, SAGITTAL, SERIES, item, write, write_slice
from pydicom.uid import (
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    VLPhotographicImageStorage,
)

from medsynth_lib.data import dicom
from medsynth_lib.data.slices import DataError

PIXELS = np.arange(30, dtype=np.uint16).reshape(6, 5)


def test_by_ending_or_by_beginning(tmp_path):
    for name in ("a.dcm", "a.DCM", "b.dicom", "c.IMA"):
        (tmp_path / name).write_bytes(b"anything")
        assert dicom.is_dicom(tmp_path / name)
    assert dicom.is_dicom(write(tmp_path / "IM0001", PIXELS))
    assert dicom.is_dicom(write(tmp_path / "1.2.840.1", PIXELS))
    for content in (b"", b"\x89PNG", b"DICM" + b"\0" * 200, b"\0" * 127 + b"DICM"):
        (tmp_path / "other").write_bytes(content)
        assert not dicom.is_dicom(tmp_path / "other")
    with pytest.raises(DataError, match="gone cannot be read"):
        dicom.is_dicom(tmp_path / "gone")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\0" * 500])
def test_a_file_that_only_has_the_name(tmp_path, content):
    (tmp_path / "a.dcm").write_bytes(content)
    with pytest.raises(DataError, match="a.dcm does not begin as a DICOM file"):
        dicom.read_stack([tmp_path / "a.dcm"])


def test_cut_off_anywhere_it_is_refused_by_name(tmp_path):
    whole = write_slice(tmp_path / "whole.dcm").read_bytes()
    file = tmp_path / "a.dcm"
    for length in range(0, len(whole) - 1, 7):
        file.write_bytes(whole[:length])
        with pytest.raises(DataError, match="a.dcm"):
            dicom.read_stack([file])


def test_of_the_identifiers_only_hashes_are_kept(tmp_path):
    secrets = {"PatientID": "12345678", "PatientName": "Doe^Jane", "StudyDate": "20200131", "AccessionNumber": "A77"}
    header = dicom.read_header([write_slice(tmp_path / "a", InstitutionName="St. Elsewhere", **secrets)])
    kept = {name: value for name, value in vars(header).items() if name != "file"}
    for secret in (*secrets.values(), "Elsewhere", SERIES):
        assert secret not in repr(kept)
    assert header.patient == hashlib.sha256(b"medsynth patient 12345678").hexdigest()[:12]
    for identifier in (header.patient, header.series, *header.instances):
        assert re.fullmatch("[0-9a-f]{12}", identifier)
    same = dicom.read_header([write_slice(tmp_path / "b", PatientID=" 12345678 ")])
    other = dicom.read_header([write_slice(tmp_path / "c", PatientID="12345679")])
    assert same.patient == header.patient != other.patient and other.series == header.series
    assert same.instances != header.instances


@pytest.mark.parametrize("number", [None, "", "  "])
def test_without_a_patient(tmp_path, number):
    assert dicom.read_stack([write_slice(tmp_path / "a", PatientID=number)]).patient is None


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, on writing such a file
def test_no_warning_quotes_an_invalid_identifier(tmp_path):
    file = write_slice(tmp_path / "a.dcm", SeriesInstanceUID="1.2.Doe-Jane", PatientID="Doe-Jane" * 20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dicom.read_stack([file]).patient and dicom.read_header([file]).series


@pytest.mark.parametrize(
    ("fields", "spacing"),
    [
        ({"PixelSpacing": [0.5, 0.75]}, (0.5, 0.75)),
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1)),
        ({"PixelSpacing": [0.5, 0.75], "ImagerPixelSpacing": [0.2, 0.1]}, (0.5, 0.75)),
        ({"PixelSpacing": None, "ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1)),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1)),
        ({"PixelSpacing": [0, 0]}, None),
        ({"PixelSpacing": ""}, None),
        ({}, None),
    ],
)
def test_pixel_size(tmp_path, fields, spacing):
    file = write(tmp_path / "a.dcm", PIXELS, **fields)
    assert dicom.read_stack([file]).spacing == spacing == dicom.read_header([file]).spacing


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"PixelSpacing": [0, 0.5]}, "has pixel size"),
        ({"PixelSpacing": [-0.5, 0.5]}, "has pixel size"),
        ({"PixelSpacing": [0.5, 0.5, 0.5]}, "expected 2 numbers"),
        ({"ImagePositionPatient": [1, 2]}, "expected 3 numbers"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "not two directions"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "not two directions"),
    ],
)
def test_impossible_geometry(tmp_path, fields, reason):
    file = write_slice(tmp_path / "a.dcm", **fields)
    for read in (dicom.read_stack, dicom.read_header):
        with pytest.raises(DataError, match=f"a.dcm has .*{reason}|a.dcm {reason}"):
            read([file])


@pytest.mark.parametrize(
    ("fields", "capture"),
    [
        ({"kind": SecondaryCaptureImageStorage, "Modality": "CT"}, True),
        ({"kind": MultiFrameTrueColorSecondaryCaptureImageStorage}, True),
        ({"Modality": "OT"}, True),
        ({"Modality": "CT"}, False),
        ({"kind": VLPhotographicImageStorage, "Modality": "XC"}, False),  # its UID begins as that of captures does
        ({"Modality": None}, False),
    ],
)
def test_secondary_captures_are_known_by_their_kind_or_modality(tmp_path, fields, capture):
    assert dicom.read_header([write(tmp_path / "a.dcm", PIXELS, **fields)]).capture is capture


@pytest.mark.parametrize(
    ("turn", "position"), [(AXIAL, 20), (SAGITTAL, 11), (CORONAL, 7), ((0.8, 0.6, 0, -0.6, 0.8, 0), 20)]
)
def test_position_along_the_normal(tmp_path, turn, position):
    image = dicom.read_stack([write_slice(tmp_path / "a.dcm", turn)])
    assert np.allclose(image.positions, [position]) and np.allclose(image.directions.ravel(), turn)
    assert not image.is_volume


def test_many_frames_with_the_position_of_the_first_only(tmp_path):
    frames = np.stack([PIXELS, PIXELS + 1])
    file = write(
        tmp_path / "a.dcm", frames, ImagePositionPatient=[0, 0, 0], ImageOrientationPatient=list(AXIAL), Rows=6
    )
    image = dicom.read_stack([file])
    assert image.size == (2, 6, 5) and image.positions is None and len(set(image.instances)) == 2


def test_frames_of_two_orientations(tmp_path):
    groups = [item(PlaneOrientationSequence=[item(ImageOrientationPatient=list(t))]) for t in (AXIAL, CORONAL)]
    file = write(tmp_path / "a.dcm", np.stack([PIXELS] * 2), PerFrameFunctionalGroupsSequence=groups)
    with pytest.raises(DataError, match="a.dcm has frames of different orientations"):
        dicom.read_stack([file])
