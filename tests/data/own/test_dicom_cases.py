"""DICOM in images/: the slices, labels and patients that were planted, or a sentence."""

import nibabel as nib
import numpy as np
import pytest
from dicom_files import AXIAL, CORONAL, SAGITTAL, SPACING, at, item, plane, write, write_segmentation, write_series
from PIL import Image

from medsynth_lib.data import dicom, preprocess
from medsynth_lib.data.own import folder
from medsynth_lib.data.own.dicom_cases import find_dicom_cases, holds_dicom
from medsynth_lib.data.own.folder_files import Part
from medsynth_lib.data.slices import DataError

SIZES = {"image_size": 8, "subjects": 0, "slices_per_subject": 0, "seed": 0}
ROWS, COLUMNS = np.mgrid[:6, :5]
UPPER = ROWS < 2


def found(path, notes=None):
    labels = path / "labels"
    return find_dicom_cases(
        [Part("", path / "images", labels if labels.is_dir() else None)], [] if notes is None else notes, 1
    )


@pytest.mark.parametrize("turn", [AXIAL, SAGITTAL, CORONAL])
def test_a_series_is_cut_into_the_axial_slices_of_its_volume(tmp_path, turn):
    files = write_series(tmp_path / "images/p1/s1", turn, PatientID="one")
    cases = found(tmp_path).found
    assert list(cases) == ["p1_s1"] and cases["p1_s1"].patient == dicom.read_header(files).patient
    pixels, spacing, labels = cases["p1_s1"].read([])
    voxels, size = dicom.read_series(files)
    assert np.array_equal(pixels[:, 0], preprocess.to_axial(voxels)) and labels is None
    assert spacing == pytest.approx((size[1], size[0]))
    assert cases["p1_s1"].extent == pytest.approx((voxels.shape[0] * size[0], voxels.shape[1] * size[1]))


def test_single_images_stay_as_stored_and_their_masks_are_pictures(tmp_path):
    stored = np.arange(30, dtype=np.uint16).reshape(6, 5)
    write(tmp_path / "images/a.dcm", stored, PatientID="one", PixelSpacing=[0.5, 0.25])
    write(tmp_path / "images/b", stored + 1, PatientID="two", PixelSpacing=[0.5, 0.25])
    (tmp_path / "labels").mkdir()
    for name in "ab":
        Image.fromarray(UPPER.astype(np.uint8) * 255).save(tmp_path / f"labels/{name}_mask.png")
    cases = found(tmp_path)
    assert cases.label_names == ("background", "foreground") and list(cases.found) == ["a", "b"]
    pixels, spacing, labels = cases.found["b"].read([])
    assert np.array_equal(pixels[0, 0], stored + 1) and spacing == (0.5, 0.25)
    assert np.array_equal(labels[0], UPPER) and cases.found["b"].extent == (5 * 0.25, 6 * 0.5)
    Image.fromarray(np.eye(4, dtype=np.uint8) * 255).save(tmp_path / "labels/b_mask.png")
    with pytest.raises(DataError, match=r"b_mask.png has shape \(1, 4, 4\) but its image \(1, 6, 5\)"):
        found(tmp_path).found["b"].read([])


@pytest.mark.parametrize("beside", ["images/p1/seg.dcm", "labels/any name.dcm"])
def test_segmentations_lie_on_their_slices_and_name_the_labels(tmp_path, beside):
    """Of two patients one has a rim only: the numbers follow the names of all files."""
    first = write_series(tmp_path / "images/p1/s1", PatientID="one", SeriesInstanceUID="1.2.1")
    second = write_series(tmp_path / "images/p2/s1", PatientID="two", SeriesInstanceUID="1.2.2")
    series = [dicom.read_header(files) for files in (first, second)]
    frames = [(1, UPPER, at(0)), (2, ~UPPER, at(2))]
    write_segmentation(tmp_path / beside, frames, ReferencedSeriesSequence=[of_series("1.2.1")])
    file = tmp_path / beside.replace("p1", "p2").replace("any", "other")
    write_segmentation(file, [(1, UPPER, at(1))], ("rim",), ReferencedSeriesSequence=[of_series("1.2.2")])
    cases = found(tmp_path)
    assert cases.label_names == ("background", "core", "rim") and len(cases.found) == 2
    for name, header, value in (("p1_s1", series[0], 1), ("p2_s1", series[1], 2)):
        labels = cases.found[name].read([])[2]
        own = np.zeros((4, 6, 5), np.uint8)
        own[0 if value == 1 else 1][UPPER] = value
        if value == 1:
            own[2][~UPPER] = 2
        assert np.array_equal(labels, preprocess.to_axial(np.asanyarray(dicom.as_nifti(own, header).dataobj)))
    file.unlink()
    with pytest.raises(DataError, match="has no segmentation, other images have"):
        found(tmp_path)


def of_series(uid):
    return item(SeriesInstanceUID=uid)


