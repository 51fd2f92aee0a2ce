"""Several processes: every method stays one method, equals its training in one process, and nobody waits for ever."""

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

from medsynth_lib.core.processes import Processes
from medsynth_lib.core.trainer import fit

HERE = Path(__file__).parent
# How far two processes may end from one, as a share of the way that the weights went. Adam makes a step of full length
# of a gradient that is all rounding, so that even equal sums drift apart a little.
TOLERANCE = 0.08
COUPLED = {
    "stylegan2": 0.3,  # D compares the images of a group, and groups lie within a process
    "swin": 0.3,  # Dice of the whole batch becomes that of each share
    "simclr": 0.8,  # a view is told from the other views of its own process
}


def environment() -> dict[str, str]:
    paths = [str(HERE), str(HERE.parent / "benchmarks"), str(HERE.parent)]
    return {**os.environ, "OMP_NUM_THREADS": "1", "MEDSYNTH_HEADLESS": "1", "PYTHONPATH": os.pathsep.join(paths)}


def run(*words: str, timeout: float = 300) -> subprocess.CompletedProcess:
    command = [sys.executable, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder in which every method was trained by one process ("1") and by two ("2")."""
    folder = tmp_path_factory.mktemp("trained")
    for count in ("2", "1"):
        done = run(str(HERE / "two_processes.py"), str(folder / count), count, *METHODS, timeout=600)
        assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("how", ["", "-watched"])
@pytest.mark.parametrize("name", METHODS)
def test_two_processes_are_one_training(name, how, trained):
    first, second = (json.loads((trained / "2" / (name + how) / f"rank{k}.json").read_text()) for k in (0, 1))
    assert first == second, "the processes drifted apart"
    assert first["published"] == (24 if how else 32), "the third look of four was the best"
    if how:
        return
    folder = trained / "2" / (name + how)
    before, two = load_file(folder / "before.safetensors"), load_file(folder / "weights.safetensors")
    one = load_file(trained / "1" / (name + how) / "weights.safetensors")

    def distance(a, b):
        return sum((a[key] - b[key]).double().square().sum() for key in a if a[key].is_floating_point()).sqrt().item()

    assert 0 < distance(two, one) <= COUPLED.get(name, TOLERANCE) * distance(one, before)


def test_a_batch_that_cannot_be_shared_is_refused():
    fabric = Fabric(accelerator="cpu", devices=1)
    processes = Processes(fabric)
    processes.count = 2
    with pytest.raises(ValueError, match="a batch of 5 cannot be shared by 2 processes; give a multiple of 2"):
        processes.check(5)


PROGRAM = """
import os, signal, sys, torch
from lightning_fabric import Fabric
from methods import METHODS, data
from medsynth_lib.core.processes import strategy
from medsynth_lib.core.trainer import fit
fabric = Fabric(accelerator="cpu", devices=2, strategy=strategy())
fabric.launch()
torch.manual_seed(0)
method, calls = METHODS["edm"](), []
step = method.step
def counted(*args):
    calls.append(1)
    if len(calls) == int(sys.argv[2]) and fabric.global_rank == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*args)
method.step = counted
fit(method, data("edm"), sys.argv[1], images=96, batch_size=8, seed=0, fabric=fabric, checkpoint_seconds=0.0)
"""


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_stops_the_other_and_training_goes_on(rank, tmp_path):
    program = tmp_path / "two.py"
    program.write_text(PROGRAM)
    words = (str(program), str(tmp_path / "out"))
    killed = run(*words, "7", str(rank), timeout=120)  # nobody waits until the time is out
    assert killed.returncode != 0
    if rank == 1:  # rank 0 says why it stopped, unless Fabric's observer of child processes ended it first
        ended = ("waited for another one that has ended", "terminated with code -9")
        assert any(words in killed.stderr for words in ended) or killed.returncode == -signal.SIGTERM, killed.stderr
    assert (tmp_path / "out" / "state" / "state.pt").is_file()
    again = run(*words, "0", "0", timeout=120)
    assert again.returncode == 0, again.stderr[-2000:]
    assert re.search(r"resumed at (40|48) of 96 images", again.stdout)
    assert (tmp_path / "out" / "weights.safetensors").is_file()


def test_fabric_run_starts_them_too(tmp_path):
    """As the README says; the loss that only one of them meets stops both with the same words."""
    program = tmp_path / "two.py"
    program.write_text(
        "import os, sys, torch\n"
        "from methods import METHODS, data\n"
        "from medsynth_lib.core.trainer import fit\n"
        "method = METHODS['latent_diffusion']()\n"
        "tensors, how = data('latent_diffusion'), {'images': 16, 'batch_size': 8, 'seed': 0}\n"
        "assert fit(method, tensors, sys.argv[1], **how)['world_size'] == 2\n"
        "step = method.step\n"
        "def broken(*args):\n"
        "    losses = step(*args)\n"
        "    bad = os.environ['RANK'] == '1' and method.global_step == 1\n"
        "    return {'loss': losses['loss'] / 0 if bad else losses['loss']}\n"
        "method.step = broken\n"
        "fit(method, tensors, sys.argv[1] + 'x', **how)\n"
    )
    words = [str(Path(sys.executable).parent / "fabric"), "run", "--accelerator=cpu", "--devices=2"]
    words += [str(program), str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200, env=environment())
    assert done.returncode != 0 and (tmp_path / "out" / "weights.safetensors").is_file()
    assert done.stderr.count("the loss 'loss' is inf at step 2") >= 2, done.stderr[-3000:]
    assert not (tmp_path / "outx" / "weights.safetensors").exists()


def test_one_process_changes_nothing(tmp_path):
    """Averages and copies between processes leave tensors as they are, bit for bit."""
    processes, x = Processes(Fabric(accelerator="cpu", devices=1)), torch.randn(5)
    y = x.clone()
    processes.average([y])
    processes.from_first([y])
    assert torch.equal(x, y) and processes.tell({"a": 1}) == {"a": 1}
    fit(METHODS["vae"](), data("vae"), tmp_path, images=8, batch_size=4, seed=0)
