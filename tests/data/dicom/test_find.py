"""What lies in a folder, and what is said of the files that are not images."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import at, write, write_segmentation, write_series, write_slice

from medsynth_lib.data import dicom
from medsynth_lib.data.slices import DataError

FILES = Path(pydicom.__file__).parent / "data" / "test_files"
PIXELS = np.arange(30, dtype=np.uint8).reshape(6, 5)


def find(folder):
    notes = []
    found = dicom.find_dicom(folder, notes)
    return found, Counter(notes)


def test_series_in_folders_of_their_own_take_the_folders_names(tmp_path):
    for patient in ("p1", "p2"):
        write_series(tmp_path / patient / "ct", PatientID=patient, SeriesInstanceUID=f"1.2.{patient[1]}")
    found, notes = find(tmp_path)
    assert [(s.name, len(s.files)) for s in found.images] == [("p1/ct", 4), ("p2/ct", 4)] and not notes
    assert len({s.patient for s in found.images}) == 2 == len({s.series for s in found.images})
    assert [dicom.read_header(s.files).size for s in found.images] == [(4, 6, 5)] * 2


def test_series_in_one_folder_are_told_apart(tmp_path):
    for k in (1, 2):
        for file in write_series(tmp_path / "p1" / f"{k}", SeriesInstanceUID=f"1.2.{k}"):
            file.rename(tmp_path / "p1" / f"{k}-{file.name}")
    found, _ = find(tmp_path)
    assert [s.name for s in found.images] == [f"p1/{s.series}" for s in found.images]
    assert [sorted(f.name[0] for f in s.files) for s in found.images] == [["1"] * 4, ["2"] * 4]


def test_a_series_over_several_folders_and_in_the_folder_itself(tmp_path):
    files = write_series(tmp_path / "a")
    assert [s.name for s in find(tmp_path)[0].images] == ["a"]
    (tmp_path / "a" / "b").mkdir()
    files[0].rename(tmp_path / "a" / "b" / files[0].name)
    assert [(s.name, len(s.files)) for s in find(tmp_path)[0].images] == [("a", 4)]
    (series,) = find(tmp_path / "a")[0].images
    assert series.name == series.series, "the folder that is searched gives no name"


def test_files_without_positions_are_images_of_their_own_even_in_one_series(tmp_path):
    for name in ("frontal.dcm", "lateral", "IM.0001", "p2/frontal.DCM"):
        write(tmp_path / name, PIXELS, Modality="DX")
    found, _ = find(tmp_path)
    assert [s.name for s in found.images] == ["IM.0001", "frontal", "lateral", "p2/frontal"]
    assert all(len(s.files) == 1 for s in found.images)


def test_without_a_series_each_file_is_its_own(tmp_path):
    for k in range(2):
        write_slice(tmp_path / f"{k}.dcm", level=k, SeriesInstanceUID=None)
    assert [s.name for s in find(tmp_path)[0].images] == ["0", "1"]


def test_what_is_no_image_is_counted(tmp_path):
    write_series(tmp_path / "ct")
    counted = {
        "test-SR.dcm": "Comprehensive SR Storage",
        "reportsi.dcm": "Basic Text SR Storage",
        "rtplan.dcm": "RT Plan Storage",
        "rtdose.dcm": "RT Dose Storage",
        "rtdose_expb.dcm": "RT Dose Storage",
        "waveform_ecg.dcm": "12-lead ECG Waveform Storage",
        "dicomdirtests/DICOMDIR": "Media Storage Directory Storage",
    }
    for name in counted:
        shutil.copy(FILES / name, tmp_path / "ct")
    (tmp_path / "ct" / "readme.txt").write_text("text")
    for name in (".DS_Store", "Thumbs.db", ".hidden/a.dcm", "__MACOSX/a.dcm", "ct/@eaDir/0.dcm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found, notes = find(tmp_path)
    expected = Counter(f"DICOM files without an image ({kind}), not read" for kind in counted.values())
    assert notes == expected and found.others == [tmp_path / "ct" / "readme.txt"]
    assert [(s.name, len(s.files)) for s in found.images] == [("ct", 4)]


@pytest.mark.parametrize(
    "fields",
    [
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        *({"SeriesDescription": text} for text in ("AAHead_Scout", "3-plane localizer", "Localiser", "Topogram 0.6")),
    ],
)
def test_localisers_are_counted(tmp_path, fields):
    write_series(tmp_path / "ct", SeriesDescription="Scouting for gliomas", ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    for k in range(3):
        write_slice(tmp_path / "ct" / f"scout{k}", SeriesInstanceUID="1.2.9", **fields)
    found, notes = find(tmp_path)
    assert notes == {"DICOM localisers, not read": 3} and [s.name for s in found.images] == ["ct"]


def test_images_that_show_text_are_read_and_counted(tmp_path):
    for name, said in (("a", "YES"), ("b", "NO"), ("c", None)):
        write(tmp_path / name, PIXELS, BurnedInAnnotation=said)
    found, notes = find(tmp_path)
    assert notes == {"DICOM images with text burned into their pixels, as their headers say": 1}
    assert [s.name for s in found.images] == ["a", "b", "c"]


def test_segmentations_are_found_by_the_series_they_describe(tmp_path):
    write_series(tmp_path / "images" / "ct")
    mask = PIXELS > 9
    seg = write_segmentation(tmp_path / "labels" / "any name", [(1, mask, at(0))])
    (series,) = find(tmp_path / "images")[0].images
    found, notes = find(tmp_path / "labels")
    assert found.segmentations == {series.series: seg} and not found.images and not notes
    write_segmentation(seg, [(1, mask, at(0))], SOPClassUID="1.2.840.10008.5.1.4.1.1.66.7")  # of type LABELMAP
    assert find(tmp_path / "labels")[0].segmentations == {series.series: seg}
    again = write_segmentation(tmp_path / "labels" / "other", [(1, mask, at(1))])
    with pytest.raises(DataError, match=f"{seg} and {again} segment the same series"):
        find(tmp_path)
    write_segmentation(seg, [(1, mask, at(0))], ReferencedSeriesSequence=None)
    with pytest.raises(DataError, match="any name does not name the series"):
        find(tmp_path)


def test_without_masks_segmentations_are_only_counted(tmp_path):
    write_series(tmp_path / "ct")
    for name, fields in (("a", {}), ("b", {}), ("c", {"ReferencedSeriesSequence": None})):
        write_segmentation(tmp_path / name, [(1, PIXELS > 9, at(0))], **fields)
    found = dicom.find_dicom(tmp_path, notes := [], masks=False)
    assert notes == ["DICOM segmentations, not read"] * 3 and not found.segmentations and len(found.images) == 1


def test_segmentations_of_one_series_in_two_folders(tmp_path):
    files = [write_segmentation(tmp_path / name, [(1, PIXELS > 9, at(0))]) for name in ("a", "b")]
    known = {"series 1": files[0]}
    dicom.add_segmentations(known, {"series 1": files[0], "series 2": files[1]})
    assert known == {"series 1": files[0], "series 2": files[1]}
    (tmp_path / "link").symlink_to(files[0])
    dicom.add_segmentations(known, {"series 1": tmp_path / "link"})
    with pytest.raises(DataError, match=r"a and .*b segment the same series; keep one of them"):
        dicom.add_segmentations(known, {"series 1": files[1]})


def test_one_series_of_two_patients(tmp_path):
    write_slice(tmp_path / "a.dcm", PatientID="p1")
    for other in ("p2", None):
        write_slice(tmp_path / "b.dcm", level=1, PatientID=other)
        with pytest.raises(DataError, match=r"a.dcm and .*b.dcm are of one series but of different patients"):
            find(tmp_path)


@pytest.mark.parametrize("content", [b"", b"<html>"])
def test_a_dcm_file_that_is_none_stops(tmp_path, content):
    write_series(tmp_path / "ct")
    (tmp_path / "ct" / "bad.dcm").write_bytes(content)
    with pytest.raises(DataError, match="bad.dcm does not begin as a DICOM file"):
        find(tmp_path)


def test_links(tmp_path):
    write_series(tmp_path / "store")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "p1").symlink_to(tmp_path / "store")
    found, _ = find(tmp_path / "images")
    assert [(s.name, len(s.files)) for s in found.images] == [("p1", 4)]
    (tmp_path / "images" / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match="gone is a link to a file that is not there"):
        find(tmp_path / "images")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="nowhere cannot be listed"):
        find(tmp_path / "nowhere")


def test_pydicoms_own_disc(tmp_path):
    """Three patients with 31 images, of which one CT and one MR series have a localiser."""
    found, notes = find(FILES / "dicomdirtests")
    read = sum(len(s.files) for s in found.images)
    assert notes["DICOM files without an image (Media Storage Directory Storage), not read"] == 8
    assert notes["DICOM files without an image (CT Image Storage), not read"] == 50, "headers without pixels"
    assert read + notes["DICOM localisers, not read"] == 31
    assert len({s.patient for s in found.images}) == 2, "two of the three folders are of one PatientID"
