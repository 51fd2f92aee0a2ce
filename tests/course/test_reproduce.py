"""What `make reproduce` looks at before and after Snakemake: which jobs are done, and which of them failed."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from medsynth_lib.core.checkpoints import CheckpointError
from medsynth_lib.core.locks import LOCK
from medsynth_lib.course import reproduce, scheduler
from medsynth_lib.data.slices import DataError, SliceSet
from medsynth_lib.experiment import finished, source
from medsynth_lib.experiment.run import run_folder


def samples(value):
    images = np.full((4, 1, 8, 8), value, np.float32)
    return SliceSet(images=images, subjects=list("abcd"), channels=("x",), source="made")


@pytest.fixture
def folder(tmp_path):
    """Three jobs that are done: a notebook with a generator, one with a generator in a folder below, an arm."""
    for job in ("05_ddpm", "05_ddpm/latent_diffusion", "06_segmentation", "arms/unet/real/0", "own/edm9/0"):
        (tmp_path / job).mkdir(parents=True, exist_ok=True)
        if "05" in job:
            samples(0.5).save(tmp_path / job / "samples")
            (tmp_path / job / "config.json").write_text('{"key": "k"}')
        metrics = {"job": job, "describes": finished.described(tmp_path / job)}
        (tmp_path / job / "metrics.json").write_text(json.dumps(metrics))
        (tmp_path / job / "log.txt").write_text(f"last words of {job}\n")
        if job != "05_ddpm/latent_diffusion":
            finished.mark_done(tmp_path / job)
    return tmp_path


def done(folder):
    return {str(note.parent.relative_to(folder)) for note in folder.rglob("done.json")}


ALL = {"05_ddpm", "06_segmentation", "arms/unet/real/0", "own/edm9/0"}


def test_what_is_as_it_was_stays_done(folder, capsys):
    reproduce.forget_changed(folder, "phantom")
    assert done(folder) == ALL and capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("change", "job"),
    [
        (lambda f: samples(0.1).save(f / "05_ddpm" / "samples"), "05_ddpm"),
        (lambda f: samples(0.1).save(f / "05_ddpm" / "latent_diffusion" / "samples"), "05_ddpm"),
        (lambda f: (f / "05_ddpm" / "config.json").write_text('{"key": "other"}'), "05_ddpm"),
        (lambda f: (f / "05_ddpm" / "samples" / "images.npy").write_bytes(b"damaged"), "05_ddpm"),
        (lambda f: (f / "06_segmentation" / "metrics.json").write_text("{}"), "06_segmentation"),
        (lambda f: (f / "arms" / "unet" / "real" / "0" / "metrics.json").unlink(), "arms/unet/real/0"),
        (lambda f: (f / "arms" / "unet" / "real" / "0" / "done.json").write_text("{"), "arms/unet/real/0"),
        (lambda f: (f / "own" / "edm9" / "0" / "metrics.json").unlink(), "own/edm9/0"),
    ],
)
def test_what_changed_since_runs_again(folder, change, job, capsys):
    change(folder)
    reproduce.forget_changed(folder, "phantom")
    assert done(folder) == ALL - {job}
    assert f"{job} changed since it was finished, and runs again" in capsys.readouterr().out


def test_when_files_of_the_source_changed_the_data_are_made_anew(folder, tmp_path, capsys):
    (tmp_path / "set" / "labels").mkdir(parents=True)
    (tmp_path / "set" / "labels" / "a.png").write_text("mask")
    data = f"folder:{tmp_path / 'set'}"
    (folder / "00_data").mkdir()
    (folder / "00_data" / "metrics.json").write_text("{}")
    finished.mark_done(folder / "00_data")
    source.remember(folder / "00_data", source.seen(data))
    capsys.readouterr()
    reproduce.forget_changed(folder, data)
    assert done(folder) == {*ALL, "00_data"} and capsys.readouterr().out == ""
    (tmp_path / "set" / "labels" / "a.png").write_text("mended")
    reproduce.forget_changed(folder, data)
    assert done(folder) == ALL
    assert "labels/a.png of folder:" in (told := capsys.readouterr().out) and "it runs again" in told


def test_a_job_that_failed_is_named_although_its_old_result_is_there(folder, capsys):
    names = ["05_ddpm", "06_segmentation"]
    reproduce.tell_failure(folder, names)
    assert "did not finish" not in capsys.readouterr().out
    for job in ("05_ddpm", "arms/unet/real/0"):
        (folder / job / "done.json").unlink()
    reproduce.tell_failure(folder, names)
    text = capsys.readouterr().out
    assert "05_ddpm did not finish: last words of 05_ddpm" in text
    assert "arms/unet/real/0 did not finish: last words of arms/unet/real/0" in text
    assert "06_segmentation did not" not in text


def test_a_full_disk_is_the_reason_whatever_the_logs_say(folder, monkeypatch, capsys):
    monkeypatch.setattr(reproduce.disk, "is_full", lambda path: path == folder)
    reproduce.tell_failure(folder, ["05_ddpm"])
    assert f"the disk of {folder} is full; free space" in capsys.readouterr().out


def test_a_request_is_resolved_before_jobs_run_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSYNTH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(scheduler.subprocess, "run", lambda words: SimpleNamespace(returncode=0))
    (tmp_path / "my {set}").mkdir()
    monkeypatch.chdir(tmp_path)
    assert reproduce.main(["--profile", "smoke", "--notebooks", "00", "--data", "folder:my {set}"]) == 0
    (config,) = (tmp_path / "runs").glob("*/*/*/config.json")
    assert json.loads(config.read_text())["data"] == f"folder:{(tmp_path / 'my {set}').resolve()}"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--notebooks", "01 06"], 'NOTEBOOKS="00 01 05 06"'),
        (["--data", "folder:nowhere"], "nowhere does not exist"),
        (["--notebooks", "12", "--data", "hippocampus"], "needs simulated subjects"),
    ],
)
def test_what_cannot_run_is_refused_before_a_folder_is_made(tmp_path, monkeypatch, capsys, words, sentence):
    monkeypatch.setenv("MEDSYNTH_RUNS", str(tmp_path / "runs"))
    assert reproduce.main(["--profile", "smoke", *words]) == 2
    told = capsys.readouterr().out
    assert sentence in told and len(told.splitlines()) == 1 and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("write_json", CheckpointError("config.json could not be written (No space left on device); free space.")),
        ("forget_changed", DataError("images/a.png cannot be read (Permission denied); check that you may read it.")),
    ],
)
def test_what_fails_before_the_first_job_is_told_in_its_sentence(tmp_path, monkeypatch, capsys, step, error):
    def fail(*_):
        raise error

    monkeypatch.setenv("MEDSYNTH_RUNS", str(tmp_path))
    monkeypatch.setattr(reproduce, step, fail)
    assert reproduce.main(["--profile", "smoke", "--notebooks", "00"]) == 2
    assert capsys.readouterr().out == f"{error}\n"


HOLD = """
import sys
from pathlib import Path
from medsynth_lib.core.locks import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("name", [LOCK, scheduler.LOCK])
def test_one_run_at_a_time_in_a_folder(tmp_path, monkeypatch, capsys, root, name):
    """Also when only the Snakemake of a killed call lives on. Once its holder has ended, the folder is free."""
    monkeypatch.setenv("MEDSYNTH_RUNS", str(tmp_path))
    monkeypatch.setattr(scheduler.subprocess, "run", lambda words: SimpleNamespace(returncode=0))
    words = ["--profile", "smoke", "--notebooks", "00"]
    folder = run_folder("smoke", "phantom", 0)
    folder.mkdir(parents=True)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": root}
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder / name)], **pipes) as other:
        assert other.stdout.readline() == "held\n"
        assert reproduce.main(words) == 2
        assert f"is using {folder}; wait for it or choose another SEED" in capsys.readouterr().out
        assert not (folder / "config.json").exists()
        other.kill()
    assert reproduce.main(words) == 0 and (folder / "config.json").is_file()


def test_snakemake_is_told_the_folder_and_holds_its_lock(tmp_path, monkeypatch):
    given = []

    def snakemake(words):
        given.extend(words)
        assert scheduler.is_at_work(tmp_path)
        raise SystemExit(0)

    monkeypatch.setattr("snakemake.cli.main", snakemake)
    with pytest.raises(SystemExit):
        scheduler.main([str(tmp_path), *scheduler.words(tmp_path, 3, "--dry-run")])
    assert given[given.index("--cores") + 1] == "3" and str(tmp_path / "config.json") in given
    assert not scheduler.is_at_work(tmp_path)
