"""DICOM in images/: the slices, labels and patients that were planted, or a sentence."""

import nibabel as nib
import numpy as np
import pytest
from dicom_files import AXIAL, CORONAL, SAGITTAL, SPACING, at, item, plane, write, write_segmentation, write_series
from PIL import Image
from pydicom.uid import SecondaryCaptureImageStorage, VLPhotographicImageStorage

from medsynth_lib.data import dicom, preprocess
from medsynth_lib.data.own import classes, folder
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
    image = dicom.read_stack(files)
    volume = dicom.as_nifti(image.pixels, image)
    voxels, size = np.asanyarray(volume.dataobj)[..., 0], volume.header.get_zooms()
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


def segment(file, uid="1.2.1", mask=UPPER, names=("core",)):
    return write_segmentation(file, [(1, mask, at(0))], names, ReferencedSeriesSequence=[of_series(uid)])


def picture(file, values=UPPER):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(file)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("images/p1/seg.dcm", "labels/p1.dcm"),
        ("labels/p1.dcm", "test/labels/p1.dcm"),
        ("images/p1/seg.dcm", "test/images/p2/seg.dcm"),
    ],
)
def test_two_segmentations_of_one_series_are_refused(tmp_path, one, other):
    write_series(tmp_path / "images/p1/s", SeriesInstanceUID="1.2.1", PatientID="one")
    write_series(tmp_path / "test/images/p2/s", SeriesInstanceUID="1.2.2", PatientID="two")
    for part in ("labels", "test/labels"):
        (tmp_path / part).mkdir(parents=True)
    segment(tmp_path / one, mask=UPPER)
    segment(tmp_path / other, mask=~UPPER)
    with pytest.raises(DataError, match=f"{one} and .*{other} segment the same series; keep one of them"):
        folder.load(tmp_path, **SIZES)


@pytest.mark.parametrize("segmentation", ["images/p1/seg.dcm", "labels/p1.dcm"])
@pytest.mark.parametrize("mask", ["labels/p1_s.png", "labels/p1_s.nii.gz", "labels/deep/p1_s.png"])
def test_masks_of_two_kinds_are_refused(tmp_path, segmentation, mask):
    write_series(tmp_path / "images/p1/s", SeriesInstanceUID="1.2.1")
    segment(tmp_path / segmentation)
    picture((tmp_path / mask).with_suffix(".png"))
    (tmp_path / mask).with_suffix(".png").rename(tmp_path / mask)
    with pytest.raises(DataError, match=f"{segmentation} is a DICOM segmentation, .*{mask} a mask of another kind"):
        found(tmp_path)


def test_what_lies_beside_the_segmentations_is_counted(tmp_path):
    write_series(tmp_path / "images/p1", SeriesInstanceUID="1.2.1")
    segment(tmp_path / "labels/a.dcm")
    for k in (8, 9):
        segment(tmp_path / f"labels/{k}.dcm", f"1.2.{k}")
    write_series(tmp_path / "labels/p1", SeriesInstanceUID="1.2.1")
    for name in ("readme.txt", "colours.json", "LICENCE"):
        (tmp_path / "labels" / name).write_text("text")
    cases = found(tmp_path, notes := [])
    assert cases.label_names == ("background", "core") and list(cases.found) == ["p1"]
    assert sorted(notes) == [
        *["DICOM images in the folder of masks, not read"] * 4,
        *["files that are not DICOM, not read"] * 3,
        *["segmentations of a series that is not there, not read"] * 2,
    ]
    (tmp_path / "labels/a.dcm").unlink()
    with pytest.raises(DataError, match=r"p1/0.dcm has no segmentation, .*8.dcm describes a series that is not there"):
        found(tmp_path)


@pytest.mark.parametrize("beside", [False, True])
def test_masks_saved_as_ordinary_images_are_named(tmp_path, beside):
    for k in range(2):
        write(tmp_path / f"images/a{k}.dcm", plane()[0])
        write(tmp_path / f"labels/a{k}.dcm", UPPER.astype(np.uint8))
        if beside:
            picture(tmp_path / f"labels/a{k}.png")
    with pytest.raises(DataError, match="a0.dcm is no DICOM segmentation; save masks as PNG, NIfTI or DICOM-SEG"):
        found(tmp_path)


def test_at_most_31_segments_of_all_files(tmp_path):
    for k, count in enumerate((12, 19)):
        write_series(tmp_path / f"images/{k}", SeriesInstanceUID=f"1.2.{k}")
        segment(tmp_path / f"labels/{k}.dcm", f"1.2.{k}", names=[f"{k} part {n:02}" for n in range(count)])
    cases = found(tmp_path)
    assert len(cases.label_names) == 32 and cases.found["1"].read([])[2].max() == 13
    segment(tmp_path / "labels/1.dcm", "1.2.1", names=[f"1 part {n:02}" for n in range(255)])
    said = r"267 segments of different names \(0 part 00, 0 part 01, ...\), .*1.dcm most of them, but at most 31 can"
    with pytest.raises(DataError, match=said):
        found(tmp_path)


