"""Decathlon tasks from made folders of the same layout, and the real ones where MEDSYNTH_DATA holds them."""

import hashlib
import json
import os
import shutil
import tarfile
import urllib.error
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from medsynth_lib.data import decathlon
from medsynth_lib.data.grids import check_grid, field_of_view
from medsynth_lib.data.slices import DataError

SIZES = dict(image_size=32, subjects=0, slices_per_subject=0, seed=0)
MODALITIES = {"hippocampus": ["MRI"], "braintumour": ["FLAIR", "T1w", "t1gd", "T2w"]}


def write_task(root, name, cases=3):
    """A task folder as MSD has it: dataset.json, imagesTr/, labelsTr/."""
    folder = root / decathlon.TASKS[name].folder
    rng = np.random.default_rng(0)
    training = []
    for k in range(cases):
        x, y = np.meshgrid(np.linspace(-1, 1, 30), np.linspace(-1, 1, 36), indexing="ij")
        head = np.repeat((x**2 + y**2 < 0.8)[..., None], 5, axis=2)
        head[..., 4] = False
        label = np.zeros(head.shape, np.uint8)
        label[4:10, 18:26, 1:3], label[10:14, 18:26, 1:3] = 1, 2
        if name == "braintumour":
            label[6:10, 10:16, 2] = 3
        channels = [head * (100 + 40 * c + rng.normal(0, 5, head.shape)) for c in range(len(MODALITIES[name]))]
        channels[0] = channels[0] + 90 * head * (label > 0)
        image = channels[0] + 1.0 if len(channels) == 1 else np.stack(channels, axis=-1)
        for part, voxels in (("imagesTr", image.astype(np.float32)), ("labelsTr", label)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(voxels, np.eye(4)), folder / part / f"case_{k:03d}.nii.gz")
        training.append({p: f"./{d}/case_{k:03d}.nii.gz" for p, d in (("image", "imagesTr"), ("label", "labelsTr"))})
    record = {"modality": dict(enumerate(MODALITIES[name])), "training": training, "labels": {}, "test": []}
    record |= dict.fromkeys(("name", "description", "reference", "licence", "tensorImageSize"), "made")
    record |= {"numTraining": cases, "numTest": 0}
    (folder / "dataset.json").write_text(json.dumps(record))
    return folder


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("monai.apps.utils.urlretrieve", refuse)
    monkeypatch.setattr("requests.head", refuse)


def test_hippocampus(tmp_path):
    write_task(tmp_path, "hippocampus")
    slices = decathlon.load("hippocampus", tmp_path, **SIZES, workers=2)
    assert slices.channels == ("MR",) and slices.label_names == ("background", "anterior", "posterior")
    assert slices.levels.tolist() == [1, 2] * 3, "only slices with a label"
    assert slices.spacing == (36 / 32, 36 / 32) and slices.licence == "CC-BY-SA-4.0"
    assert "may come from one patient" in slices.processing["subjects"]
    few = decathlon.load("hippocampus", tmp_path, **{**SIZES, "subjects": 2, "slices_per_subject": 1})
    assert len(few) == 2 == len(few.unique_subjects())
    assert few.processing["files"] == "2 of 3 files, chosen by seed 0" and slices.processing["files"] == "all 3 files"


def test_brain_tumour_channels_and_labels_are_put_in_brats_order(tmp_path):
    write_task(tmp_path, "braintumour")
    slices = decathlon.load("braintumour", tmp_path, **{**SIZES, "image_size": 36})
    assert slices.channels == ("T1", "T1ce", "T2", "FLAIR")
    assert slices.levels.tolist() == [0, 1, 2, 3] * 3, "only slices with brain"
    assert set(np.unique(slices.labels)) == {0, 1, 2, 3}
    first = slices.labels[2]
    # In the file: 1 (oedema) farther on the patient's left than 2 (non-enhancing); x grows to the right.
    assert np.nonzero(first == 2)[1].mean() > np.nonzero(first == 1)[1].mean()
    inside = first > 0
    contrast = [float(channel[inside].mean()) for channel in slices.images[2]]
    assert contrast[3] > max(contrast[:3]) + 0.3, "the lesion is bright in FLAIR, which comes last"
    assert (slices.images[:, :, 0, 0] == -1).all()


