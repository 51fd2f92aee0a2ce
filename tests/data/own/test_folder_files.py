"""Folders and names as users have them: read, or refused with the names that were seen."""

import pathlib
import unicodedata

import pytest

from medsynth_lib.data.own.folder_files import (
    find_folders,
    find_images,
    find_masks,
    list_entries,
    require_no_channels,
)
from medsynth_lib.data.slices import DataError


def make(path, *names):
    """Empty files, whose content is not looked at here."""
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).touch()
    return path


def pairs(path):
    """Image name -> name of its mask, and the notes."""
    notes = []
    folder, labels = find_folders(path, notes)
    images = find_images(folder, notes)
    masks = find_masks(images, labels, notes) if labels else None
    return {images[stem].name: masks[stem].name if masks else None for stem in images}, notes


PLAIN = ("images/a.png", "images/b.nii.gz", "labels/a.png", "labels/b.nii.gz")


def test_documented_names_need_no_note(tmp_path):
    make(tmp_path, *PLAIN, "subjects.csv", "images/.DS_Store", "images/Thumbs.db", "labels/desktop.ini", ".git/x.png")
    assert pairs(tmp_path) == ({"a.png": "a.png", "b.nii.gz": "b.nii.gz"}, [])


@pytest.mark.parametrize("images", ["images", "Images", "IMAGES", "imagesTr"])
@pytest.mark.parametrize("labels", ["Labels", "LABELS", "labelsTr", "masks", "Masks", "annotations", "Annotations"])
def test_known_folders_in_any_capitals(tmp_path, images, labels):
    make(tmp_path, f"{images}/a.png", f"{labels}/a.jpg")
    assert pairs(tmp_path) == ({"a.png": "a.jpg"}, [f"folder of masks: {labels}"])


@pytest.mark.parametrize(
    "other",
    ["label", "mask_png", "segmentations", "Seg", "gt", "ground_truth", "ROIs", "contours", "Annotation", "target"],
)
def test_a_folder_that_may_hold_masks_is_never_passed_over(tmp_path, other):
    make(tmp_path, "images/a.png", f"{other}/a.png")
    with pytest.raises(DataError, match=f"holds {other}, which may hold masks; .*labels"):
        pairs(tmp_path)
    make(tmp_path, "labels/a.png")
    with pytest.raises(DataError, match=f"(labels and )?{other}"):
        pairs(tmp_path)


@pytest.mark.parametrize("two", [("labels", "masks"), ("labels", "Labels"), ("labelsTr", "annotations")])
def test_several_folders_of_masks_are_refused(tmp_path, two):
    make(tmp_path, "images/a.png", *(f"{name}/a.png" for name in two))
    with pytest.raises(DataError, match=f"holds {', '.join(sorted(two))}, which may hold masks"):
        pairs(tmp_path)


def test_a_packed_folder_of_masks_is_not_passed_over(tmp_path):
    make(tmp_path, "images/a.png", "labels.zip")
    with pytest.raises(DataError, match="holds labels.zip, which may hold masks"):
        pairs(tmp_path)


def test_without_anything_like_masks_there_are_none(tmp_path):
    make(tmp_path, "images/a.png", "length/x.txt", "labels.csv", "notes.txt")
    files = ["files outside the folder of images, not read"] * 2
    assert pairs(tmp_path) == ({"a.png": None}, ["folder not read: length", *files])


def test_what_is_not_read_is_noted(tmp_path):
    make(tmp_path, *PLAIN, "old/images/t.png", "imagesTs/t.png", "labelsTs/t.png", "stray.png", "metadata.csv")
    make(tmp_path, "Subjects.csv", "README.md", "LICENSE", "licence.txt", "CITATION.cff", "Changelog")
    make(tmp_path, "images/a.txt", "images/c.xyz", "images/d.xyz", "images/README", "images/empty/notes.txt")
    make(tmp_path, "labels/spare.png")
    _, notes = pairs(tmp_path)
    assert sorted(notes) == [
        "files ending in .txt, not read",
        "files ending in .xyz, not read",
        "files ending in .xyz, not read",
        "files outside the folder of images, not read",
        "files without an ending, not read",
        "folder not read: images/empty",
        "folder not read: imagesTs",
        "folder not read: labelsTs",
        "folder not read: old",
        "images outside the folder of images, not read",
        "masks without an image, not read",
    ]


