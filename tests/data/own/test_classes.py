"""One folder per class, also below train and test: classes, subjects and parts as planted, or a sentence."""

import numpy as np
import pytest
from dicom_files import at, item, plane, write, write_segmentation, write_series
from PIL import Image

from medsynth_lib.data.own import classes
from medsynth_lib.data.slices import DataError, split_subjects

SIZES = {"image_size": 16, "subjects": 0, "slices_per_subject": 0, "seed": 0}


def picture(path, name, seed=0):
    file = path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng([seed, *name.encode()]).integers(0, 255, (20, 24), dtype=np.uint8)).save(file)
    return file


def pictures(path, folders, count=4):
    for folder in folders:
        for k in range(count):
            picture(path, f"{folder}/{k}.png")
    return path


@pytest.mark.filterwarnings("ignore:.*no subjects.csv")
def test_each_image_has_the_class_of_its_folder(tmp_path):
    pictures(tmp_path, ["glioma"], 3)
    pictures(tmp_path, ["no tumour"], 5)
    slices = classes.load(tmp_path, **SIZES)
    assert slices.class_names == ("glioma", "no tumour") and slices.labels is None and not slices.set_aside
    assert {s: c for s, c in zip(slices.subjects.tolist(), slices.classes.tolist(), strict=True)} == {
        **{f"glioma/{k}": 0 for k in range(3)},
        **{f"no tumour/{k}": 1 for k in range(5)},
    }


@pytest.mark.filterwarnings("ignore:.*no subjects.csv")
@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Training", "Testing"), ("TRAIN", "TEST")])
def test_a_given_test_part_is_the_test_part_of_every_split(tmp_path, train, test):
    pictures(tmp_path, [f"{train}/a", f"{train}/b"])
    pictures(tmp_path, [f"{test}/a", f"{test}/b"], 2)
    slices = classes.load(tmp_path, **SIZES)
    expected = {f"{test}/{c}/{k}" for c in "ab" for k in range(2)}
    assert set(slices.set_aside) == expected
    for seed in range(5):
        split = split_subjects(slices, seed)
        assert set(split.test) == expected and (len(split.gen_train), len(split.holdout)) == (6, 2)


@pytest.mark.filterwarnings("ignore:.*no subjects.csv")
def test_validation_images_are_training_images_of_this_library(tmp_path):
    pictures(tmp_path, [f"{part}/{c}" for part in ("train", "val") for c in "ab"], 2)
    slices = classes.load(tmp_path, **SIZES)
    assert len(slices) == 8 and not slices.set_aside
    assert "folder val counted as training images" in slices.processing["files"]


def test_subjects_by_the_table_with_or_without_folders(tmp_path):
    pictures(tmp_path, ["a", "b"], 2)
    (tmp_path / "subjects.csv").write_text("file,subject\na/0.png,p\na/1.png,q\nb/0.png,p\nb/1,r\n")
    slices = classes.load(tmp_path, **SIZES)
    assert sorted(zip(slices.subjects.tolist(), slices.classes.tolist(), strict=True)) == [
        *(("p", 0), ("p", 1), ("q", 0), ("r", 1)),
    ]
    (tmp_path / "subjects.csv").write_text("file,subject\n0.png,p\na/1.png,q\nb/1.png,r\n")
    with pytest.raises(DataError, match=r"names 0.png, which may be a/0 or b/0; write the folder, too"):
        classes.load(tmp_path, **SIZES)


def test_a_subject_in_train_and_test_is_refused(tmp_path):
    pictures(tmp_path, ["train/a", "train/b", "test/a", "test/b"], 1)
    rows = "train/a/0.png,p\ntrain/b/0.png,q\ntest/a/0.png,r\ntest/b/0.png,q\n"
    (tmp_path / "subjects.csv").write_text("file,subject\n" + rows)
    with pytest.raises(DataError, match="are of subject q, who would be in the training and in the test part"):
        classes.load(tmp_path, **SIZES)