def damage_missing(folder):
    (folder / "labelsTr" / "case_001.nii.gz").unlink()


def damage_json(folder):
    (folder / "dataset.json").write_text("{}")


def damage_no_json(folder):
    (folder / "dataset.json").unlink()


def damage_modality(folder):
    record = json.loads((folder / "dataset.json").read_text())
    record["modality"] = {"0": "CT"}
    (folder / "dataset.json").write_text(json.dumps(record))


def damage_shape(folder):
    nib.save(nib.Nifti1Image(np.zeros((3, 3, 3), np.uint8), np.eye(4)), folder / "labelsTr" / "case_001.nii.gz")


def damage_origin(folder):
    file = folder / "labelsTr" / "case_001.nii.gz"
    affine = np.eye(4)
    affine[2, 3] = 1  # mm
    nib.save(nib.Nifti1Image(np.asanyarray(nib.load(file).dataobj).copy(), affine), file)


def damage_direction(folder):
    file = folder / "imagesTr" / "case_001.nii.gz"
    nib.save(nib.Nifti1Image(np.asanyarray(nib.load(file).dataobj).copy(), np.diag([-1.0, 1, 1, 1])), file)


def damage_twice(folder):
    record = json.loads((folder / "dataset.json").read_text())
    record["training"].append(record["training"][0])
    (folder / "dataset.json").write_text(json.dumps(record))


def damage_label(folder):
    nib.save(nib.Nifti1Image(np.full((30, 36, 5), 9, np.uint8), np.eye(4)), folder / "labelsTr" / "case_001.nii.gz")


def damage_constant(folder):
    nib.save(nib.Nifti1Image(np.ones((30, 36, 5), np.uint8), np.eye(4)), folder / "imagesTr" / "case_001.nii.gz")


def damage_file(folder):
    file = folder / "imagesTr" / "case_001.nii.gz"
    file.write_bytes(file.read_bytes()[:3000])


DAMAGES = {
    "labelsTr.case_001.nii.gz is listed in dataset.json but missing": damage_missing,
    "is not a Decathlon folder.*training": damage_json,
    "is not a Decathlon folder": damage_no_json,
    "without 'mri'": damage_modality,
    "labelsTr/case_001.nii.gz does not lie on the grid of .*imagesTr/case_001.nii.gz: its shape": damage_shape,
    "labelsTr/case_001.nii.gz does not lie on the grid of .*imagesTr/case_001.nii.gz: its origin": damage_origin,
    "case_001.nii.gz: its direction is RAS, not LAS": damage_direction,
    "lists a case twice": damage_twice,
    "case_001.nii.gz holds label value 9": damage_label,
    "case_001.nii.gz .MR. is constant": damage_constant,
    "case_001.nii.gz cannot be read": damage_file,
}


@pytest.mark.parametrize("sentence", DAMAGES)
def test_damage_is_named(tmp_path, sentence):
    DAMAGES[sentence](write_task(tmp_path, "hippocampus"))
    with pytest.raises(DataError, match=sentence):
        decathlon.load("hippocampus", tmp_path, **SIZES)


def test_offline_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="no network.*amazonaws.com/Task04_Hippocampus.tar.*MEDSYNTH_DATA"):
        decathlon.load("hippocampus", tmp_path / "new", **SIZES)


def make_tar(root, monkeypatch):
    from monai.apps import DecathlonDataset

    folder = write_task(root / "made", "hippocampus")
    tar = root / "Task04_Hippocampus.tar"
    with tarfile.open(tar, "w") as file:
        file.add(folder, arcname=folder.name)
    digest = hashlib.md5(tar.read_bytes()).hexdigest()
    monkeypatch.setitem(DecathlonDataset.md5, folder.name, digest)
    return tar


