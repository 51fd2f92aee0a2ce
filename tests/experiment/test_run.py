"""Starting a notebook: parameters are checked, the profile's origin is told, seeds and records are stable."""

import json
import os

import numpy as np
import pytest

from medsynth_lib.core.checkpoints import CheckpointError
from medsynth_lib.data.slices import DataError, SliceSet
from medsynth_lib.evaluation import report
from medsynth_lib.experiment import run as runs
from medsynth_lib.experiment.profiles import PROFILES


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


def everything_in(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_start_deletes_nothing(tmp_path):
    run = runs.start("03_stylegan", "smoke")
    run.register(run.folder / "stylegan2", generator="stylegan2")
    run.finish(answer=42)
    before = everything_in(tmp_path)
    assert {"metrics.json", "done.json"} <= {path.name for path in before}
    for _ in range(2):
        runs.start("03_stylegan", "smoke")
    assert everything_in(tmp_path) == before


def test_a_kill_before_the_end_leaves_the_old_result(tmp_path, monkeypatch):
    """In the middle of the second execution, and while it writes the new result."""
    runs.start("01_vae", "smoke").finish(answer=42)
    path = tmp_path / "smoke" / "phantom" / "seed0" / "01_vae" / "metrics.json"
    before = everything_in(tmp_path)

    def killed(*_):
        raise KeyboardInterrupt

    for place in ("record", None):
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            run = runs.start("01_vae", "smoke")
            patched.setattr(runs.Run, "record", killed) if place else patched.setattr("os.replace", killed)
            run.finish(answer=43)
        left = everything_in(tmp_path)
        assert {path: left[path] for path in before} == before
    runs.start("01_vae", "smoke").finish(answer=43)
    assert json.loads(path.read_text())["answer"] == 43


def test_a_generator_that_was_left_out_is_no_longer_a_result_once_the_others_are_there():
    run = runs.start("03_stylegan", "smoke")
    for name in ("progan", "stylegan2"):
        run.register(run.folder / name, generator=name)
    (run.folder / "progan" / "weights.safetensors").write_bytes(b"weights")
    run.finish(table=1)
    again = runs.start("03_stylegan", "smoke")
    again.register(again.folder / "stylegan2", generator="stylegan2")
    assert report.generators_in(run.root).keys() == {"progan", "stylegan2"}, "until the end the old ones stand"
    again.finish(table=2)
    assert report.generators_in(run.root).keys() == {"stylegan2"}
    assert (run.folder / "progan" / "weights.safetensors").is_file()


def test_smoke_is_deterministic_on_a_gpu_too(monkeypatch):
    """cuBLAS reads the variable when its first product is computed; a value of the user's own stands."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "to be restored")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    seen = []
    monkeypatch.setattr(
        "torch.use_deterministic_algorithms", lambda *_, **__: seen.append(os.environ.get("CUBLAS_WORKSPACE_CONFIG"))
    )
    runs.start("01_vae", "smoke")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    runs.start("01_vae", "smoke")
    assert seen == [":4096:8", ":16:8"]


def test_a_run_hashes_its_slices_once(monkeypatch):
    calls, digest = [], SliceSet._digest
    monkeypatch.setattr(SliceSet, "_digest", lambda self: calls.append(1) or digest(self))
    run = runs.start("00_data", "smoke")
    run.part("gen_train"), run.part("test"), run.record()
    runs.start("01_vae", "smoke").finish(hash=run.data_hashes())
    assert len(calls) == 1, "when they were saved"


def test_slices_that_were_written_to_are_other_data():
    run = runs.start("00_data", "smoke")
    before, path = run.data_hashes(), run.folder / "slices" / "images.npy"
    path.write_bytes(path.read_bytes()[:-4] + np.float32(0.123).tobytes())
    assert run.data_hashes() != before
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DataError, match="not a readable slice set"):
        run.data_hashes()


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


# ---- files of the user that change
@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder of the user's, read by the stand-in `small`, and how often that was called."""
    for name in ("images/a.png", "images/b.png", "labels/a.png", "labels/b.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_text(name)
    calls = []
    monkeypatch.setattr(runs.registry, "load", lambda *args, **kwargs: calls.append(1) or small())
    return tmp_path / "set", calls


def test_00_makes_the_slices_anew_when_files_changed_and_others_say_so(own, capsys):
    folder, calls = own
    data = f"folder:{folder}"
    runs.start("00_data", "smoke", data).slices()
    later = runs.start("01_vae", "smoke", data)
    later.slices()
    (folder / "labels" / "b.png").write_text("mended")
    (folder / "images" / "c.png").write_text("new")
    for run in (later, runs.start("06_segmentation", "smoke", data)):
        for use in (run.slices, run.split, run.data_hashes, lambda run=run: run.part("holdout")):
            with pytest.raises(DataError, match="images/c.png and 1 more file of folder:.*/set changed, .*run 00_data"):
                use()
    assert len(calls) == 1
    capsys.readouterr()
    runs.start("00_data", "smoke", data).slices()
    assert len(calls) == 2 and "since the slices were made: they are made anew" in capsys.readouterr().out
    runs.start("06_segmentation", "smoke", data).slices()
    assert len(calls) == 2


def test_within_one_execution_of_00_the_slices_stay_the_same(own):
    folder, calls = own
    run = runs.start("00_data", "smoke", f"folder:{folder}")
    run.slices()
    (folder / "subjects.csv").write_text("file,subject")
    with pytest.raises(DataError, match="subjects.csv of folder:.* changed, .* run 00_data again"):
        run.split()


def test_files_that_change_while_they_are_read_are_noticed(own, monkeypatch):
    folder, _ = own
    run = runs.start("00_data", "smoke", f"folder:{folder}")
    monkeypatch.setattr(
        runs.registry, "load", lambda *args, **kwargs: (folder / "labels" / "a.png").write_text("now") and small()
    )
    run.slices()
    with pytest.raises(DataError, match="labels/a.png"):
        run.split()


def test_a_folder_may_be_named_from_where_one_is(own, monkeypatch):
    folder, _ = own
    monkeypatch.chdir(folder.parent)
    run = runs.start("00_data", "smoke", "folder:set")
    run.slices()
    monkeypatch.chdir(folder)
    assert run.slices() and run.data == f"folder:{folder.resolve()}"
    assert runs.start("01_vae", "smoke", f"folder:{folder}").root == run.root


def test_the_folder_of_runs_may_be_relative(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSYNTH_RUNS", "my {runs}")
    monkeypatch.chdir(tmp_path)
    assert runs.run_folder("smoke", "phantom", 0) == (tmp_path / "my {runs}/smoke/phantom/seed0").resolve()


@pytest.mark.parametrize("threads", ["0", "-1", "two", "1.5"])
def test_a_number_of_threads_that_is_none_is_refused(monkeypatch, threads):
    monkeypatch.setenv("MEDSYNTH_THREADS", threads)
    with pytest.raises(ValueError, match=f"MEDSYNTH_THREADS is '{threads}'; set it to a whole number from 1 on"):
        runs.start("01_vae", "smoke")


def test_a_folder_of_runs_that_cannot_be_made_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MEDSYNTH_RUNS", str(tmp_path / "file" / "runs"))
    with pytest.raises(CheckpointError, match="01_vae cannot be made .* set MEDSYNTH_RUNS to a folder that you"):
        runs.start("01_vae", "smoke")


def test_data_that_are_not_enough_are_refused_before_a_training_but_can_be_looked_at(own, monkeypatch):
    folder, calls = own
    monkeypatch.setattr(runs.registry, "load", lambda *args, **kwargs: calls.append(1) or small().select(np.arange(8)))
    run = runs.start("01_vae", "smoke", f"folder:{folder}")
    for _ in range(2):
        with pytest.raises(DataError, match="for training .gen_train., but 01_vae needs at least 8"):
            run.part("gen_train")
    assert len(runs.start("00_data", "smoke", f"folder:{folder}").part("gen_train")) == 4 and len(calls) == 1