@pytest.mark.parametrize("part", ["images", "labels"])
def test_images_in_folders_of_the_folder_are_refused(tmp_path, part):
    make(tmp_path, *PLAIN, f"{part}/p1/deep/x.png", f"{part}/p2/x.nii.gz")
    with pytest.raises(DataError, match=f"{part} holds p1, p2 with images that would not be read; move"):
        pairs(tmp_path)


def test_links_to_files_and_folders_are_followed(tmp_path):
    make(tmp_path, "store/images/a.png", "store/m.png", "set/labels/x.txt")
    (tmp_path / "set/images").symlink_to(tmp_path / "store/images")
    (tmp_path / "set/labels/a.png").symlink_to(tmp_path / "store/m.png")
    assert pairs(tmp_path / "set")[0] == {"a.png": "a.png"}


@pytest.mark.parametrize(
    "name", ["images/c.png", "labels/a.tif", "labels/z.png", "images/p7", "Labels", "images/p1/x.png"]
)
def test_links_without_content_are_refused(tmp_path, name):
    make(tmp_path, "images/a.png", *(() if name == "Labels" else ("labels/a.png",)))
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).symlink_to("/nowhere/annex/key")
    with pytest.raises(DataError, match=f"{name} is a link to /nowhere/annex/key|holds p1 with images"):
        pairs(tmp_path)


def test_the_same_letters_in_two_unicode_forms_are_the_same_name(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "M\u00fcller") for form in ("NFC", "NFD"))
    assert composed != decomposed
    make(tmp_path, f"images/{decomposed}.png", f"labels/{composed}.png")
    folder, labels = find_folders(tmp_path, notes := [])
    images = find_images(folder, notes)
    assert list(images) == list(find_masks(images, labels, notes)) == [composed] and not notes
    make(tmp_path, f"images/{composed}.png")
    with pytest.raises(DataError, match="share the name"):
        pairs(tmp_path)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("a.png", "a_mask.png"),
        ("a.png", "a-Mask.png"),
        ("a.png", "a seg.png"),
        ("a.jpg", "a_segmentation.png"),
        ("a.png", "a.label.png"),
        ("a.nii.gz", "a_labels.nii"),
        ("a_0000.nii.gz", "a.nii.gz"),
        ("a_image.png", "a_gt.png"),
        ("A.PNG", "a.png"),
        ("frame_0000.png", "frame_0000_mask.png"),
    ],
)
def test_endings_of_names_are_matched(tmp_path, image, mask):
    make(tmp_path, f"images/{image}", f"labels/{mask}", "images/other_0001.png", "labels/other_0001.png")
    found, notes = pairs(tmp_path)
    assert found == {image: mask, "other_0001.png": "other_0001.png"}
    assert notes == ["masks whose names differ from the image's, matched one to one"]


