"""BraTS folders of both namings, made small."""

import nibabel as nib
import numpy as np
import pytest

from medsynth_lib.data import brats
from medsynth_lib.data.slices import DataError, split_subjects

OLD = {"T1": "_t1", "T1ce": "_t1ce", "T2": "_t2", "FLAIR": "_flair", "seg": "_seg"}
NEW = {"T1": "-t1n", "T1ce": "-t1c", "T2": "-t2w", "FLAIR": "-t2f", "seg": "-seg"}
SIZES = dict(image_size=16, subjects=0, slices_per_subject=0, seed=0)


def write_case(folder, case, names, enhancing, ending=".nii.gz", seed=0):
    """A head with a lesion on the patient's left, front; contrasts differ by which label is bright."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    x, y = np.meshgrid(np.linspace(-1, 1, 24), np.linspace(-1, 1, 24), indexing="ij")
    head = np.repeat((x**2 + y**2 < 0.7)[..., None], 5, axis=2)
    head[..., 0] = False
    seg = np.zeros(head.shape, np.uint8)
    seg[4:11, 14:21, 2:4], seg[5:10, 15:20, 2:4], seg[6:9, 16:19, 2:4] = 2, enhancing, 1
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])  # LPS, as BraTS stores it
    for k, name in enumerate(("T1", "T1ce", "T2", "FLAIR")):
        image = head * (100 + 40 * k * (seg > 0) + rng.normal(0, 5, head.shape)).astype(np.float32)
        nib.save(nib.Nifti1Image(image[::-1, ::-1], affine), folder / f"{case}{names[name]}{ending}")
    nib.save(nib.Nifti1Image(seg[::-1, ::-1], affine), folder / f"{case}{names['seg']}{ending}")
    return folder


@pytest.mark.parametrize(
    ("case", "names", "enhancing", "nested", "ending"),
    [
        ("BraTS20_Training_{:03d}", OLD, 4, "", ".nii.gz"),
        ("BraTS20_Training_{:03d}", OLD, 4, "BraTS2020_TrainingData/MICCAI_BraTS2020_TrainingData", ".nii"),
        ("BraTS2021_{:05d}", OLD, 4, "training", ".nii.gz"),
        ("BraTS-GLI-{:05d}-000", NEW, 3, "ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData", ".nii.gz"),
    ],
)
def test_both_namings(tmp_path, case, names, enhancing, nested, ending):
    for k in range(3):
        name = case.format(k)
        write_case(tmp_path / nested / name, name, names, enhancing, ending, seed=k)
    (tmp_path / nested / case.format(0) / f"._{case.format(0)}_t1.nii.gz").write_bytes(b"mac")
    slices = brats.load(tmp_path, **SIZES)
    assert slices.channels == ("T1", "T1ce", "T2", "FLAIR")
    assert len(slices.unique_subjects()) == 3
    assert slices.levels.tolist() == [1, 2, 3, 4] * 3  # slice 0 holds no brain
    assert set(np.unique(slices.labels)) == {0, 1, 2, 3} and len(slices.label_names) == 4
    assert slices.spacing == (1.5, 1.5)
    rows, columns = np.nonzero(slices.labels[1])
    assert rows.mean() < 8 < columns.mean(), "front is up, the patient's left on the right"
    inside = slices.labels[1] > 0
    assert slices.images[1, 3][inside].mean() > slices.images[1, 0][inside].mean() + 0.3, "FLAIR is last, T1 first"


def test_time_points_are_one_subject(tmp_path):
    for seed, number in enumerate(("00000-000", "00000-001", "00001-000", "00002-000")):
        name = f"BraTS-GLI-{number}"
        write_case(tmp_path / name, name, NEW, 3, seed=seed)
    slices = brats.load(tmp_path, **SIZES)
    assert slices.unique_subjects() == ["BraTS-GLI-00000", "BraTS-GLI-00001", "BraTS-GLI-00002"]
    assert slices.levels[slices.subjects == "BraTS-GLI-00000"].tolist() == [1, 2, 3, 4, 6, 7, 8, 9]
    split_subjects(slices, 0)
    few = brats.load(tmp_path, **{**SIZES, "subjects": 2, "slices_per_subject": 2})
    assert len(few.unique_subjects()) == 2 and len(few) == 4


def one(tmp_path):
    name = "BraTS20_Training_001"
    return write_case(tmp_path / name, name, OLD, 4)


def test_the_misnamed_case_355_is_read(tmp_path):
    folder = one(tmp_path)
    (folder / "BraTS20_Training_001_seg.nii.gz").rename(folder / "W39_1998.09.19_Segm.nii.gz")
    assert len(brats.load(tmp_path, **SIZES)) == 4


def rewrite(path, change):
    image = nib.load(path)
    voxels = change(np.asanyarray(image.dataobj).copy())
    nib.save(nib.Nifti1Image(voxels, image.affine), path)


def with_value(value):
    def change(voxels):
        voxels[12, 12, 3] = value
        return voxels

    return change


@pytest.mark.parametrize(
    ("kind", "damage", "sentence"),
    [
        ("seg", "remove", "has no seg file for case BraTS20_Training_001"),
        ("t2", "remove", "has no T2 file"),
        ("flair", lambda v: v[:-1], "_flair.nii.gz has shape"),
        ("t1ce", with_value(np.nan), "_t1ce.nii.gz holds NaN"),
        ("t2", lambda v: v * 0, "_t2.nii.gz is constant"),
        ("seg", with_value(5), "_seg.nii.gz holds label value 5"),
        ("seg", with_value(3), "has label 4 and .* label 3"),
        ("t1", "cut", "_t1.nii.gz cannot be read"),
    ],
)
def test_bad_files_are_named(tmp_path, kind, damage, sentence):
    path = one(tmp_path) / f"BraTS20_Training_001_{kind}.nii.gz"
    if damage == "remove":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:2000])
    else:
        rewrite(path, damage)
    with pytest.raises(DataError, match=sentence):
        brats.load(tmp_path, **SIZES)


def test_no_brats_folder(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="holds no BraTS files"):
        brats.load(tmp_path, **SIZES)
