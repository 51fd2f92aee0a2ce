"""The whole way from nothing to a report, at smoke size and offline, through Snakemake as `make reproduce` does it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from medsynth_lib.course.notebooks import CORE
from medsynth_lib.evaluation import report
from medsynth_lib.experiment.profiles import PROFILES
from medsynth_lib.models.registry import METHODS
from medsynth_lib.studies.segmentation_plan import folder_name, held_bytes, jobs, own_generators

SMOKE = PROFILES["smoke"].segmentation
GENERATORS_OF_06 = SMOKE.compared


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A copy of library and notebooks, so that the test may edit them, in a folder with spaces and braces."""
    from conftest import ROOT

    folder = tmp_path_factory.mktemp("a {house}") / "med synth"
    for name in ("medsynth_lib", "notebooks", "results"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".snakemake"))
    return folder


def command(house, *more):
    offline = os.path.join(os.path.dirname(__file__), "offline")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MEDSYNTH")}
    environment |= {"PYTHONPATH": f"{house}{os.pathsep}{offline}"}
    words = [sys.executable, "-m", "medsynth_lib", "reproduce", "--profile", "smoke", "--cores", "2", *more]
    return {
        "args": words,
        "cwd": house,
        "env": environment,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }


def run(house, *more):
    return subprocess.run(**command(house, *more), timeout=1500)


def jobs_planned(house):
    """Notebook jobs that a dry run would start, and "arm" for trainings of the comparison."""
    output = run(house, "--dry-run").stdout
    return {name for name in CORE if f"notebook_{name}" in output} | {"arm" for _ in re.findall(r"^arm ", output, re.M)}


def killed_when(house, path):
    """Begin, and kill everything that was started two seconds after the file at `path` has appeared."""
    begun = subprocess.Popen(**command(house), start_new_session=True)
    deadline = time.monotonic() + 900  # a busy machine starts notebook 05 late
    while not path.is_file() and time.monotonic() < deadline:
        time.sleep(0.5)
    assert path.is_file()
    time.sleep(2)
    os.killpg(begun.pid, signal.SIGKILL)
    begun.communicate()


def test_killed_twice_and_called_again_it_ends_with_a_report(house):
    """Killed among the generators, then among the comparison's trainings; the third call goes on and finishes."""
    folder = house / "runs" / "smoke" / "phantom" / "seed0"
    killed_when(house, folder / "05_ddpm" / "log.txt")
    killed_when(house, folder / "arms" / "unet" / "edm_only" / "0" / "log.txt")
    found = [*folder.glob("*/done.json"), *folder.glob("arms/*/*/*/done.json")]
    found += [path.with_name("metrics.json") for path in found]
    made = {path: path.stat().st_mtime for path in found if path.stat().st_mtime < time.time() - 2}  # and so noted
    assert {folder / "00_data" / "metrics.json", folder / "05_ddpm" / "metrics.json"} <= made.keys()
    assert not (folder / "06_segmentation" / "metrics.json").is_file()
    planned = jobs(SMOKE, GENERATORS_OF_06)
    missing = [job for job in planned if not (folder / job.path / "done.json").is_file()]
    done = run(house)
    assert done.returncode == 0, done.stdout[-4000:]
    assert all(path.stat().st_mtime == then for path, then in made.items()), "what was finished is kept"
    assert missing and all(f"[{folder_name(job.arm)} {job.k}] " in done.stdout for job in missing)
    assert "are missing and will be run now" not in done.stdout
    assert len(list(folder.glob("arms/*/*/*/metrics.json"))) == len(planned)
    own = own_generators(SMOKE, GENERATORS_OF_06)
    assert own and all((folder / one.path / "log.txt").is_file() for one in own), "made by jobs of their own"
    assert all((folder / one.path / "done.json").is_file() for one in own)
    assert "ratio synthetic/real" in done.stdout and str(folder / "report.html") in done.stdout

    written = json.loads((folder / "report.json").read_text())
    assert {"profile", "data", "seed", "versions", "commit", "data_hash", "split_hash"} <= written["run"].keys()
    elsewhere = {"ddpm", "spatial_diffusion", "class_diffusion", "patch_diffusion"}  # only raced, or outside the core
    assert {record["generator"] for record in written["generators"]} == set(METHODS["generator"]) - elsewhere
    for record in written["generators"]:
        assert {key for _, key, _ in report.COLUMNS} | {"train_images"} <= record.keys()
        for name in ("dice_real", "dice_synthetic", "dice_both", "dice_ratio"):
            if record["generator"] in GENERATORS_OF_06:
                assert {"mean", "ci95"} <= record[name].keys()
            else:
                assert record[name] is None, "it got no arms in this profile"
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64") >= 8
    for name in CORE:
        assert (folder / name / "executed.ipynb").is_file() and (folder / name / "log.txt").stat().st_size > 0


def kept_outputs(path):
    """The text that the cells tagged keep_output printed."""
    cells = [c for c in nbformat.read(path, as_version=4).cells if "keep_output" in c.metadata.get("tags", [])]
    return [output["text"] for cell in cells for output in cell.outputs if output.output_type == "stream"]


