"""A training in two processes over gloo that must stay equal; run as a program by the tests of several methods.

usage: python two_processes.py METHOD FOLDER STRATEGY   (methods and data: killed_training.py)
"""

import os
import subprocess
import sys
from pathlib import Path

import torch
from killed_training import METHODS, data
from lightning_fabric import Fabric
from safetensors.torch import load_file

from medsynth_lib.training import fit


def assert_they_stay_equal(name: str, folder: Path, strategy: str) -> None:
    """Train in two processes; both end with the same weights, and what is published is finite."""
    command = [sys.executable, __file__, name, str(folder), strategy]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, env=environment)
    assert done.returncode == 0, done.stderr
    assert all(value.isfinite().all() for value in load_file(folder / "weights.safetensors").values())


def main(name: str, folder: str, strategy: str) -> None:
    torch.set_num_threads(1)
    fabric = Fabric(accelerator="cpu", devices=2, strategy=strategy)
    fabric.launch()
    torch.manual_seed(0)
    method = METHODS[name]()
    fit(method, data(), folder, images=160, batch_size=8, seed=0, ema_images=20, fabric=fabric)
    weights = [w for net in method.parts().values() for w in net.parameters()]
    whole = fabric.all_gather(torch.cat([w.detach().flatten() for w in weights]))
    assert torch.equal(whole[0], whole[1]), "the processes drifted apart"


if __name__ == "__main__":
    main(*sys.argv[1:])
