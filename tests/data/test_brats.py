"""BraTS folders of both namings, made small."""

import nibabel as nib
import numpy as np
import pytest

from medsynth_lib.data import brats
from medsynth_lib.data.slices import DataError, split_subjects

OLD = {"T1": "_t1", "T1ce": "_t1ce", "T2": "_t2", "FLAIR": "_flair", "seg": "_seg"}
NEW = {"T1": "-t1n", "T1ce": "-t1c", "T2": "-t2w", "FLAIR": "-t2f", "seg": "-seg"}
SIZES = dict(image_size=16, subjects=0, slices_per_subject=0, seed=0)


def write_case(folder, case, names, enhancing, ending=".nii.gz", seed=0, cavity=2):
    """A head with a lesion on the patient's left, front; contrasts differ by which label is bright."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    x, y = np.meshgrid(np.linspace(-1, 1, 24), np.linspace(-1, 1, 24), indexing="ij")
    head = np.repeat((x**2 + y**2 < 0.7)[..., None], 5, axis=2)
    head[..., 0] = False
    seg = np.zeros(head.shape, np.uint8)
    seg[4:11, 14:21, 2:4], seg[5:10, 15:20, 2:4], seg[6:9, 16:19, 2:4] = 2, enhancing, 1
    seg[9:11, 14:16, 2:4] = cavity
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
        ("flair", lambda v: v[:-1], "_flair.nii.gz does not lie on the grid of .*_t1.nii.gz: its shape"),
        ("t1ce", with_value(np.nan), "_t1ce.nii.gz holds NaN"),
        ("t2", lambda v: v * 0, "_t2.nii.gz is constant"),
        ("seg", with_value(5), "_seg.nii.gz holds label value 5"),
        ("seg", with_value(3), "_seg.nii.gz holds label value 3"),
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


@pytest.mark.parametrize("kind", ["t1ce", "t2", "flair", "seg"])
def test_five_files_lie_on_one_grid(tmp_path, kind):
    path = one(tmp_path) / f"BraTS20_Training_001_{kind}.nii.gz"
    nib.save(nib.Nifti1Image(np.asanyarray(nib.load(path).dataobj).copy(), np.eye(4)), path)
    with pytest.raises(DataError, match=rf"_{kind}.nii.gz does not lie on .*_t1.nii.gz: its direction is RAS, not LPS"):
        brats.load(tmp_path, **SIZES)


@pytest.mark.parametrize(
    ("case", "enhancing", "cavity"),
    [
        ("BraTS20_Training_001", 4, 2),
        ("Brats18_CBICA_AAB_1", 4, 2),
        ("BraTS2021_00005", 4, 2),
        ("FeTS2022_00005", 4, 2),
        ("BraTS-GLI-00005-000", 3, 2),
        ("BraTS-SSA-00005-000", 3, 2),
        ("BraTS-MEN-00005-001", 3, 2),
        ("BraTS-GoAT-00005", 3, 2),
        ("BraTS-GLI-00005-100", 3, 4),
        ("BraTS-GLI-02063-103", 3, 4),
        ("BraTS-GLI-02063-100", 2, 4),  # a sample without enhancing tumour
        ("BraTS-GLI-02063-100", 3, 2),  # a sample without cavity
    ],
)
def test_names_decide_what_a_label_number_means(tmp_path, case, enhancing, cavity):
    names = NEW if "-" in case else OLD
    write_case(tmp_path / case, case, names, enhancing, cavity=cavity)
    slices = brats.load(tmp_path, **{**SIZES, "image_size": 24})
    after = case.endswith(("-100", "-103"))
    assert slices.label_names == (*brats.LABEL_NAMES, *(["resection cavity"] if after else []))
    expected = {0: 0, 1: 1, 2: 2, enhancing: 3 if enhancing > 2 else 2, cavity: cavity}
    label = slices.labels[1]
    assert set(np.unique(label)) == set(expected.values())
    turned = label[::-1, ::-1].T  # from rows and columns to x and y
    assert turned[9, 14] == expected[cavity] and turned[5, 15] == expected[enhancing] and turned[7, 17] == 1


def test_years_may_be_mixed(tmp_path):
    """The 4 of one case and that of another mean what they meant in their years."""
    write_case(tmp_path / "a", "BraTS2021_00001", OLD, 4, seed=1)
    write_case(tmp_path / "b", "BraTS-GLI-00002-100", NEW, 2, seed=2, cavity=4)
    slices = brats.load(tmp_path, **SIZES)
    assert set(np.unique(slices.of_subjects(["BraTS2021_00001"]).labels)) == {0, 1, 2, 3}
    assert set(np.unique(slices.of_subjects(["BraTS-GLI-00002"]).labels)) == {0, 1, 2, 4}
    one = brats.load(tmp_path, **{**SIZES, "subjects": 1})
    assert one.label_names == slices.label_names, "the names do not depend on the sample"
    assert one.processing["files"] == "1 of 2 cases, chosen by seed 0"


@pytest.mark.parametrize(
    ("case", "names", "value", "sentence"),
    [
        ("BraTS-PED-00001-000", NEW, 3, "BraTS-PED-00001-000-seg.nii.gz is a paediatric case"),
        ("patient_7", OLD, 4, "the name patient_7 does not show the year"),
        ("BraTS2024_00001", NEW, 3, "does not show the year"),
        ("BraTS-GLI-00001-000", NEW, 4, "-seg.nii.gz holds label value 4"),
        ("BraTS-MET-00001-000", NEW, 4, "-seg.nii.gz holds label value 4"),
        ("BraTS2021_00001", OLD, 3, "_seg.nii.gz holds label value 3"),
    ],
)
def test_numbers_of_unknown_meaning_are_refused(tmp_path, case, names, value, sentence):
    write_case(tmp_path / case, case, names, value)
    with pytest.raises(DataError, match=sentence):
        brats.load(tmp_path, **SIZES)


def test_nothing_is_passed_over_in_silence(tmp_path):
    folder = one(tmp_path)
    (folder / "BraTS20_Training_001_t1gd.nii.gz").write_bytes(b"")
    assert (
        "1 NIfTI files with other names, not read, such as BraTS20_Training_001_t1gd"
        in brats.load(tmp_path, **SIZES).processing["files"]
    )
    (folder / "BraTS20_Training_001_seg.nii").write_bytes(b"")
    with pytest.raises(DataError, match="are both the seg of BraTS20_Training_001"):
        brats.load(tmp_path, **SIZES)


@pytest.mark.parametrize("name", ["BraTS20_Training_002", "BraTS20_Training_001/BraTS20_Training_001_t2.nii"])
def test_links_without_content_are_named(tmp_path, name):
    one(tmp_path)
    (tmp_path / name).symlink_to("/nowhere/annex")
    with pytest.raises(DataError, match=f"{name} is a link to /nowhere/annex"):
        brats.load(tmp_path, **SIZES)


def test_one_wrong_voxel_size_is_named(tmp_path):
    for k in range(4):
        name = f"BraTS20_Training_{k:03d}"
        folder = write_case(tmp_path / name, name, OLD, 4, seed=k)
        for file in folder.iterdir() if k == 2 else ():
            image = nib.load(file)
            nib.save(
                nib.Nifti1Image(np.asanyarray(image.dataobj).copy(), image.affine @ np.diag([10, 10, 10, 1])), file
            )
    with pytest.raises(DataError, match=r"Training_002_seg.nii.gz shows \(240, 240\) mm.*median.*\(24, 24\) mm"):
        brats.load(tmp_path, **SIZES)


def test_no_brats_folder(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="holds no BraTS files"):
        brats.load(tmp_path, **SIZES)
