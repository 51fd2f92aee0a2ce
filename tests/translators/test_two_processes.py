"""Translators train in two processes over gloo, and stay equal."""

import os
import subprocess
import sys

import pytest
from safetensors.torch import load_file

PROGRAM = """
import sys, torch
from lightning_fabric import Fabric
sys.path.insert(0, sys.argv[2])
import killed_training
if __name__ == "__main__":
    torch.set_num_threads(1)
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp_find_unused_parameters_true")
    fabric.launch()
    torch.manual_seed(0)
    method = killed_training.METHODS[sys.argv[3]]()
    data = killed_training.data()
    killed_training.ms.fit(method, data, sys.argv[1], images=80, batch_size=4, seed=0, ema_images=20, fabric=fabric)
    weights = [w for net in method.parts().values() for w in net.parameters()]
    whole = fabric.all_gather(torch.cat([w.detach().flatten() for w in weights]))
    assert torch.equal(whole[0], whole[1]), "the processes drifted apart"
"""


@pytest.mark.parametrize("name", ["cyclegan", "attention_cyclegan", "spade"])
def test_two_processes_over_gloo_stay_equal(name, tmp_path):
    (tmp_path / "two.py").write_text(PROGRAM)
    tests = os.path.dirname(os.path.dirname(__file__))
    command = [sys.executable, str(tmp_path / "two.py"), str(tmp_path / "out"), tests, name]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, env=environment)
    assert done.returncode == 0, done.stderr
    assert all(value.isfinite().all() for value in load_file(tmp_path / "out" / "weights.safetensors").values())