def test_nifti_masks_of_a_series_in_any_order_of_voxels(tmp_path):
    """A converter writes rows and slices in its own order; what counts is where the voxels lie."""
    files = write_series(tmp_path / "images/s", CORONAL)
    image = dicom.read_stack(files)
    volume = dicom.as_nifti((image.pixels > np.median(image.pixels)).astype(np.uint8)[:, 0], image)
    (tmp_path / "labels").mkdir()
    flipped = nib.Nifti1Image(np.asanyarray(volume.dataobj)[::-1, :, ::-1], volume.affine @ mirrored(volume.shape))
    nib.save(flipped, tmp_path / "labels/s.nii.gz")
    pixels, _, labels = found(tmp_path).found["s"].read([])
    assert np.array_equal(labels, pixels[:, 0] > np.median(image.pixels))
    shifted = flipped.affine + np.array([[0, 0, 0, 1.5]] + [[0] * 4] * 3)
    nib.save(nib.Nifti1Image(np.asanyarray(flipped.dataobj), shifted), tmp_path / "labels/s.nii.gz")
    with pytest.raises(DataError, match=r"s.nii.gz does not lie on the grid of .*: its origin is"):
        found(tmp_path).found["s"].read([])


def mirrored(shape):
    """The affine that numbers the voxels of a volume from the other end of the first and third axis."""
    turn = np.diag([-1.0, 1, -1, 1])
    turn[0, 3], turn[2, 3] = shape[0] - 1, shape[2] - 1
    return turn


def test_what_cannot_be_paired_is_refused(tmp_path):
    write_series(tmp_path / "images/s")
    (tmp_path / "labels").mkdir()
    Image.fromarray(UPPER.astype(np.uint8)).save(tmp_path / "labels/s.png")
    with pytest.raises(DataError, match="which is a volume: save its mask as NIfTI or DICOM-SEG"):
        found(tmp_path).found["s"].read([])
    Image.fromarray(plane()[0].astype(np.uint8)).save(tmp_path / "images/x.png")
    with pytest.raises(DataError, match="holds DICOM images and x.png; keep images of one kind"):
        found(tmp_path)


def test_colour_is_averaged_and_counted(tmp_path):
    colours = np.dstack([np.full((6, 5), v, np.uint8) for v in (10, 20, 60)])
    colours[0, 0] = 0
    write(tmp_path / "images/a.dcm", colours, "RGB")
    pixels, _, _ = found(tmp_path).found["a"].read(notes := [])
    assert pixels.shape == (1, 1, 6, 5) and pixels[0, 0, 1, 1] == pytest.approx(30) and len(notes) == 1


def test_a_folder_is_dicom_by_any_of_its_files(tmp_path):
    (tmp_path / "images/deep").mkdir(parents=True)
    Image.fromarray(UPPER).save(tmp_path / "images/a.png")
    assert not holds_dicom(tmp_path / "images")
    write(tmp_path / "images/deep/IM0001", np.zeros((4, 4), np.uint16))
    assert holds_dicom(tmp_path / "images")


def test_the_whole_way_by_patients(tmp_path):
    """Two series of one patient, one of another: PatientID is the subject, hashed, or what the table says."""
    for k, patient in enumerate(["one", "one", "two"]):
        write_series(tmp_path / f"images/{patient}/s{k}", PatientID=patient, SeriesInstanceUID=f"1.2.{k}")
    slices = folder.load(tmp_path, **SIZES)
    assert len(slices.unique_subjects()) == 2 and "one" not in slices.subjects
    assert slices.processing["subjects"] == "patients by PatientID, of which a hash is kept"
    assert slices.processing["files"].startswith("all 3 DICOM images and series")
    assert slices.spacing[0] == pytest.approx(max(6 * SPACING[0], 5 * SPACING[1]) / 8) and len(slices) == 12

    table = "file,subject\none/s0,p1\none/s1,p2\ntwo/s2,p3\n"
    (tmp_path / "subjects.csv").write_text(table)
    assert folder.load(tmp_path, **SIZES).unique_subjects() == ["p1", "p2", "p3"]


def test_a_given_test_part_with_masks(tmp_path):
    for k, part in enumerate(["", "", "test/"]):
        write(tmp_path / f"{part}images/{k}.dcm", plane(shift=(0, k, 0))[0], PatientID=f"patient {k}")
        (tmp_path / f"{part}labels").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.eye(6, 5, dtype=np.uint8) * (k + 1)).save(tmp_path / f"{part}labels/{k}.png")
    slices = folder.load(tmp_path, **SIZES)
    assert slices.label_names == ("background", "label 1", "label 2", "label 3")
    test = slices.subjects == slices.set_aside[0]
    assert len(slices.set_aside) == 1 and [set(np.unique(one)) for one in slices.labels[test]] == [{0, 3}]
    write(tmp_path / "test/images/2.dcm", plane()[0], PatientID="patient 0")
    with pytest.raises(DataError, match="who would be in the training and in the test part"):
        folder.load(tmp_path, **SIZES)


def test_without_patient_ids_every_case_is_a_subject(tmp_path):
    for k in range(2):
        write(tmp_path / f"images/{k}.dcm", plane(shift=(0, k, 0))[0] + np.eye(6, 5, dtype=np.uint16) * k, PatientID="")
    with pytest.warns(UserWarning, match="each file is its own subject"):
        assert folder.load(tmp_path, **SIZES).unique_subjects() == ["0", "1"]
    write(tmp_path / "images/2.dcm", plane()[0] + np.eye(6, 5, dtype=np.uint16) * 9, PatientID="x")
    assert "2 DICOM images without a PatientID" in folder.load(tmp_path, **SIZES).processing["files"]
