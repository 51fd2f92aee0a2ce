"""What is released opens in the field's own reader, says what was measured, and copies stay at home."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from monai.apps import DecathlonDataset
from monai.transforms import LoadImaged

from medsynth_lib.data import preprocess as pre
from medsynth_lib.data.slices import SliceSet
from medsynth_lib.evaluation import release
from medsynth_lib.evaluation.report import ReportError
from medsynth_lib.metrics import memorization

INTERVAL = {"mean": 0.8, "ci95": [0.79, 0.81], "n": 5}
RECORD = {
    "generator": "edm",
    "train_code": "abc",
    "train_seconds": 61.5,
    "train_images": 1000,
    "train_unique_images": 10,
    **{name: INTERVAL for name in ("dice_real", "dice_synthetic", "dice_both", "dice_ratio")},
    "dice_ratio_of_labels": {"mean": 0.61, "ci95": [0.59, 0.63], "n": 5},
    "labels_fit_ratio": 0.47,
    **{f"times_floor_{space}": 2.0 for space in ("wavelets", "radiomics", "encoder")},
    "copies_flagged_percent": 1.5,
    "copies_ci95": [0.4, 3.1],
    "cosine_flagged_percent": 0.9,
    "cosine_ci95": [0.1, 2.2],
    "membership_auc": {"mean": 0.55, "ci95": [0.5, 0.6]},
    "membership_control": [0.41, 0.6],
    "copies_expected_percent": 1.0,
    "planted_copies_found_percent": {"exact": 100.0, "rotation": 3.0},
    "masks": {
        f"{kind}_percent{of}": value for kind, value in (("empty", 20.0), ("impossible", 2.0)) for of in ("", "_real")
    },
}
RUN = {
    "profile": "smoke",
    "data": "phantom",
    "seed": 0,
    "commit": "c0ffee",
    "data_hash": "d1",
    "split_hash": "s1",
    "versions": {"torch": "2"},
    "subjects": {"gen_train": 6, "test": 5},
}


def samples(channels=2):
    rng = np.random.default_rng(0)
    return SliceSet(
        images=rng.uniform(-1, 1, (3, channels, 8, 8)).astype(np.float32),
        labels=rng.integers(0, 2, (3, 8, 8)).astype(np.uint8),
        subjects=[f"edm-{k}" for k in range(3)],
        channels=("T1", "T2")[:channels],
        label_names=("background", "lesion"),
        spacing=(2.0, 3.0),
        source="phantom / edm",
        licence="a licence",
        intended_use="teaching",
    )


@pytest.fixture
def run(tmp_path):
    """A finished run in a folder with a space."""

    def make(slices=None, **changes):
        folder = tmp_path / "my runs" / "seed0"
        generator = folder / "05_ddpm"
        generator.mkdir(parents=True)
        (slices or samples()).save(generator / "samples")
        metrics = {"generator": "edm", "training": {"code": "abc", "seconds": 61.5}}
        (generator / "metrics.json").write_text(json.dumps(metrics))
        (folder / "report.json").write_text(json.dumps({"run": RUN, "generators": [{**RECORD, **changes}]}))
        return folder

    return make


def test_the_folders_above_the_users_data_are_not_given_away():
    description = release.description(samples(), [], "edm", {**RUN, "data": "folder:/home/anna/scans"})
    assert description["name"] == "synthetic folder:scans slices by edm"
    assert "anna" not in json.dumps(description)


@pytest.mark.parametrize("channels", [1, 2])
def test_monai_reads_it_and_the_pixels_come_back(run, channels, tmp_path):
    slices = samples(channels)
    folder = release.release(run(slices), "edm")
    (tmp_path / "Task01_BrainTumour").symlink_to(folder)  # its reader knows the ten official names only
    task = DecathlonDataset(
        tmp_path, "Task01_BrainTumour", "training", LoadImaged(["image", "label"]), val_frac=0, num_workers=0
    )
    assert len(task) == 3
    assert np.asarray(task[0]["label"]).shape == (8, 8, 1)
    files = json.loads((folder / "dataset.json").read_text())["training"]
    for k, pair in enumerate(files):
        voxels, spacing = pre.read_nifti(folder / pair["image"])
        label, _ = pre.read_nifti(folder / pair["label"])
        voxels = voxels[..., None] if channels == 1 else voxels
        assert np.allclose(
            pre.to_axial(np.moveaxis(voxels, -1, 0))[0], slices.images[k], atol=1.1 / release.INTENSITY_STEPS
        )
        assert np.array_equal(pre.to_axial(label)[0], slices.labels[k])
        assert spacing == (3.0, 2.0, 1.0)


def test_the_card_says_what_was_measured_and_the_sums_hold(run):
    folder = release.release(run(), "edm")
    card = (folder / "README.md").read_text()
    for words in (
        "0.800 [0.790, 0.810]",
        "1.5 % [0.4, 3.1]",
        "a licence",
        "exact 100 %",
        "6 subjects",
        "c0ffee",
        "0.610 [0.590, 0.630]",
        "0.47 times",
    ):
        assert words in card
    assert "force" not in card
    listed = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} - {"SHA256SUMS"}
    assert listed.keys() == files and len(files) == 8
    assert all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == listed[name] for name in files)


def test_what_was_not_measured_is_a_dash_in_the_card(run):
    """A generator that got no arms in 06, whose masks are all empty."""
    unknown = {name: None for name in ("dice_synthetic", "dice_both", "dice_ratio", "dice_ratio_of_labels")}
    folder = release.release(run(**unknown, masks={**RECORD["masks"], "impossible_percent": None}), "edm")
    text = (folder / "README.md").read_text()
    assert "| - | - | - |" in text and "masks - % (real 2.0 %), empty ones 20.0 %" in text.replace("\n", " ")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"copies_flagged_percent": 20.0, "copies_ci95": [12.0, 30.0]}, "flags 20.0 % as copies"),
        ({"planted_copies_found_percent": {"exact": 40.0}}, "only 40 % of the exact copies"),
    ],
)
def test_copies_are_refused_and_force_is_written_down(run, changes, words):
    folder = run(**changes)
    with pytest.raises(release.ReleaseError, match=words):
        release.release(folder, "edm")
    assert not (folder / "release").exists()
    card = (release.release(folder, "edm", force=True) / "README.md").read_text()
    assert "Released by force" in card and words in card


def test_samples_without_masks_are_refused_even_by_force(run):
    with pytest.raises(release.ReleaseError, match="no masks"):
        release.release(run(replace(samples(), labels=None)), "edm", force=True)


def test_a_wrong_name_a_stale_report_and_no_report_are_told(run, capsys, monkeypatch):
    folder = run()
    with pytest.raises(ReportError, match="known: edm"):
        release.release(folder, "gan")
    metrics = {"generator": "edm", "training": {"code": "new", "seconds": 61.5}}
    (folder / "05_ddpm" / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(ReportError, match="07_evaluation again"):
        release.release(folder, "edm")
    (folder / "report.json").unlink()
    monkeypatch.setattr("medsynth_lib.evaluation.release.run_folder", lambda *_: folder)
    assert release.main(["edm"]) == 2
    assert "run make reproduce first" in capsys.readouterr().out


def test_samples_that_are_not_the_audited_ones_are_refused(run):
    """Sampled again by a run that did not finish, or reported before they were sampled."""
    samples_hash = samples().hash()
    folder = run(samples_hash=samples_hash)
    metrics = json.loads((folder / "05_ddpm" / "metrics.json").read_text()) | {
        "describes": {"samples_hash": samples_hash}
    }
    (folder / "05_ddpm" / "metrics.json").write_text(json.dumps(metrics))
    assert release.release(folder, "edm")
    others = replace(samples(), images=-samples().images)
    others.save(folder / "05_ddpm" / "samples")
    with pytest.raises(ReportError, match="did not finish"):
        release.release(folder, "edm")
    metrics["describes"] = {"samples_hash": others.hash()}
    (folder / "05_ddpm" / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(ReportError, match="07_evaluation again"):
        release.release(folder, "edm")


def test_a_full_disk_is_told_and_leaves_no_half_release(run, capsys, monkeypatch):
    folder = run()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medsynth_lib.evaluation.release.run_folder", lambda *_: folder)
    monkeypatch.setattr("nibabel.save", full)
    assert release.main(["edm"]) == 2
    assert "No space left on device" in capsys.readouterr().out
    assert not (folder / "release" / "edm").exists()


def test_planted_copies_from_the_audit_itself_are_refused(run):
    """The whole way: samples that are training slices, the audit's own numbers, a refusal."""
    rng = np.random.default_rng(1)
    images = rng.uniform(-1, 1, (40, 2, 8, 8)).astype(np.float32)
    labels = np.ones((40, 8, 8), np.uint8)
    whole = SliceSet(
        images=images,
        labels=labels,
        subjects=[str(k) for k in range(40)],
        channels=("T1", "T2"),
        label_names=("background", "lesion"),
    )
    training, holdout = whole.select(np.arange(20)), whole.select(np.arange(20, 40))
    audit = memorization.copy_audit(np.array(training.images), training, holdout, 0)["smooth"]
    changes = {"copies_flagged_percent": audit["percent"], "copies_ci95": list(audit["ci95"])}
    with pytest.raises(release.ReleaseError, match="as copies"):
        release.release(run(**changes), "edm")
