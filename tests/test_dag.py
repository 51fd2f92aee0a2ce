"""The whole way from nothing to a report, at smoke size and offline, through Snakemake as `make reproduce` does it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from medsynth_lib import report
from medsynth_lib.course import CORE
from medsynth_lib.generators import GENERATORS


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A copy of library and notebooks, so that the test may edit them, in a folder with spaces."""
    from conftest import ROOT

    folder = tmp_path_factory.mktemp("a house") / "med synth"
    for name in ("medsynth_lib", "notebooks", "results"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".snakemake"))
    return folder


def command(house, *more):
    offline = os.path.join(os.path.dirname(__file__), "offline")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MEDSYNTH")}
    environment |= {"PYTHONPATH": f"{house}{os.pathsep}{offline}"}
    words = [sys.executable, "-m", "medsynth_lib.reproduce", "--profile", "smoke", "--cores", "2", *more]
    return {
        "args": words,
        "cwd": house,
        "env": environment,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }


def run(house, *more):
    return subprocess.run(**command(house, *more), timeout=800)


def jobs_planned(house):
    """Notebook jobs that a dry run would start."""
    output = run(house, "--dry-run").stdout
    return {name for name in CORE if f"notebook_{name}" in output}


def test_killed_and_called_again_it_ends_with_a_report(house):
    """The first call is killed with everything it started; the second one goes on and finishes."""
    folder = house / "runs" / "smoke" / "phantom" / "seed0"
    first = subprocess.Popen(**command(house), start_new_session=True)
    deadline = time.monotonic() + 300
    while not (folder / "05_ddpm" / "log.txt").is_file() and time.monotonic() < deadline:
        time.sleep(0.5)  # until Snakemake has noted 00_data as done and generators have begun
    time.sleep(2)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    made = (folder / "00_data" / "metrics.json").stat().st_mtime
    done = run(house)
    assert done.returncode == 0, done.stdout[-4000:]
    assert (folder / "00_data" / "metrics.json").stat().st_mtime == made, "finished notebooks are kept"
    assert "ratio synthetic/real" in done.stdout and str(folder / "report.html") in done.stdout

    written = json.loads((folder / "report.json").read_text())
    assert {"profile", "data", "seed", "versions", "commit", "data_hash", "split_hash"} <= written["run"].keys()
    elsewhere = {"ddpm", "spatial_diffusion", "class_diffusion", "patch_diffusion"}  # only raced, or outside the core
    assert {record["generator"] for record in written["generators"]} == set(GENERATORS) - elsewhere
    for record in written["generators"]:
        assert {key for _, key, _ in report.COLUMNS} | {"train_images"} <= record.keys()
        for name in ("dice_real", "dice_synthetic", "dice_both", "dice_ratio"):
            assert {"mean", "ci95"} <= record[name].keys()
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64") >= 8
    for name in CORE:
        assert (folder / name / "executed.ipynb").is_file() and (folder / name / "log.txt").stat().st_size > 0


def test_a_generator_of_the_finished_run_is_released(house):
    """By force, for at smoke size an audit may say anything; the refusal has its own tests."""
    whole = command(house)
    whole["args"] = [sys.executable, "-m", "medsynth_lib.release", "edm", "--profile", "smoke", "--force"]
    done = subprocess.run(**whole, timeout=120)
    folder = house / "runs" / "smoke" / "phantom" / "seed0" / "release" / "edm"
    assert done.returncode == 0 and str(folder) in done.stdout
    listed = json.loads((folder / "dataset.json").read_text())["training"]
    assert len(listed) == 48 and all((folder / pair["label"]).is_file() for pair in listed)
    assert "## What they are worth" in (folder / "README.md").read_text()


def edit(house, name, kind, text):
    path = house / "notebooks" / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    cell = next(cell for cell in notebook.cells[4:] if cell.cell_type == kind)
    cell.source += text
    nbformat.write(notebook, path)


def test_prose_reruns_nothing_and_code_reruns_what_depends_on_it(house):
    assert jobs_planned(house) == set()
    edit(house, "05_ddpm", "markdown", "\n\nAnother sentence.")
    edit(house, "05_ddpm", "code", "\n# another comment")
    assert jobs_planned(house) == set()
    edit(house, "05_ddpm", "code", "\nanother = 1")
    assert jobs_planned(house) == {"05_ddpm", "06_segmentation", "07_evaluation"}


def test_a_failure_names_notebook_reason_and_log(house):
    edit(house, "05_ddpm", "code", "\nraise ValueError('planted for the test')")
    done = run(house)
    assert done.returncode == 1
    assert "05_ddpm did not finish" in done.stdout and "planted for the test" in done.stdout
    assert "partial notebook" in done.stdout
    assert (house / "runs/smoke/phantom/seed0/05_ddpm/executed.ipynb").is_file()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--data", "nothing"), "phantom"),
        (("--notebooks", "99"), "unknown notebook '99'; known: core, all, 00"),
        (("--profile", "huge"), "known profiles: smoke, demo, reference, gpu, paper, family"),
    ],
)
def test_unknown_requests_list_the_known(house, more, words):
    done = run(house, *more)
    assert done.returncode == 2 and words in done.stdout
