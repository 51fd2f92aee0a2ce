"""A user's own folder: every format, and every way in which such folders are untidy."""

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from medsynth_lib.data import preprocess as pre
from medsynth_lib.data.own import folder
from medsynth_lib.data.slices import DataError, split_subjects

SIZES = dict(image_size=32, subjects=0, slices_per_subject=0, seed=0)
pytestmark = pytest.mark.filterwarnings("ignore:.*no subjects.csv")
ROWS, COLUMNS = np.mgrid[:40, :30]
DISC = ((ROWS - 12) ** 2 + (COLUMNS - 10) ** 2 < 50).astype(np.uint8)  # upper left


def picture(seed=0):
    noise = np.random.default_rng(seed).normal(0, 4, DISC.shape)
    return np.clip(60 + ROWS + 100 * DISC + noise, 0, 255).astype(np.uint8)


def write(path, stem="a", image=None, mask=None, ending=".png", mask_ending=".png", **options):
    """Save image and mask, by Pillow, as `stem`."""
    for part, pixels, end in (("images", image, ending), ("labels", mask, mask_ending)):
        (path / part).mkdir(parents=True, exist_ok=True)
        if pixels is not None:
            Image.fromarray(pixels).save(path / part / f"{stem}{end}", **(options if part == "images" else {}))


def save_any(file, pixels):
    if file.name.endswith((".nii", ".nii.gz")):
        nib.save(nib.Nifti1Image(pixels[::-1, ::-1].T.copy(), np.eye(4)), file)  # to_axial turns it back
    elif file.suffix == ".tif" and pixels.dtype.kind == "f":
        tifffile.imwrite(file, pixels)
    else:
        Image.fromarray(pixels).save(file)


