"""The training loop: resume after a real kill, no host synchronisation per step, loud failures."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from killed_training import METHODS
from safetensors.torch import load_file

from medsynth_lib import training as loop
from medsynth_lib.checkpoints import CheckpointError
from medsynth_lib.generators.vae import VAE
from medsynth_lib.method import Method, TrainingError
from medsynth_lib.training import batch_indices, fit

PROGRAM = Path(__file__).with_name("killed_training.py")


def run_program(method: str, folder: Path, kill_at: int) -> subprocess.CompletedProcess:
    command = [sys.executable, str(PROGRAM), method, str(folder), str(kill_at)]
    environment = {**os.environ, "MEDSYNTH_HEADLESS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=180, env=environment)


@pytest.mark.parametrize("method", METHODS)
def test_killed_and_resumed_equals_straight_bit_for_bit(method, tmp_path):
    straight = run_program(method, tmp_path / "straight", 0)
    assert straight.returncode == 0, straight.stderr
    killed = run_program(method, tmp_path / "killed", 7)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "weights.safetensors").exists()
    again = run_program(method, tmp_path / "killed", 0)
    assert again.returncode == 0, again.stderr
    assert re.search(r"resumed at [1-4]\d of 48 images", again.stdout)

    published = sorted((tmp_path / "straight").rglob("weights.safetensors"))
    assert len(published) == (2 if method == "ddpm" else 1), "further averages are published beside"
    for path in published:
        first, second = load_file(path), load_file(tmp_path / "killed" / path.relative_to(tmp_path / "straight"))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)
    lines = [
        [{**json.loads(line), "seconds": 0} for line in (tmp_path / name / "stats.jsonl").read_text().splitlines()]
        for name in ("straight", "killed")
    ]
    assert lines[0] == lines[1]


class Slope(Method):
    """One number w, loss (w x - 2 x)^2: small enough to follow by hand."""

    name = "slope"
    networks = ("net",)

    def __init__(self, break_at: float = 2.0):
        self.break_at = break_at
        self.net = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(self.net.weight)

    def config(self):
        return {"break_at": self.break_at}

    def optimisers(self):
        return {"net": torch.optim.SGD(self.net.parameters(), lr=0.1)}

    def step(self, batch, optimisers, fraction):
        loss = ((self.net(batch["x"]) - 2 * batch["x"]) ** 2).mean()
        optimisers["net"].zero_grad()
        self.backward(loss)
        optimisers["net"].step()
        broken = torch.tensor(float("nan")) if fraction >= self.break_at else torch.zeros(())
        return {"square": loss, "other": broken}


ONES = {"x": torch.ones(5, 1)}


def test_training_follows_the_hand_calculation(tmp_path):
    method = Slope()
    record = fit(method, ONES, tmp_path, images=20, batch_size=4, seed=0)
    # w <- w - 0.1 * 2 (w - 2), five times from 0
    assert method.net.weight.item() == pytest.approx(2 * (1 - 0.8**5), abs=1e-6)
    assert record["images"] == 20 and record["parameters"] == 1


def test_a_step_never_waits_for_the_device(tmp_path, monkeypatch):
    """Between ticks nothing reads a tensor's value on the host."""
    torch.manual_seed(0)
    images = torch.rand(8, 2, 16, 16) * 2 - 1
    method = VAE(2, 2, 16, width=8, latent=4)
    step, inside = method.step, [False]

    def watched(batch, optimisers, fraction):
        inside[0] = True
        try:
            return step(batch, optimisers, fraction)
        finally:
            inside[0] = False

    for name in ("item", "tolist", "cpu", "numpy", "__float__", "__bool__"):
        original = getattr(torch.Tensor, name)

        def guarded(self, *args, original=original, name=name, **kwargs):
            # Optimisers keep their step counters on the host; everything else is data.
            if inside[0] and self.numel() > 1:
                raise AssertionError(f"{name} inside a step")
            if inside[0] and name in ("item", "tolist", "__float__") and self.grad_fn is not None:
                raise AssertionError(f"{name} inside a step")
            return original(self, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, guarded)
    method.step = watched
    reads = []
    read = loop._read_losses
    monkeypatch.setattr(loop, "_read_losses", lambda *args: reads.append(1) or read(*args))
    tensors = {"images": images, "labels": torch.zeros(8, 16, 16, dtype=torch.uint8)}
    fit(method, tensors, tmp_path, images=800, batch_size=4, seed=0)
    assert len(reads) == loop.TICKS  # 200 steps, but only one look per tick


