"""Starting a notebook: parameters are checked, the profile's origin is told, seeds and records are stable."""

import json

import numpy as np
import pytest

from medsynth_lib import runs
from medsynth_lib.data.slices import DataError, SliceSet
from medsynth_lib.profiles import PROFILES


def small(**_) -> SliceSet:
    rng = np.random.default_rng(0)
    return SliceSet(
        images=rng.uniform(-1, 1, (20, 1, 8, 8)).astype(np.float32),
        labels=rng.integers(0, 2, (20, 8, 8)).astype(np.uint8),
        subjects=[f"s{i // 2}" for i in range(20)],
        channels=("x",),
        label_names=("background", "thing"),
        source="made",
    )


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSYNTH_RUNS", str(tmp_path))
    monkeypatch.delenv("MEDSYNTH_PROFILE", raising=False)
    monkeypatch.setattr(runs.registry, "load", lambda *args, **kwargs: small())


def test_unknown_values_stop_with_the_known_ones():
    with pytest.raises(
        ValueError, match="unknown profile 'dmeo'; known profiles: smoke, demo, reference, gpu, paper, family"
    ):
        runs.start("01_vae", "dmeo")
    with pytest.raises(DataError, match="phantom"):
        runs.start("01_vae", "smoke", "phantmo")
    for seed in ("0", 1.5, True, -1):
        with pytest.raises(TypeError, match="whole number"):
            runs.start("01_vae", "smoke", "phantom", seed)


def test_the_environment_replaces_only_the_default(monkeypatch, capsys):
    monkeypatch.setenv("MEDSYNTH_PROFILE", "smoke")
    assert runs.start("01_vae").profile == "smoke"
    assert "profile smoke (from MEDSYNTH_PROFILE)" in capsys.readouterr().out
    assert runs.start("01_vae", "gpu").profile == "gpu"


def test_seeds_depend_on_stage_and_run_seed_only():
    first, again, other = (runs.start("01_vae", "smoke", seed=seed) for seed in (0, 0, 1))
    assert first.seed_of("fit") == again.seed_of("fit")
    assert len({first.seed_of("fit"), first.seed_of("init"), other.seed_of("fit")}) == 3


def test_metrics_are_written_last_with_the_whole_record(tmp_path):
    run = runs.start("01_vae", "smoke")
    path = tmp_path / "smoke" / "phantom" / "seed0" / "01_vae" / "metrics.json"
    assert not path.exists()
    run.finish(answer=42)
    written = json.loads(path.read_text())
    assert written["answer"] == 42
    record = written["run"]
    assert record["settings"]["data"]["image_size"] == PROFILES["smoke"].data.image_size
    assert record["data_hash"] == small().hash() and len(record["split_hash"]) == 16
    assert {"torch", "monai", "diffusers", "python"} <= record["versions"].keys()
    assert record["wall_seconds"] >= 0 and record["commit"]
    run.publish(run.folder / "several", generator="one")
    runs.start("01_vae", "smoke")
    assert not path.exists(), "a new start takes back the old result"
    assert not (run.folder / "several" / "metrics.json").exists()


def test_parts_are_disjoint_and_the_data_are_made_once(monkeypatch):
    run = runs.start("00_data", "smoke")
    parts = [set(run.part(name).subjects) for name in ("gen_train", "holdout", "test")]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    monkeypatch.setattr(runs.registry, "load", lambda *args, **kwargs: pytest.fail("loaded twice"))
    assert run.slices().hash() == small().hash()


def test_slices_are_made_again_when_the_code_that_reads_them_changes(monkeypatch):
    run = runs.start("00_data", "smoke")
    run.slices()
    calls = []
    monkeypatch.setattr(runs.registry, "load", lambda *args, **kwargs: calls.append(1) or small())
    run.slices()
    assert not calls
    monkeypatch.setattr(runs, "package_hash", lambda part: "other code")
    run.slices()
    assert len(calls) == 1
