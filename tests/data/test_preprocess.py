"""Steps from a volume to slices."""

import nibabel as nib
import numpy as np
import pytest

from medsynth_lib.data import preprocess as pre
from medsynth_lib.data.slices import DataError


def phantom(shape=(20, 30, 6)):
    """A ball-like head in RAS voxels; bright to the front, a marked spot on the patient's right."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    head = (x**2 + y**2 < 0.8).astype(np.float32)
    return head * (100 + 50 * y + 5 * x)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "SAR", "PIR"])
def test_every_orientation_comes_out_upright(tmp_path, codes):
    ras = phantom()
    image = nib.Nifti1Image(ras, np.diag([2.0, 3.0, 4.0, 1.0]))
    turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(codes))
    nib.save(image.as_reoriented(turn), tmp_path / "a.nii.gz")
    voxels, spacing = pre.read_nifti(tmp_path / "a.nii.gz")
    assert spacing == (2, 3, 4) and np.array_equal(voxels, ras)
    axial = pre.to_axial(voxels)
    assert axial.shape == (6, 30, 20)
    assert axial[3, :15].sum() > axial[3, 15:].sum(), "anterior (bright) must be up"
    assert axial[3, 15, 4] > axial[3, 15, 15], "the patient's right (brighter) must be on the left"


def test_read_nifti_names_the_file(tmp_path):
    path = tmp_path / "bad.nii.gz"
    with pytest.raises(DataError, match="bad.nii.gz is missing"):
        pre.read_nifti(path)
    nib.save(nib.Nifti1Image(phantom(), np.eye(4)), path)
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(DataError, match="bad.nii.gz cannot be read"):
        pre.read_nifti(path)
    path.write_bytes(b"<html>not found</html>")
    for reader in (pre.read_nifti, pre.open_nifti):
        with pytest.raises(DataError, match="bad.nii.gz cannot be read"):
            reader(path)
    holed = phantom()
    holed[3, 3, 3] = np.nan
    nib.save(nib.Nifti1Image(holed, np.eye(4)), path)
    with pytest.raises(DataError, match="bad.nii.gz holds NaN"):
        pre.read_nifti(path)


def header(sizes, affine=None, unit=2):
    """A NIfTI header of voxel size `sizes`, with another affine (sform) and unit code where given."""
    image = nib.Nifti1Image(phantom(), np.diag([*sizes, 1.0]))
    if affine is not None:
        image.header.set_sform(affine, code=1)
        image = nib.Nifti1Image(phantom(), None, image.header)
    image.header["xyzt_units"] = unit
    return image


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (header((2, 2, 5), np.eye(4)), "voxel size 2 x 2 x 5 mm but, by its affine, 1 x 1 x 1 mm"),
        (header((2, 2, 5), np.diag([2.0, 2, 0, 1])), "by its affine 2 x 2 x 0 mm"),
        (header((2, 2, 2), np.array([[2.0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]])), "correct the header"),
        (header((2, 2, 2), np.diag([np.nan, 2, 2, 1])), "correct the header"),
        (header((2, 2, 5), unit=3), "voxel size in micrometres; convert the header to mm"),
        (header((2, 2, 5), unit=1), "voxel size in metres"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(tmp_path, image, sentence):
    nib.save(image, tmp_path / "a.nii.gz")
    with pytest.raises(DataError, match=f"a.nii.gz.*{sentence}"):
        pre.read_nifti(tmp_path / "a.nii.gz")


def test_rounded_headers_are_read(tmp_path):
    for k, image in enumerate(
        [header((0.9766, 0.9766, 5), np.diag([0.9765625, 0.9765625, 5.0001, 1])), header((1, 1, 1), unit=0)]
    ):
        nib.save(image, tmp_path / f"{k}.nii.gz")
        assert pre.read_nifti(tmp_path / f"{k}.nii.gz")[0].shape == (20, 30, 6)


def test_single_slice_file(tmp_path):
    nib.save(nib.Nifti1Image(np.ones((5, 7), np.uint8), np.eye(4)), tmp_path / "flat.nii")
    assert pre.read_nifti(tmp_path / "flat.nii")[0].shape == (5, 7, 1)


def test_scale_intensity_per_channel_and_scale_free():
    image = np.stack([phantom(), 1e6 * phantom() + 3e5 * (phantom() > 0)])
    foreground = image[0] != 0
    out = pre.scale_intensity(image, foreground, ["a", "b"])
    assert out.dtype == np.float32 and out.min() == -1 and out.max() == 1
    assert (out[:, ~foreground] == -1).all()
    np.testing.assert_allclose(out[0], out[1], atol=1e-4)
    with pytest.raises(DataError, match="b is constant"):
        pre.scale_intensity(np.stack([image[0], np.full_like(image[0], 7)]), foreground, ["a", "b"])


def test_what_is_called_constant_is_equal_everywhere():
    two_levels = np.array([[[0, 0, 255, 255]]])
    with pytest.raises(DataError, match=r"a is constant \(every voxel that is not background is 255\)"):
        pre.scale_intensity(two_levels, two_levels[0] > 0, ["a"])
    for value, foreground in ((7, True), (0, False)):
        with pytest.raises(DataError, match=rf"a is constant \(every voxel is {value}\)"):
            pre.scale_intensity(np.full((1, 3, 3), value), np.full((3, 3), foreground), ["a"])


def test_mostly_equal_image_is_not_called_constant():
    image = np.zeros((1, 50, 50))
    image[0, 0, :3] = 9
    assert pre.scale_intensity(image, np.ones((50, 50), bool), ["a"]).max() == 1


def test_map_labels():
    assert pre.map_labels(np.array([0.0, 2.0, 1.0]), {0: 0, 1: 2, 2: 1}, "x").tolist() == [0, 1, 2]
    for bad in (7.0, 0.5, -1.0):
        with pytest.raises(DataError, match=f"seg.nii holds label value {bad:g}"):
            pre.map_labels(np.array([0.0, bad]), {0: 0, 1: 1}, "seg.nii")


def test_even_spacing_and_choice_of_subjects():
    assert pre.evenly_spaced(range(10), 0) == list(range(10)) == pre.evenly_spaced(range(10), 99)
    assert pre.evenly_spaced(range(10), 1) == [5] and pre.evenly_spaced(range(10), 2) == [2, 7]
    names = [f"s{k}" for k in range(50)]
    chosen = pre.choose_subjects(names, 10, seed=1)
    assert len(set(chosen)) == 10 and chosen == pre.choose_subjects(names[::-1], 10, seed=1)
    assert chosen != pre.choose_subjects(names, 10, seed=2)
    assert pre.choose_subjects(names, 0, 1) == sorted(names)


def test_a_choice_is_printed(capsys):
    assert pre.choice(7, 7, "files", seed=3) == "all 7 files" and not capsys.readouterr().out
    assert pre.choice(5, 7, "files", seed=3) == "5 of 7 files, chosen by seed 3" == capsys.readouterr().out.strip()


def test_brain_rule():
    foreground = np.zeros((3, 10, 10), bool)
    foreground[1, 0], foreground[1, 1, :5], foreground[2, :2] = True, True, True
    assert pre.brain_slices(foreground).tolist() == [2]  # exactly 15 % is not more than 15 %


def test_fit_square_makes_pixels_square_and_keeps_shapes():
    rows, columns = np.mgrid[:40, :20]  # 40 rows of 1 mm, 20 columns of 2 mm: a 40 mm square
    disc = ((rows - 19.5) ** 2 + (2 * (columns - 9.5)) ** 2 < 144).astype(np.uint8)
    images = (disc * 2.0 - 1)[None, None].astype(np.float32)
    out, labels, spacing = pre.fit_square(images, disc[None], 80, (1, 2))
    assert out.shape == (1, 1, 80, 80) and spacing == 0.5
    high, wide = np.ptp(np.nonzero(labels[0])[0]), np.ptp(np.nonzero(labels[0])[1])
    assert abs(high - wide) <= 2 and abs(high - 47) <= 2
    area = (labels == 1).sum() * spacing**2
    assert abs(area - disc.sum() * 2) / area < 0.03


@pytest.mark.parametrize("size", [7, 16, 33, 64])
def test_labels_gain_no_value_and_images_stay_in_range(size):
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 1, 4], (3, 25, 18)).astype(np.uint8)
    images = rng.uniform(-1, 1, (3, 2, 25, 18)).astype(np.float32)
    out, small, spacing = pre.fit_square(images, labels, size, (1.0, 1.0), field=30.0)
    assert set(np.unique(small)) <= {0, 1, 4} and small.dtype == np.uint8
    assert out.min() >= -1 and out.max() <= 1 and spacing == 30 / size


def test_square_of_the_right_size_is_untouched():
    images = np.random.default_rng(0).uniform(-1, 1, (2, 1, 16, 16)).astype(np.float32)
    assert np.array_equal(pre.fit_square(images, None, 16, (1, 1))[0], images)


def cut(value):
    images = np.full((6, 1, 8, 8), value, np.float32)
    return pre.AxialVolume(images, None, np.array([1, 2, 4]), (1.0, 1.0))


def test_stack_cases_shares_slices_and_counts_levels_on():
    seen = []
    cases = [("b", 0.1), ("a", 0.2), ("b", 0.3)]
    sizes = dict(image_size=8, workers=2, progress=lambda *now: seen.append(now))
    whole = pre.stack_cases(cases, cut, slices_per_subject=0, **sizes)
    assert whole["subjects"].tolist() == ["a"] * 3 + ["b"] * 6
    assert whole["levels"].tolist() == [1, 2, 4, 1, 2, 4, 7, 8, 10]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    few = pre.stack_cases(cases, cut, slices_per_subject=2, **sizes)
    assert few["subjects"].tolist() == ["a", "a", "b", "b"]
    one = pre.stack_cases(cases, cut, slices_per_subject=1, **sizes)
    assert one["subjects"].tolist() == ["a", "b", "b"], "no file is dropped"
    assert "labels" not in one


def test_case_without_fitting_slice_is_left_out():
    def read(value):
        return cut(value) if value else pre.AxialVolume(cut(0).images, None, np.array([], int), (1.0, 1.0))

    with pytest.warns(UserWarning, match="empty: no slice"):
        out = pre.stack_cases([("empty", 0), ("full", 1)], read, image_size=8, slices_per_subject=0)
    assert set(out["subjects"]) == {"full"}
    with pytest.warns(UserWarning), pytest.raises(DataError, match="no slice of any subject"):
        pre.stack_cases([("empty", 0)], read, image_size=8, slices_per_subject=0)