@pytest.mark.parametrize("name", CORE)
def test_what_a_notebook_prints_is_what_it_shows_on_the_page(house, name):
    """The outputs that are stored in the notebooks are those of this run (tests/test_notebooks.py: the other ones)."""
    stored = kept_outputs(house / "notebooks" / f"{name}.ipynb")
    assert stored and kept_outputs(house / "runs/smoke/phantom/seed0" / name / "executed.ipynb") == stored


def test_a_generator_of_the_finished_run_is_released(house):
    """By force, for at smoke size an audit may say anything; the refusal has its own tests."""
    whole = command(house)
    whole["args"] = [sys.executable, "-m", "medsynth_lib", "release", "edm", "--profile", "smoke", "--force"]
    done = subprocess.run(**whole, timeout=120)
    folder = house / "runs" / "smoke" / "phantom" / "seed0" / "release" / "edm"
    assert done.returncode == 0 and str(folder) in done.stdout
    listed = json.loads((folder / "dataset.json").read_text())["training"]
    assert len(listed) == 48 and all((folder / pair["label"]).is_file() for pair in listed)
    assert "## Usefulness and fidelity" in (folder / "README.md").read_text()


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
    assert jobs_planned(house) == {"05_ddpm", "arm", "06_segmentation", "07_evaluation"}


def results(house, where):
    return {path: path.read_bytes() for path in (house / "runs/smoke/phantom/seed0").glob(f"{where}/metrics.json")}


def test_a_failure_names_notebook_reason_and_log_and_leaves_the_old_results(house):
    before = {where: results(house, where) for where in ("*", "arms/*/*/*")}
    assert len(before["*"]) == len(CORE)
    edit(house, "05_ddpm", "code", "\nraise ValueError('planted for the test')")
    done = run(house)
    assert done.returncode == 1
    assert "05_ddpm did not finish" in done.stdout and "planted for the test" in done.stdout
    assert "partial notebook" in done.stdout
    folder = house / "runs/smoke/phantom/seed0/05_ddpm"
    assert (folder / "executed.ipynb").is_file() and not (folder / "done.json").exists()
    assert {where: results(house, where) for where in before} == before


def test_a_notebook_that_ends_with_the_same_samples_trains_no_arm_again(house):
    """The notebook of the test above without its planted error, and so with other code than at first."""
    before, arms = results(house, "*"), results(house, "arms/*/*/*")
    path = house / "notebooks" / "05_ddpm.ipynb"
    path.write_text(path.read_text().replace("raise ValueError('planted for the test')", "another = 2"))
    done = run(house)
    assert done.returncode == 0, done.stdout[-4000:]
    assert done.stdout.count("is there already, made from the same slices by the same code") > 2
    assert results(house, "arms/*/*/*") == arms and "are missing and will be run now" not in done.stdout
    changed = {path.parent.name for path, content in results(house, "*").items() if content != before[path]}
    assert changed == {"05_ddpm", "06_segmentation", "07_evaluation"}
    assert jobs_planned(house) == set()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--data", "nothing"), "phantom"),
        (("--notebooks", "99"), "unknown notebook '99'; known: core, all, 00"),
        (("--segmenters", "vit"), "unknown segmenter 'vit'; known segmenters: unet, dynunet, swin"),
        (("--segmenters", "swin"), "images of 32 pixels do not fit the Swin transformer"),
        (("--profile", "huge"), "known profiles: smoke, demo, reference, gpu, paper, family"),
    ],
)
def test_unknown_requests_list_the_known(house, more, words):
    done = run(house, *more)
    assert done.returncode == 2 and words in done.stdout


def test_the_paper_is_planned_on_brats_without_running_it(house, tmp_path, monkeypatch):
    """22 arms x 10 trainings x 2 segmenters, each a job of its own; the speed is made up here."""
    (tmp_path / "{3F25} br{a}ts").mkdir()
    stub = house / "medsynth_lib" / "studies" / "estimate.py"
    text = stub.read_text()
    stub.write_text(text + "\n\ndef images_per_second(*_):\n    return 1_000.0, 1_000_000\n")
    done = run(house, "--profile", "paper", "--data", "brats:" + str(tmp_path / "{3F25} br{a}ts"), "--dry-run")
    stub.write_text(text)
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"^arm +440$", done.stdout, re.M)
    assert "22 arms, 440 trainings of 32,000,016 images each" in done.stdout
    assert "dynunet: 220 trainings" in done.stdout and "swin: 220 trainings" in done.stdout
    assert "1,956 hours" in done.stdout and "GB of synthetic slices (8 x 100,000)" in done.stdout


def test_the_cluster_profile_plans_the_same_jobs(house):
    folder = house / "runs" / "smoke" / "phantom" / "seed0"
    words = [sys.executable, "-m", "snakemake", "--snakefile", "notebooks/Snakefile", "--directory", str(folder)]
    words += ["--configfile", str(folder / "config.json"), "--profile", "notebooks/profiles/slurm", "--dry-run"]
    done = subprocess.run(**command(house) | {"args": [*words, "--forceall"]}, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(rf"^arm +{len(jobs(SMOKE, GENERATORS_OF_06))}$", done.stdout, re.M)
    assert "slurm_partition=gpu" in done.stdout
    assert re.search(rf"mem_mb={4000 + 3 * held_bytes(PROFILES['smoke']) // 10**6}\b", done.stdout)