def test_download_by_monai(tmp_path, monkeypatch):
    tar = make_tar(tmp_path, monkeypatch)

    def serve(address, target, *args, **kwargs):
        assert address == "https://msd-for-monai.s3-us-west-2.amazonaws.com/Task04_Hippocampus.tar"
        shutil.copy(tar, target)

    monkeypatch.setattr("monai.apps.utils.urlretrieve", serve)
    monkeypatch.setattr("requests.head", lambda *args, **kwargs: SimpleNamespace(headers={}))
    cache = tmp_path / "new" / "cache"
    assert len(decathlon.load("hippocampus", cache, **SIZES)) == 6
    assert [file.name for file in cache.iterdir()] == ["Task04_Hippocampus"], "the tar is not kept"


def test_a_tar_put_there_by_hand_is_unpacked_by_monai(tmp_path, monkeypatch):
    tar = make_tar(tmp_path, monkeypatch)
    # What a kill in the middle of unpacking leaves behind must not be taken for the data set.
    left_over = tmp_path / "Task04_Hippocampus.part" / "Task04_Hippocampus" / "imagesTr"
    left_over.mkdir(parents=True)
    (left_over / "case_000.nii.gz").write_bytes(b"half")
    assert len(decathlon.load("hippocampus", tmp_path, **SIZES)) == 6
    assert tar.is_file() and not (tmp_path / "Task04_Hippocampus.part").exists()
    tar.unlink()
    assert len(decathlon.load("hippocampus", tmp_path, **SIZES)) == 6, "the second time needs no download"


def test_a_wrong_tar_is_refused(tmp_path, monkeypatch):
    tar = make_tar(tmp_path, monkeypatch)
    tar.write_bytes(tar.read_bytes() + b"x")
    with pytest.raises(DataError, match="hash check"):
        decathlon.load("hippocampus", tmp_path, **SIZES)
    assert tar.is_file() and not (tmp_path / "Task04_Hippocampus").exists()


REAL = Path(os.environ.get("MEDSYNTH_DATA") or "none")


@pytest.mark.skipif(not (REAL / "Task04_Hippocampus").is_dir(), reason="MEDSYNTH_DATA holds no Task04_Hippocampus")
def test_real_headers_are_accepted():
    files = decathlon.find_files(decathlon.TASKS["hippocampus"], REAL)
    for pair in files.values():
        check_grid(*pair)
    assert 30 < field_of_view([label for _, label in files.values()]) < 90


@pytest.mark.skipif(not (REAL / "Task04_Hippocampus").is_dir(), reason="MEDSYNTH_DATA holds no Task04_Hippocampus")
def test_real_hippocampus():
    slices = decathlon.load("hippocampus", REAL, **{**SIZES, "subjects": 40, "slices_per_subject": 4})
    assert len(slices) == 160 and 0.5 < slices.spacing[0] < 3
    anterior, posterior = (np.nonzero(slices.labels == k)[1].mean() for k in (1, 2))
    assert anterior < posterior, "the head of the hippocampus lies in front of its tail"


@pytest.mark.skipif(not (REAL / "Task01_BrainTumour").is_dir(), reason="MEDSYNTH_DATA holds no Task01_BrainTumour")
def test_real_brain_tumour():
    slices = decathlon.load("braintumour", REAL, **{**SIZES, "subjects": 2, "slices_per_subject": 8})
    t1, t1ce, _, flair = (slices.images[:, c] for c in range(4))
    assert (t1ce - t1)[slices.labels == 3].mean() > 0.1, "enhancing tumour takes up contrast agent"
    assert flair[slices.labels == 2].mean() > flair[(slices.labels == 0) & (t1 > -1)].mean() + 0.2
