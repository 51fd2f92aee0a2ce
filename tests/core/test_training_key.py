"""A finished training is found again only if nothing that made it has changed; prose may change."""

import inspect
from functools import partial

import numpy as np
import pytest
import torch
from test_trainer import ONES, Slope

from medsynth_lib.core import trainer as training
from medsynth_lib.core import training_key
from medsynth_lib.core.trainer import fit
from medsynth_lib.core.training_key import code_hash, value_hash
from medsynth_lib.data.augment import augment, random_affine, random_intensity_curve
from medsynth_lib.data.slices import SliceSet
from medsynth_lib.evaluation import monitor
from medsynth_lib.models.autoencoder.vae import VAE
from medsynth_lib.models.diffusion.edm import EDM
from medsynth_lib.studies.arms import validation_dice

CELL = '''
"""A cell."""
import torch
from medsynth_lib.core.method import Method

RATE = 0.1

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.w * x  # a line

def square(x):
    return x ** 2

class Mine(Method):
    """My first method."""

    name = "mine"
    networks = ("net",)

    def build(self):
        self.net = Net()

    def optimisers(self):
        return {"net": torch.optim.SGD(self.net.parameters(), lr=RATE)}

    def step(self, batch, optimisers, fraction):
        """One step."""
        loss = square(self.net(batch["x"]) - 2 * batch["x"]).mean()
        optimisers["net"].zero_grad()
        self.backward(loss)
        optimisers["net"].step()
        return {"loss": loss}

def brighter(batch):
    return {"x": batch["x"] * 1.5}
'''


def cell(source: str = CELL) -> dict:
    """The names of a notebook after this cell was run."""
    names = {"__name__": "__main__"}
    exec(source, names)
    return names


CHANGES = {
    "a step": ("- 2 * batch", "- 3 * batch"),
    "a value": ("RATE = 0.1", "RATE = 0.2"),
    "a function": ("return x ** 2", "return x ** 4"),
    "a network": ("return self.w * x", "return self.w * x + 0"),
    "a setting": ('networks = ("net",)', 'networks = ("net",); averaged = ()'),
}
PROSE = {
    "a comment": ("# a line", "# another one"),
    "a docstring": ("One step.", "The step."),
    "a line more": ("RATE = 0.1", "\n\nRATE = 0.1"),
    "something else": ('batch["x"] * 1.5', 'batch["x"] * 2.5'),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_method_that_is_changed_in_a_notebook_is_another(change):
    assert code_hash(cell()["Mine"]) != code_hash(cell(CELL.replace(*CHANGES[change]))["Mine"])


@pytest.mark.parametrize("change", PROSE)
def test_prose_in_a_notebook_changes_nothing(change):
    assert CELL.replace(*PROSE[change]) != CELL
    assert code_hash(cell()["Mine"]) == code_hash(cell(CELL.replace(*PROSE[change]))["Mine"])


def test_a_student_who_edits_the_class_gets_a_new_training(tmp_path, capsys):
    weights = []
    for source in (CELL, CELL.replace("# a line", "# prose"), CELL.replace("- 2 * batch", "- 3 * batch")):
        method = cell(source)["Mine"]()
        fit(method, ONES, tmp_path, images=20, batch_size=4, seed=0)
        weights.append((method.net.w.item(), "finished model found" in capsys.readouterr().out))
    assert [found for _, found in weights] == [False, True, False]
    assert weights[0][0] == weights[1][0] == pytest.approx(2 * (1 - 0.8**5), abs=1e-6)
    assert weights[2][0] == pytest.approx(3 * (1 - 0.8**5), abs=1e-6)


@pytest.mark.parametrize("module", [training, training_key.inspect.getmodule(VAE.__mro__[1])])
def test_the_loop_itself_is_part_of_the_code(module, monkeypatch):
    before, source = code_hash(VAE), inspect.getsource
    monkeypatch.setattr(inspect, "getsource", lambda m: source(m) + ("\nx = 1\n" if m is module else ""))
    assert code_hash(VAE) != before


def test_what_a_method_does_not_use_is_not_part_of_it(monkeypatch):
    before, source, other = code_hash(VAE), inspect.getsource, inspect.getmodule(EDM)
    monkeypatch.setattr(inspect, "getsource", lambda m: source(m) + ("\nx = 1\n" if m is other else ""))
    assert code_hash(VAE) == before and code_hash(EDM) != before


def slices(seed: int) -> SliceSet:
    rng = np.random.default_rng(seed)
    return SliceSet(
        images=rng.uniform(-1, 1, (12, 1, 16, 16)).astype(np.float32),
        labels=rng.integers(0, 2, (12, 16, 16)).astype(np.uint8),
        subjects=[f"s{seed}-{i // 2}" for i in range(12)],
        channels=("x",),
        label_names=("background", "thing"),
        source="made",
    )


def test_who_chooses_the_weights_is_part_of_the_key(tmp_path, capsys):
    """Two validation sets, one function: two trainings. The same set again: the same."""
    assert value_hash(validation_dice(slices(1))) == value_hash(validation_dice(slices(1)))
    assert value_hash(validation_dice(slices(1))) != value_hash(validation_dice(slices(2)))
    watches = [monitor.holdout_monitor(slices(1), slices(k), 0, n=n) for k, n in ((2, 8), (2, 8), (3, 8), (2, 9))]
    hashes = [value_hash(watch) for watch in watches]
    assert hashes[0] == hashes[1] and len(set(hashes)) == 3

    def liking(goal):
        return lambda method: {"distance": abs(method.net.weight.item() - goal)}

    found = []
    for goal in (1.5, 1.5, 0.7):
        fit(Slope(), ONES, tmp_path, images=80, batch_size=4, seed=0, monitor=liking(goal))
        found.append("finished model found" in capsys.readouterr().out)
    assert found == [False, True, False]


def test_augmentation_is_known_by_its_code_and_not_by_its_name():
    first, second = cell()["brighter"], cell(CELL.replace("* 1.5", "* 2.5"))["brighter"]
    assert first.__name__ == second.__name__ and value_hash(first) != value_hash(second)
    assert value_hash(first) == value_hash(cell(CELL.replace("# a line", "# other"))["brighter"])
    library = [
        augment,
        random_affine,
        random_intensity_curve,
        partial(random_intensity_curve, points=4),
        partial(random_intensity_curve, points=5),
        None,
    ]
    assert len({value_hash(one) for one in library}) == len(library)


def test_values_count_by_their_content():
    def holding(value):
        return lambda: value

    net = torch.nn.Linear(2, 1)
    pairs = [(np.arange(3), np.arange(1, 4)), (torch.ones(2), torch.zeros(2)), ({"a": 1}, {"a": 2}), ([1, 2], [2, 1])]
    for one, other in pairs:
        assert value_hash(holding(one)) == value_hash(holding(one)) != value_hash(holding(other))
    before = value_hash(holding(net))
    torch.nn.init.zeros_(net.weight)
    assert value_hash(holding(net)) != before
    names = np.array(["a", "b"]), np.array(["a", "c"])
    assert value_hash(holding(names[0])) != value_hash(holding(names[1]))