def test_a_loss_that_is_not_finite_stops_with_step_and_name(tmp_path):
    with pytest.raises(TrainingError, match=r"slope: the loss 'other' is nan at step 6; "):
        fit(Slope(break_at=0.5), ONES, tmp_path, images=40, batch_size=4, seed=0)


def test_finished_training_is_loaded_and_force_repeats_it(tmp_path, capsys):
    fit(Slope(), ONES, tmp_path, images=20, batch_size=4, seed=0)
    capsys.readouterr()
    fresh = Slope()
    fit(fresh, ONES, tmp_path, images=20, batch_size=4, seed=0)
    assert "finished model found" in capsys.readouterr().out
    assert fresh.net.weight.item() == pytest.approx(2 * (1 - 0.8**5), abs=1e-6)
    fit(Slope(), ONES, tmp_path, images=20, batch_size=4, seed=0, force=True)
    assert "finished model found" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "change", [{"images": 24}, {"seed": 1}, {"tensors": {"x": torch.ones(6, 1)}}, {"method": Slope(3.0)}]
)
def test_other_settings_or_data_train_anew(tmp_path, capsys, change):
    def call(method=None, tensors=ONES, images=20, seed=0):
        fit(method or Slope(), tensors, tmp_path, images=images, batch_size=4, seed=seed)

    call()
    capsys.readouterr()
    call(**change)
    assert "finished model found" not in capsys.readouterr().out


def test_every_image_is_seen_equally_often():
    seen = torch.cat([batch_indices(4 * step, 4, 10, seed=5) for step in range(25)])
    assert torch.equal(seen.bincount(minlength=10), torch.full((10,), 10))
    assert not torch.equal(batch_indices(0, 10, 10, seed=5), batch_indices(10, 10, 10, seed=5))


def test_the_published_weights_are_those_with_the_smallest_distance(tmp_path):
    """w runs towards 2; a monitor that likes 1.5 best gets the weights of the step next to it."""
    looked = []

    def monitor(method):
        looked.append(method.net.weight.item())
        return {"distance": abs(looked[-1] - 1.5)}

    method = Slope()
    record = fit(method, ONES, tmp_path, images=80, batch_size=4, seed=0, monitor=monitor)
    best = min(looked, key=lambda w: abs(w - 1.5))
    assert len(looked) == loop.LOOKS and best != looked[-1]
    assert method.net.weight.item() == best == load_file(tmp_path / "weights.safetensors")["net.weight"].item()
    lines = [json.loads(line) for line in (tmp_path / "monitor.jsonl").read_text().splitlines()]
    assert [line["distance"] for line in lines] == [abs(w - 1.5) for w in looked]
    assert record["images_of_published"] == lines[looked.index(best)]["images"] and record["images"] == 80


def test_a_loss_need_not_appear_in_every_step(tmp_path):
    class Lazy(Slope):
        def step(self, batch, optimisers, fraction):
            losses = super().step(batch, optimisers, fraction)
            return {**losses, "lazy": torch.tensor(float(self.at))} if self.at % 4 == 0 else losses

    fit(Lazy(), ONES, tmp_path, images=4 * 100, batch_size=4, seed=0)  # a tick every two steps
    lines = [json.loads(line) for line in (tmp_path / "stats.jsonl").read_text().splitlines()]
    assert [line.get("lazy") for line in lines[:4]] == [0, None, 4, None]


def test_batches_may_change_size_and_every_image_still_counts_once(tmp_path):
    class Growing(Slope):
        seen = []

        def batch_size(self, base, seen, total):
            return 3 * base if seen < total / 2 else base

        def step(self, batch, optimisers, fraction):
            self.seen.append(batch["x"].flatten().tolist())
            return super().step(batch, optimisers, fraction)

    method = Growing()
    record = fit(method, {"x": torch.arange(1.0, 41).view(-1, 1) / 100}, tmp_path, images=40, batch_size=4, seed=0)
    assert [len(batch) for batch in method.seen] == [12, 12, 4, 4, 4, 4] and record["images"] == 40
    assert len({value for batch in method.seen for value in batch}) == 40


