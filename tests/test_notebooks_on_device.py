"""Notebooks that ask networks themselves run where tensors of a device and of the CPU may not meet (pretend_device)."""

import json
import subprocess
import sys

import pytest

# The first one makes the data; each has cells that call a network or read a tensor of it.
NAMES = ("01_vae", "03_stylegan", "04_cyclegan", "05_ddpm")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One runs folder for all: later notebooks read what earlier ones wrote."""
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("name", NAMES)
def test_notebook_runs_on_a_device(name, offline, root, runs):
    environment = offline | {"PYTHONPATH": str(root / "tests" / "on_pretend_device"), "MEDSYNTH_RUNS": str(runs)}
    environment["OMP_NUM_THREADS"] = "1"  # so that trainings go one after another, as on a GPU
    words = [sys.executable, "-m", "medsynth_lib.course.execute", name, str(runs / f"{name}.ipynb"), "profile=smoke"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, env=environment, cwd=root)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    metrics = json.loads((runs / "smoke" / "phantom" / "seed0" / name / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["run"]["device"] == "pretend:0"