REPORT = np.arange(30, dtype=np.uint8).reshape(6, 5)


@pytest.mark.parametrize("fields", [{"kind": SecondaryCaptureImageStorage, "Modality": "CT"}, {"Modality": "OT"}])
def test_reports_beside_volumes_are_no_training_images(tmp_path, fields):
    write_series(tmp_path / "images/p1/ct", SeriesInstanceUID="1.2.1")
    for k in range(2):
        write(tmp_path / f"images/p1/report{k}.dcm", REPORT, SeriesDescription="Dose Report", **fields)
    cases = found(tmp_path, notes := [])
    assert list(cases.found) == ["p1_ct"] and cases.found["p1_ct"].extent is not None
    assert notes == ["secondary captures without a pixel size beside volumes, not read"] * 2
    segment(tmp_path / "images/p1/seg.dcm")
    assert found(tmp_path).label_names == ("background", "core"), "a report needs no mask"


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": VLPhotographicImageStorage, "Modality": "XC"},
        {"kind": SecondaryCaptureImageStorage, "PixelSpacing": [1, 1]},
    ],
)
def test_other_images_beside_volumes_are_read(tmp_path, fields):
    write_series(tmp_path / "images/p1/ct", SeriesInstanceUID="1.2.1")
    write(tmp_path / "images/p1/a.dcm", REPORT, **fields)
    assert sorted(found(tmp_path, notes := []).found) == ["p1_a", "p1_ct"] and not notes


def test_secondary_captures_alone_are_read(tmp_path):
    """Scanned films: there is no volume that they could belong to."""
    for name in "ab":
        write(tmp_path / f"images/{name}.dcm", REPORT, kind=SecondaryCaptureImageStorage)
    write(tmp_path / "images/c.dcm", REPORT, PixelSpacing=[1, 1])
    assert sorted(found(tmp_path).found) == ["a", "b", "c"]


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_classes_have_no_use_for_segmentations(tmp_path, order):
    """As archives export them: beside the series, for some patients, sometimes two of one series."""
    for k, name in enumerate(order):
        for patient in range(2):
            uid = f"1.2.{k}{patient}"
            write_series(tmp_path / name / f"p{patient}", SeriesInstanceUID=uid, PatientID=uid)
    for name in ("seg", "second reader"):
        segment(tmp_path / f"a/p1/{name}.dcm", f"1.2.{order.index('a')}1")
    slices = classes.load(tmp_path, **SIZES)
    assert slices.labels is None and len(slices) == 16 and slices.label_names == ()
    assert "2 DICOM segmentations, not read" in slices.processing["files"]


def test_images_in_folders_are_named_with_them_in_the_table(tmp_path):
    for k in (1, 2):
        write(tmp_path / f"images/p{k}/a.dcm", plane(shift=(0, k, 0))[0], PatientID="x")
    table = "file,subject\np1/a.dcm,one\np2/a.dcm,two\n"
    (tmp_path / "subjects.csv").write_text(table)
    slices = folder.load(tmp_path, **SIZES)
    assert slices.subjects.tolist() == ["one", "two"] and "without an image" not in slices.processing["files"]
    (tmp_path / "subjects.csv").write_text(table.replace("p1/", ""))
    with pytest.raises(DataError, match="names a.dcm, which may be images/p1/a or images/p2/a; write the folder, too"):
        folder.load(tmp_path, **SIZES)


def test_series_of_a_class_are_named_by_their_folders_in_the_table(tmp_path):
    for name in "xy":
        write_series(tmp_path / f"{name}/p1/s", SeriesInstanceUID=f"1.2.{ord(name)}", PatientID="p")
    (tmp_path / "subjects.csv").write_text("file,subject\nx/p1/s,one\ny/p1/s,two\n")
    assert classes.load(tmp_path, **SIZES).unique_subjects() == ["one", "two"]
    (tmp_path / "subjects.csv").write_text("file,subject\nx/p1/s,one\n")
    with pytest.raises(DataError, match=r"does not name y/p1/s \(.*add a row y/p1/s,<subject>"):
        classes.load(tmp_path, **SIZES)


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
    with pytest.warns(UserWarning, match="2 of 3 DICOM images and series have no PatientID"):
        slices = folder.load(tmp_path, **SIZES)
    assert "2 images without a PatientID" in slices.processing["files"]
