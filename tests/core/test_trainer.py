"""The training loop: what a training by hand gives, loud failures, which weights are published."""

import json
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load_file

from medsynth_lib.core import trainer as loop
from medsynth_lib.core.checkpoints import CheckpointError
from medsynth_lib.core.method import Config, Method, TrainingError
from medsynth_lib.core.seeding import batch_indices
from medsynth_lib.core.trainer import fit


@dataclass(frozen=True)
class SlopeConfig(Config):
    break_at: float = 2.0


class Slope(Method):
    """One number w, loss (w x - 2 x)^2: small enough to follow by hand."""

    Config = SlopeConfig
    name = "slope"
    networks = ("net",)

    def build(self):
        self.net = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(self.net.weight)

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


def test_losses_are_read_at_ticks_only(tmp_path, monkeypatch):
    """What a step itself reads: tests/test_every_method.py."""
    reads, read = [], loop._read_losses
    monkeypatch.setattr(loop, "_read_losses", lambda *args: reads.append(1) or read(*args))
    fit(Slope(), ONES, tmp_path, images=800, batch_size=4, seed=0)
    assert len(reads) == loop.READINGS  # 200 steps, but only one reading per mark


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
    assert len(looked) == loop.EVALUATIONS and best != looked[-1]
    assert method.net.weight.item() == best == load_file(tmp_path / "weights.safetensors")["net.weight"].item()
    lines = [json.loads(line) for line in (tmp_path / "monitor.jsonl").read_text().splitlines()]
    assert [line["distance"] for line in lines] == [abs(w - 1.5) for w in looked]
    assert record["images_of_published"] == lines[looked.index(best)]["images"] and record["images"] == 80


def test_a_loss_need_not_appear_in_every_step(tmp_path):
    class Lazy(Slope):
        def step(self, batch, optimisers, fraction):
            losses = super().step(batch, optimisers, fraction)
            return {**losses, "lazy": torch.tensor(float(self.global_step))} if self.global_step % 4 == 0 else losses

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
