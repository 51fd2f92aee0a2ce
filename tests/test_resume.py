"""Killed with SIGKILL or stopped with Ctrl-C, every method goes on and ends bit for bit where it would have."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from methods import METHODS, data
from safetensors.torch import load_file

from medsynth_lib.core.trainer import fit

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    paths = os.pathsep.join([str(HERE.parent / "benchmarks"), str(HERE.parent)])
    environment = {**os.environ, "MEDSYNTH_HEADLESS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    command = [sys.executable, str(HERE / "killed_training.py"), str(folder), *METHODS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("name", METHODS)
def test_killed_and_resumed_equals_straight_bit_for_bit(name, trained):
    here = trained / name
    ends = json.loads((here / "ends.json").read_text())
    logs = {log: (here / f"{log}.txt").read_text() for log in ends}
    assert ends == {"straight": 0, "killed": -signal.SIGKILL, "again": 0}, logs
    assert re.search(r"resumed at [1-4]\d of 48 images", logs["again"])
    published = sorted((here / "straight").rglob("weights.safetensors"))
    assert len(published) == (2 if name == "ddpm" else 1), "further averages are published beside"
    for path in published:
        assert_equal(load_file(path), load_file(here / "killed" / path.relative_to(here / "straight")))
    lines = [
        [{**json.loads(line), "seconds": 0} for line in (here / which / "stats.jsonl").read_text().splitlines()]
        for which in ("straight", "killed")
    ]
    assert lines[0] == lines[1]


def assert_equal(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", METHODS)
def test_a_stopped_cell_may_be_run_again(name, tmp_path):
    """Ctrl-C in `fit`, then the same call with the same object: as if it had never been stopped."""

    def train(method, folder):
        fabric = Fabric(accelerator="cpu", devices=1)
        fit(method, data(name), folder, images=24, batch_size=4, seed=3, ema_images=20, fabric=fabric)
        return method.weights()

    torch.manual_seed(0)
    straight = {key: value.clone() for key, value in train(METHODS[name](), tmp_path / "straight").items()}
    torch.manual_seed(0)
    method, calls = METHODS[name](), []
    step = method.step

    def stopped(*arguments):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return step(*arguments)

    method.step = stopped
    with pytest.raises(KeyboardInterrupt):
        train(method, tmp_path / "stopped")
    assert_equal(straight, train(method, tmp_path / "stopped"))