def test_dicom_in_folders_of_classes(tmp_path):
    for k, (kind, patient) in enumerate([("a", "one"), ("a", "two"), ("b", "one"), ("b", "three")]):
        write(tmp_path / f"{kind}/{k}.dcm", plane()[0] + np.eye(6, 5, dtype=np.uint16) * k, PatientID=patient)
    slices = classes.load(tmp_path, **SIZES)
    assert slices.classes.tolist().count(0) == 2 and len(slices.unique_subjects()) == 3
    assert slices.processing["subjects"].startswith("patients by PatientID")


@pytest.mark.parametrize(
    ("folders", "sentence"),
    [
        ([], "holds no folder; classes: needs at least two folders"),
        (["data"], "holds data; classes: needs at least two folders"),
        (["train/a", "train/b", "glioma"], "holds glioma, train; give it one folder per class, or train and test"),
        (["test/a", "test/b"], "holds test; give it one folder per class, or train and test"),
        (["train/a", "train/b", "test/a"], r"test has no folder b \(seen there: a\), another part has"),
        (["train/a", "train/B", "test/a", "test/b"], r"test has no folder B \(seen there: a, b\)"),
        (["a", "b/deep"], "b holds deep with images that would not be read"),
        (["train/a", "test/a"], "holds a; classes: needs at least two"),
        (["images", "labels"], "holds images, labels, which are images and masks rather than classes; write folder:"),
        (["imagesTr", "labelsTr", "imagesTs"], "which are images and masks rather than classes; write folder:"),
        (
            ["train/images", "train/masks", "test/images", "test/masks"],
            "train holds images, masks, which are images and",
        ),
    ],
)
def test_other_layouts_are_refused_with_what_was_seen(tmp_path, folders, sentence):
    pictures(tmp_path, folders, 1)
    with pytest.raises(DataError, match=sentence):
        classes.load(tmp_path, **SIZES)


@pytest.mark.filterwarnings("ignore:.*no subjects.csv")
def test_what_is_not_read_is_counted(tmp_path):
    pictures(tmp_path, ["a", "b"], 2)
    picture(tmp_path, "montage.png")
    for name in ("README.txt", "metadata.csv"):
        (tmp_path / name).write_text("x")
    files = classes.load(tmp_path, **SIZES).processing["files"]
    assert "1 images outside the folders of classes, not read" in files and "1 files outside" in files
    assert files.startswith("all 4 files")


def test_unknown_patients_among_known_ones_are_warned_of(tmp_path):
    for k in range(3):
        write(tmp_path / f"a/{k}.dcm", plane()[0] + np.eye(6, 5, dtype=np.uint16) * k, PatientID=f"p{k // 2}")
    pictures(tmp_path, ["b"], 2)
    with pytest.warns(UserWarning, match="2 of 5 .* have no PatientID: .* a split by subject cannot be guaranteed"):
        slices = classes.load(tmp_path, **SIZES)
    assert len(slices.unique_subjects()) == 4 and "cannot be guaranteed" in slices.processing["subjects"]
    assert "; 2 images without a PatientID" in slices.processing["files"]


def test_a_class_whose_name_is_not_utf8_is_named(tmp_path):
    (tmp_path / "a").mkdir()
    try:
        (tmp_path / "m\udce9d").mkdir()
    except OSError:
        pytest.skip("this file system stores UTF-8 names only")
    with pytest.raises(DataError, match=r"m\\udce9d' has a name that is not UTF-8; rename it"):
        classes.load(tmp_path, **SIZES)


def test_segmentations_in_folders_of_classes_are_no_images(tmp_path):
    mask = np.eye(6, 5, dtype=np.uint8)
    for k, kind in enumerate("ab"):
        write_series(tmp_path / f"{kind}/s", SeriesInstanceUID=f"1.2.{k}", PatientID=kind)
        found = [item(SeriesInstanceUID=f"1.2.{k}")]
        write_segmentation(tmp_path / f"{kind}/seg.dcm", [(1, mask, at(0))], ("core",), ReferencedSeriesSequence=found)
    slices = classes.load(tmp_path, **SIZES)
    assert slices.labels is None and len(slices) == 8 and np.bincount(slices.classes).tolist() == [4, 4]
    assert "2 DICOM segmentations, not read" in slices.processing["files"]