def test_a_damaged_state_names_the_file(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match=r"state\.pt cannot be read .* delete it to train from the start"):
        fit(Slope(), ONES, tmp_path, images=20, batch_size=4, seed=0)


def test_two_processes_over_gloo_train_like_one(tmp_path):
    """Averaged gradients of two half batches are the gradient of the whole batch."""
    program = tmp_path / "two.py"
    program.write_text(
        "import sys, torch\n"
        "from lightning_fabric import Fabric\n"
        "from medsynth_lib.training import fit\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from test_training import Slope, ONES\n"
        "if __name__ == '__main__':\n"
        "    fabric = Fabric(accelerator='cpu', devices=2, strategy='ddp')\n"
        "    fabric.launch()\n"
        "    fit(Slope(), ONES, sys.argv[1], images=20, batch_size=4, seed=0, fabric=fabric)\n"
    )
    command = [sys.executable, str(program), str(tmp_path / "out"), str(Path(__file__).parent)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    weight = load_file(tmp_path / "out" / "weights.safetensors")["net.weight"]
    assert weight.item() == pytest.approx(2 * (1 - 0.8**5), abs=1e-6)


@pytest.mark.parametrize("name", ["progan", "stylegan2"])
def test_under_fabric_run_a_gan_stays_one_gan(name, tmp_path):
    """Two players, growth, lazy penalties, ADA's p: after training both processes hold the same weights.

    Running means (of w, of path lengths) are each process's own; those of the first are published.
    """
    program = tmp_path / "two.py"
    program.write_text(
        "import os, sys, torch\n"
        "from medsynth_lib.training import fit\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from killed_training import METHODS, data\n"
        "torch.manual_seed(0)\n"
        f"method = METHODS['{name}']()\n"
        "assert fit(method, data(), sys.argv[1], images=48, batch_size=8, seed=0)['world_size'] == 2\n"
        "weights = [p for net in method.parts().values() for p in net.parameters()]\n"
        "total = sum(p.detach().double().abs().sum() for p in weights).item()\n"
        "open(sys.argv[1] + os.environ['RANK'], 'w').write(repr(total))\n"
    )
    fabric = [str(Path(sys.executable).parent / "fabric"), "run", "--accelerator=cpu", "--devices=2"]
    command = [*fabric, str(program), str(tmp_path / "out"), str(Path(__file__).parent)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=200, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    first, second = ((tmp_path / f"out{rank}").read_text() for rank in (0, 1))
    assert first == second and float(first) > 0


def test_data_that_do_not_fit_on_the_gpu_wait_on_the_host(monkeypatch):
    tensors = {"x": torch.zeros(100, 4), "y": torch.zeros(100, dtype=torch.uint8)}  # 1,700 bytes
    gpu = torch.device("cuda")
    for free, home in ((3_400, "cuda"), (3_399, "cpu")):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 10_000))
        assert loop.data_home(tensors, gpu).type == home
    assert loop.data_home(tensors, torch.device("cpu")).type == "cpu"


def test_a_long_average_is_a_long_one(tmp_path):
    """A half-life of half the training is not cut to the 5 % of the images seen that keep early previews clean."""
    torch.manual_seed(0)
    half_lives = (5.0, 50.0)
    fit(
        Slope(), {"x": torch.ones(4, 1)}, tmp_path, images=100, batch_size=1, seed=0, ema_images=5.0, other_emas=(50.0,)
    )
    short, long = (
        load_file(path / "weights.safetensors")["net.weight"].item() for path in (tmp_path, tmp_path / "ema-50")
    )
    w, expected = 0.0, dict.fromkeys(half_lives, 0.0)
    for seen in range(1, 101):
        w -= 0.1 * 2 * (w - 2)
        for length in half_lives:
            decay = 0.5 ** (1 / min(length, length / 100 * seen))
            expected[length] = decay * expected[length] + (1 - decay) * w
    assert (short, long) == pytest.approx(tuple(expected.values()), rel=1e-5) and long < short