FORMATS = {
    "8-bit.png": lambda p: p,
    "8-bit.JPG": lambda p: p,
    "16-bit.png": lambda p: p.astype(np.uint16) * 200,
    "rgb.jpeg": lambda p: np.repeat(p[..., None], 3, axis=2),
    "rgba.PNG": lambda p: np.dstack([p, p, p, np.full_like(p, 255)]),
    "16-bit.TIF": lambda p: p.astype(np.uint16) * 200,
    "float.tif": lambda p: p.astype(np.float32) / 7 - 3,
    "double.tif": lambda p: p.astype(np.float64) / 7,
    "flat.nii": lambda p: p.astype(np.float32),
    "flat.nii.gz": lambda p: p.astype(np.int16),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_picture(tmp_path, name):
    stem, _, ending = name.partition(".")
    write(tmp_path, stem)
    save_any(tmp_path / "images" / name, FORMATS[name](picture()))
    save_any(tmp_path / "labels" / f"{stem}.{ending if 'nii' in ending else 'png'}", DISC)
    (tmp_path / "images" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "images" / "Thumbs.db").write_bytes(b"x")
    slices = folder.load(tmp_path, **SIZES)
    assert slices.images.shape == (1, 1, 32, 32) and slices.label_names == ("background", "foreground")
    reference, _, _ = pre.fit_square(
        pre.scale_intensity(picture()[None], np.ones(DISC.shape, bool), ["a"])[None], None, 32, (1, 1)
    )
    assert np.abs(slices.images - reference).mean() < (0.1 if name.lower().endswith(("jpg", "jpeg")) else 0.02)
    assert slices.images[0, 0][slices.labels[0] == 1].mean() > 0.4, "mask lies on the disc"
    assert "colour" not in slices.processing["files"] and "ending" not in slices.processing["files"]


def test_volumes_and_stacks(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    rng = np.random.default_rng(0)
    for k, shape in enumerate([(20, 24, 6), (10, 12, 4)]):
        seg = np.zeros(shape, np.uint8)
        seg[3:6, 3:6, 2], seg[6:8, 3:6, 2] = 2, 1
        image = rng.normal(100, 10, shape)
        image[..., 0] = 0  # an empty slice is not kept
        affine = np.diag([2.0, 2.0, 5.0, 1.0])
        nib.save(nib.Nifti1Image(image, affine), tmp_path / "images" / f"v{k}.nii.gz")
        nib.save(nib.Nifti1Image(seg, affine), tmp_path / "labels" / f"v{k}.nii.gz")
    slices = folder.load(tmp_path, **SIZES)
    assert slices.levels.tolist() == [1, 2, 3, 4, 5, 1, 2, 3]
    assert slices.spacing == (48 / 32, 48 / 32) and slices.label_names == ("background", "label 1", "label 2")
    tifffile.imwrite(tmp_path / "images" / "v2.tif", rng.integers(1, 255, (5, 9, 9), dtype=np.uint8))
    tifffile.imwrite(tmp_path / "labels" / "v2.tif", np.zeros((5, 9, 9), np.uint8))
    mixed = folder.load(tmp_path, **SIZES)
    assert len(mixed) == 13 and mixed.spacing == (1.0, 1.0)


def test_mixed_sizes_are_not_distorted(tmp_path):
    write(tmp_path, "tall", picture(), DISC)
    write(tmp_path, "large", np.repeat(np.repeat(picture(), 3, 0), 3, 1), np.repeat(np.repeat(DISC, 3, 0), 3, 1))
    slices = folder.load(tmp_path, **SIZES)
    for label in slices.labels:
        high, wide = (np.ptp(axis) for axis in np.nonzero(label))
        assert abs(high - wide) <= 1
    assert (slices.images[:, 0, :, 0] == -1).all(), "padded left and right"


def test_real_colour_is_averaged_and_said(tmp_path):
    write(tmp_path, "a", np.dstack([picture(), picture() // 2, picture() // 3]), DISC)
    slices = folder.load(tmp_path, **SIZES)
    assert "1 colour images" in slices.processing["files"] and slices.channels == ("image",)


def test_exif_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    write(tmp_path, "a", np.rot90(picture()).copy(), DISC, ending=".jpg", exif=exif.tobytes(), quality=95)
    slices = folder.load(tmp_path, **SIZES)
    assert "1 rotated by EXIF" in slices.processing["files"]
    assert slices.images[0, 0][slices.labels[0] == 1].mean() > 0.4, "mask lies on the disc"


def test_jpeg_masks_are_snapped(tmp_path):
    for k in range(3):
        write(tmp_path, f"{k}", picture(k), DISC * 255 * (k > 0), mask_ending=".jpg")
    slices = folder.load(tmp_path, **SIZES)
    assert set(np.unique(slices.labels)) == {0, 1} and not slices.labels[0].any()
    assert "2 of 3 masks have values in between" in slices.processing["labels"]


def test_what_each_stored_value_becomes_is_printed(tmp_path, capsys):
    write(tmp_path, "a", picture(), DISC * 5 + 7 * (ROWS > 35).astype(np.uint8))
    slices = folder.load(tmp_path, **SIZES)
    assert slices.label_names == ("background", "label 5", "label 7")
    assert "5 -> label 5" in slices.processing["labels"] and slices.processing["labels"] in capsys.readouterr().out


@pytest.mark.parametrize("high", [1, 255, 65535])
def test_binary_masks_of_any_depth(tmp_path, high):
    write(tmp_path, "a", picture(), DISC.astype(np.uint16 if high > 255 else np.uint8) * high)
    write(tmp_path, "b", picture(1), np.zeros_like(DISC))
    slices = folder.load(tmp_path, **SIZES)
    assert slices.labels[0].max() == 1 and not slices.labels[1].any() and len(slices.label_names) == 2


def test_palette_masks_are_read_by_their_numbers(tmp_path):
    write(tmp_path, "a", picture())
    mask = Image.fromarray(DISC * 2, mode="P")
    mask.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    mask.save(tmp_path / "labels" / "a.png")
    assert set(np.unique(folder.load(tmp_path, **SIZES).labels)) == {0, 1}


def test_without_labels(tmp_path):
    write(tmp_path, "a", picture())
    (tmp_path / "labels").rmdir()
    slices = folder.load(tmp_path, **SIZES)
    assert slices.labels is None and slices.label_names == ()


def test_skull_stripped_background_is_minus_one(tmp_path):
    image = picture() * (COLUMNS > 9)
    write(tmp_path, "a", image.astype(np.uint8), DISC)
    slices = folder.load(tmp_path, **{**SIZES, "image_size": 40})
    assert (slices.images[0, 0, :, 5:15] == -1).all() and (slices.images[0, 0, :, 16:34] > -1).mean() > 0.9


def test_subjects_csv(tmp_path, recwarn):
    for k in range(8):
        write(tmp_path, f"{k}", picture(k), DISC)
    (tmp_path / "subjects.csv").write_text("file,subject\n" + "".join(f"{k}.png,p{k // 2}\n" for k in range(8)))
    slices = folder.load(tmp_path, **SIZES)
    assert slices.unique_subjects() == ["p0", "p1", "p2", "p3"] and slices.levels.tolist() == [0, 1] * 4
    assert not recwarn.list and slices.processing["files"] == "all 8 files"


def test_a_part_of_the_files_is_said(tmp_path, capsys):
    for k in range(8):
        write(tmp_path, f"{k}", picture(k), DISC)
    (tmp_path / "subjects.csv").write_text("file,subject\n" + "".join(f"{k}.png,p{k // 2}\n" for k in range(8)))
    few = folder.load(tmp_path, **{**SIZES, "subjects": 3, "slices_per_subject": 1, "seed": 5})
    assert len(few) == 6 and len(few.unique_subjects()) == 3, "every file of the chosen subjects"
    assert few.processing["files"] == "6 of 8 files, chosen by seed 5"
    assert "6 of 8 files, chosen by seed 5\n" in capsys.readouterr().out


def test_a_part_of_the_slices_is_said(tmp_path, capsys):
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
        for k in range(2):
            volume = np.random.default_rng(k).integers(0, 2 if part == "labels" else 99, (9, 9, 6)).astype(np.uint8)
            nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / part / f"{k}.nii.gz")
    slices = folder.load(tmp_path, **{**SIZES, "slices_per_subject": 2})
    said = "4 of 12 slices that are not constant: evenly spaced, at least one from every file"
    assert len(slices) == 4 and slices.processing["slices"] == said and said in capsys.readouterr().out


def test_without_subjects_csv_it_warns(tmp_path):
    write(tmp_path, "a", picture(), DISC)
    with pytest.warns(UserWarning, match="cannot be guaranteed"):
        slices = folder.load(tmp_path, **SIZES)
    assert "cannot be guaranteed" in slices.processing["subjects"]


@pytest.mark.parametrize("name", ["Labels", "masks", "labelsTr"])
def test_masks_in_a_folder_of_another_name_are_read(tmp_path, name, capsys):
    write(tmp_path, "a", picture(), DISC)
    expected = folder.load(tmp_path, **SIZES).labels
    (tmp_path / "labels").rename(tmp_path / name)
    slices = folder.load(tmp_path, **SIZES)
    assert np.array_equal(slices.labels, expected) and slices.labels.any()
    assert f"1 folder of masks: {name}" in slices.processing["files"]
    assert f"1 folder of masks: {name}" in capsys.readouterr().out


def volume_of(affine, shape=(8, 9, 4)):
    values = np.zeros(shape, np.uint8)
    values[1:4, 5:8, 1:3] = 1
    return nib.Nifti1Image(values, affine)


def test_a_mask_on_another_grid_is_refused(tmp_path):
    for part, affine in (("images", np.diag([-1.0, -1, 1, 1])), ("labels", np.eye(4))):
        (tmp_path / part).mkdir()
        nib.save(volume_of(affine), tmp_path / part / "a.nii.gz")
    with pytest.raises(DataError, match="labels/a.nii.gz does not lie on the grid of .*images/a.nii.gz: its direction"):
        folder.load(tmp_path, **SIZES)


def test_a_mask_of_another_kind_is_refused(tmp_path):
    """A NIfTI mask of a picture: whether its first axis runs down or to the right, nothing says."""
    square = np.zeros((16, 16), np.uint8)
    square[2:5, 8:14] = 1
    write(tmp_path, "a", square * 99)
    nib.save(nib.Nifti1Image(square, np.eye(4)), tmp_path / "labels" / "a.nii.gz")
    with pytest.raises(DataError, match="labels/a.nii.gz and its image .*images/a.png are of two kinds"):
        folder.load(tmp_path, **SIZES)


def test_one_wrong_voxel_size_is_named(tmp_path):
    (tmp_path / "images").mkdir()
    for k in range(4):
        nib.save(
            volume_of(np.diag([1.0, 1, 1, 1]) if k != 2 else np.diag([10.0, 10, 10, 1])),
            tmp_path / "images" / f"{k}.nii",
        )
    with pytest.raises(DataError, match="images/2.nii shows"):
        folder.load(tmp_path, **SIZES)


def test_a_volume_of_constant_slices_is_named(tmp_path):
    (tmp_path / "images").mkdir()
    nib.save(nib.Nifti1Image(np.ones((8, 9, 4)) * np.arange(4), np.eye(4)), tmp_path / "images" / "a.nii")
    with pytest.raises(DataError, match="a.nii has no slice that is not constant"):
        folder.load(tmp_path, **SIZES)


def test_identical_images_and_spare_masks_are_counted(tmp_path):
    for k in range(4):
        write(tmp_path, f"{k}", picture(min(k, 2)), DISC)
    write(tmp_path, "spare", None, DISC)
    (tmp_path / "images" / "readme.txt").write_text("x")
    slices = folder.load(tmp_path, **SIZES)
    said = slices.processing["files"]
    assert "1 identical images" in said and "1 masks without an image" in said and "1 files ending in .txt" in said
    assert split_subjects(slices, 0).duplicate_images == 1


def no_mask(path):
    (path / "labels" / "a.png").unlink()


def garbage(path):
    (path / "images" / "a.png").write_bytes(b"not a picture")


def truncated(path):
    file = path / "images" / "a.png"
    file.write_bytes(file.read_bytes()[:300])


def bad_csv(path):
    (path / "subjects.csv").write_text("name;patient\na.png;1\n")


def nan_image(path):
    (path / "images" / "a.png").unlink()
    tifffile.imwrite(path / "images" / "a.tif", np.full(DISC.shape, np.nan, np.float32))


def two_encodings(path):
    write(path, "a", None, DISC * 255)


def no_images(path):
    for file in (path / "images").iterdir():
        file.unlink()


BROKEN = {
    "a.png has no mask": no_mask,
    "a.png cannot be read": garbage,
    "a.png cannot be read.*": truncated,
    "labels.a.png has shape .*its image": lambda path: write(path, "a", None, DISC[:-1]),
    "a.png is constant": lambda path: write(path, "a", np.full(DISC.shape, 9, np.uint8)),
    "a.tif holds NaN": nan_image,
    "labels.a.png is a mask in colour": lambda path: write(path, "a", None, np.dstack([DISC * 200, DISC, DISC])),
    "b.png holds label numbers": two_encodings,
    "needs the columns file,subject": bad_csv,
    "holds no image": no_images,
}


@pytest.mark.parametrize("sentence", BROKEN)
def test_broken_folders_are_named(tmp_path, sentence):
    write(tmp_path, "a", picture(0), DISC)
    write(tmp_path, "b", picture(1), DISC)
    BROKEN[sentence](tmp_path)
    with pytest.raises(DataError, match=sentence):
        folder.load(tmp_path, **SIZES)


def with_test_part(path, train=6, test=2, name="test"):
    """Masks of 0 and 1 in images/, of 0 and 2 in test/images/."""
    for k in range(train):
        write(path, f"p{k}", picture(k), DISC)
    for k in range(test):
        write(path / name, f"p{k}", picture(100 + k), 2 * DISC)
    return path


@pytest.mark.parametrize("name", ["test", "Testing"])
def test_a_given_test_part_is_the_test_part_of_every_split(tmp_path, name):
    slices = folder.load(with_test_part(tmp_path, name=name), **SIZES)
    assert set(slices.set_aside) == {f"{name}/p0", f"{name}/p1"} and len(slices) == 8
    assert slices.label_names == ("background", "label 1", "label 2"), "numbered alike in both parts"
    for image, label, subject in zip(slices.images, slices.labels, slices.subjects, strict=True):
        assert set(np.unique(label)) == {0, 2 if subject.startswith(name) else 1}
        assert image[0][label > 0].mean() > image[0][label == 0].mean()
    for seed in range(5):
        assert set(split_subjects(slices, seed).test) == set(slices.set_aside)
    assert f"folder of test images: {name}" in slices.processing["files"]


def test_a_test_part_without_masks_is_not_read(tmp_path):
    with_test_part(tmp_path)
    for file in (tmp_path / "test" / "labels").iterdir():
        file.unlink()
    (tmp_path / "test" / "labels").rmdir()
    slices = folder.load(tmp_path, **SIZES)
    assert len(slices) == 6 and not slices.set_aside
    assert "folder without masks, not read: test" in slices.processing["files"]


def test_a_subject_in_both_parts_is_refused(tmp_path):
    with_test_part(tmp_path, train=2, test=1)
    table = "file,subject\nimages/p0.png,a\np1.png,b\n"
    (tmp_path / "subjects.csv").write_text(table + "D:\\\\set\\test\\images\\p0.png,c\n")
    assert folder.load(tmp_path, **SIZES).set_aside == ("c",)
    (tmp_path / "subjects.csv").write_text(table + "test/p0.png,a\n")
    with pytest.raises(DataError, match=r"test/images/p0.png and .*images/p0.png are of subject a, who would be in"):
        folder.load(tmp_path, **SIZES)


def test_two_test_parts_are_refused(tmp_path):
    with_test_part(with_test_part(tmp_path), name="testing")
    with pytest.raises(DataError, match="test and testing|test, testing, each of which may be the test part"):
        folder.load(tmp_path, **SIZES)


@pytest.mark.parametrize(("kind", "low", "high"), [(np.int16, -32768, 1500), (np.int8, -100, 100), (np.uint8, 0, 255)])
def test_slices_of_a_wide_range_are_kept(tmp_path, kind, low, high):
    """Padding of -32768 beside 1500, of which the difference does not fit into the file's own numbers."""
    (tmp_path / "images").mkdir()
    volume = np.random.default_rng(0).integers(0, high, (9, 9, 4), dtype=kind)
    volume[0, 0, 1:], volume[1, 1, 1:] = low, high
    nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / "images" / "a.nii")
    assert folder.load(tmp_path, **SIZES).levels.tolist() == [0, 1, 2, 3]


def test_single_sagittal_slices_with_masks(tmp_path):
    """48 x 40 voxels of 1 x 2 mm in the plane of y and z: two images of 80 mm, not 80 lines."""
    affine = np.array([[0, 0, 3, 0], [1, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 1.0]])
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
        for k in range(2):
            mask = np.zeros((48, 40, 1), np.uint8)
            mask[30:, 25:] = 1  # anterior and superior: the upper left
            noise = np.random.default_rng(k).integers(1, 50, mask.shape)
            image = mask if part == "labels" else (noise + 100 * mask).astype(np.int16)
            nib.save(nib.Nifti1Image(image, affine), tmp_path / part / f"{k}.nii.gz")
    slices = folder.load(tmp_path, **{**SIZES, "image_size": 40})
    assert slices.images.shape == (2, 1, 40, 40) and slices.spacing == (2.0, 2.0)
    assert slices.labels[:, 14, 12].all() and not slices.labels[:, 14, 25].any() and not slices.labels[:, 30, 12].any()
    assert slices.images[:, 0][slices.labels == 1].mean() > 0.5, "masks lie on what they show"


def with_exif(turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    return {"exif": exif.tobytes()}


@pytest.mark.parametrize(("turn", "side"), [(2, 30), (3, 30), (4, 30), (3, 40), (5, 40), (6, 40), (7, 40), (8, 40)])
def test_a_mask_that_fits_before_and_after_the_rotation_is_refused(tmp_path, turn, side):
    """The picture is shown rotated, the mask has no orientation: both have 40 x `side` pixels either way."""
    square = np.random.default_rng(0).integers(0, 255, (40, side), dtype=np.uint8)
    mask = np.eye(40, side, dtype=np.uint8)
    write(tmp_path, "a", square, mask, ending=".jpg", **with_exif(turn))
    sentence = rf"labels/a.png has the stored \(EXIF\) orientation 1 but its image .*images/a.jpg {turn}, .*; save both"
    with pytest.raises(DataError, match=sentence):
        folder.load(tmp_path, **SIZES)
    Image.fromarray(mask).save(tmp_path / "labels" / "a.png", **with_exif(turn))
    assert folder.load(tmp_path, **SIZES).labels.any(), "both are rotated alike"


def test_channels_of_nnunet_are_refused(tmp_path):
    (tmp_path / "imagesTr").mkdir()
    for k in range(2):
        nib.save(nib.Nifti1Image(np.eye(9)[..., None] + k, np.eye(4)), tmp_path / "imagesTr" / f"p0_000{k}.nii.gz")
    with pytest.raises(DataError, match="p0_0000.nii.gz and p0_0001.nii.gz have the names of two channels"):
        folder.load(tmp_path, **SIZES)


def test_two_levels_are_refused_with_what_is_equal(tmp_path):
    write(tmp_path, "a", DISC * 255)
    (tmp_path / "labels").rmdir()
    with pytest.raises(DataError, match=r"a.png is constant \(every voxel that is not background is 255\)"):
        folder.load(tmp_path, **SIZES)