REFUSED = {
    "a.png may belong to a_mask.png, a_seg.png in": ("images/a.png", "labels/a_mask.png", "labels/a_seg.png"),
    "a_mask.png may be the mask of .*a.*a": ("images/a.png", "images/a_image.png", "labels/a_mask.png"),
    "a_mask_2.png may be a second mask": ("images/a.png", "labels/a_mask.png", "labels/a_mask_2.png"),
    "a_1.png may be a second mask": ("images/a.png", "labels/a.png", "labels/a_1.png"),
    "a_MASK.png may be a second mask": (
        "images/A.png",
        "images/b.png",
        *(f"labels/{n}.png" for n in ("A", "b", "a_MASK")),
    ),
    r"a \(2\).png may be a second mask": ("images/a.png", "labels/a.png", "labels/a (2).png"),
    "/a.tif may be a second mask": ("images/A.png", "labels/A.png", "labels/a.tif"),
    "case_0001.nii.gz has no mask in .*which holds case.nii.gz": (
        "images/case_0000.nii.gz",
        "images/case_0001.nii.gz",
        "labels/case.nii.gz",
    ),
    r"x1.png has no mask in .*labels \(which holds y1.png, y2.png, y3.png and 1 more\); give the mask the name x1": (
        "images/x1.png",
        *(f"labels/y{k}.png" for k in range(1, 5)),
    ),
    r"a.png has no mask in .* \(which holds a.json\)": ("images/a.png", "annotations/a.json"),
    "images/a_mask.png looks like the mask of a.png": ("images/a.png", "images/a_mask.png"),
    "a.png and a.jpg share the name 'a'": ("images/a.png", "images/a.jpg"),
    r"images does not exist; .*\(seen there: img, labels\)": ("img/a.png", "labels/a.png"),
    "images does not exist": ("a.png",),
    "holds Images, images, each of which may hold the images": ("images/a.png", "Images/a.png"),
    r"images holds no image \(seen there: a.xyz, b.xyz\)": ("images/a.xyz", "images/b.xyz"),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_names_that_do_not_decide_are_refused(tmp_path, sentence):
    with pytest.raises(DataError, match=sentence):
        pairs(make(tmp_path, *REFUSED[sentence]))


@pytest.mark.parametrize("name", ["images/M\udcfcller.png", "M\udcfcller.png/a.png", "labels/M\udcfcller.png"])
def test_a_name_that_is_not_utf8_is_named(tmp_path, name):
    try:
        make(tmp_path, *PLAIN, name)
    except OSError:
        pytest.skip("this file system stores UTF-8 names only")
    with pytest.raises(DataError, match=r"M\\udcfcller.png' has a name that is not UTF-8"):
        pairs(tmp_path)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere cannot be listed"):
        pairs(tmp_path / "nowhere")


def test_masks_of_images_that_are_not_there_are_counted(tmp_path):
    make(
        tmp_path, "images/a1.png", "images/b_1.png", *(f"labels/{n}.png" for n in ("a1", "a12", "a2_1", "b_1", "b_12"))
    )
    assert pairs(tmp_path)[1] == ["masks without an image, not read"] * 3


CHANNELS = [f"imagesTr/p{k}_000{c}.nii.gz" for k in range(2) for c in range(4)]


@pytest.mark.parametrize("masks", [(), ("labelsTr/p0.nii.gz", "labelsTr/p1.nii.gz")])
def test_channels_in_files_of_their_own_are_refused(tmp_path, masks):
    """As nnU-Net stores them: read one by one, each would count as a patient."""
    make(tmp_path, *CHANNELS, *masks)
    folder, labels = find_folders(tmp_path, [])
    with pytest.raises(DataError, match=r"p0_0000.nii.gz and p0_0001.nii.gz .*; join them in one 4-D NIfTI file"):
        require_no_channels(find_images(folder, []), labels)


@pytest.mark.parametrize(
    "names",
    [
        [f"images/film_000{k}.png" for k in range(5)],  # more than an image may have channels
        [f"{part}/film_000{k}.png" for part in ("images", "labels") for k in range(2)],
        [f"images/film_000{k}.png" for k in range(2)] + ["labels/film_0000_mask.png", "labels/film_0001_mask.png"],
        ["imagesTr/p0_0000.nii.gz", "imagesTr/p1_0000.nii.gz"],
    ],
)
def test_frames_and_single_channels_are_no_channels_of_one_image(tmp_path, names):
    folder, labels = find_folders(make(tmp_path, *names), [])
    require_no_channels(find_images(folder, []), labels)


@pytest.mark.parametrize("place", ["iterdir", "lstat"])
def test_a_folder_that_may_not_be_read_or_entered_is_named(tmp_path, monkeypatch, place):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    make(tmp_path, *PLAIN)
    monkeypatch.setattr(pathlib.Path, place, refuse)
    with pytest.raises(DataError, match=r"images cannot be listed \(Permission denied\); check that you may read it"):
        list_entries(tmp_path / "images")
