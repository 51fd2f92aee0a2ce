"""What must hold for every method of the library: bfloat16, another device, no waiting for it, keys."""

from collections import Counter

import pytest
import torch
from lightning_fabric import Fabric
from methods import METHODS, Kinds, all_names, data, in_use
from pretend_device import COUNTS, DEVICE, PretendFabric

from medsynth_lib.core import trainer as training
from medsynth_lib.core.checkpoints import load_weights
from medsynth_lib.core.devices import compiled_networks
from medsynth_lib.core.trainer import fit
from medsynth_lib.data.augment import augment, random_affine, random_intensity_curve
from medsynth_lib.models.registry import METHODS as REGISTERED
from medsynth_lib.models.registry import load_encoder, load_generator, load_translator

CPU = {"accelerator": "cpu", "devices": 1}
IN_FLOAT32 = {  # what a step computes in float32 though the method trains in bfloat16, and why
    "stylegan1": {"linear"},  # the mapping network
    "stylegan2": {"linear"},
    "cyclegan": {"convolution"},  # the intensity curve
    "attention_cyclegan": {"convolution"},
}


def test_no_method_is_forgotten():
    assert set(METHODS) == all_names() and {*REGISTERED["generator"], *REGISTERED["translator"]} <= set(METHODS)


def train(name, folder, monkeypatch=None, images=16, watch=None, fabric=None, **how):
    """A short training; `watch(step, arguments)` runs the step."""
    torch.manual_seed(0)
    method = METHODS[name]()
    if watch:
        step = method.step
        method.step = lambda *arguments: watch(step, arguments)
    record = fit(method, data(name), folder, images=images, batch_size=4, seed=0, ema_images=20, fabric=fabric, **how)
    return method, record


@pytest.mark.parametrize("name", METHODS)
def test_bfloat16_is_used_where_it_is_said_and_nowhere_else(name, tmp_path):
    steps, losses = [], []

    def watch(step, arguments):
        with Kinds() as kinds:
            losses.append(step(*arguments))
        steps.append(kinds.found)
        return losses[-1]

    method, record = train(name, tmp_path, watch=watch, fabric=Fabric(**CPU, precision="bf16-mixed"))
    assert all(value.dtype == torch.float32 for found in losses for value in found.values())
    assert all(v.dtype == torch.float32 for v in method.weights().values() if v.is_floating_point())
    used = {(kind, kinds) for step in steps[1:] for kind, kinds in step}  # without penalties, which come in step 0
    if not method.bf16:
        assert record["precision"] == "32-true" and {dtype for _, dtype in used} == {torch.float32}
        return
    assert record["precision"] == load_weights(tmp_path)[1]["record"]["precision"] == "bf16-mixed"
    assert torch.bfloat16 in {dtype for _, dtype in used}
    assert {kind for kind, dtype in used if dtype == torch.float32} == IN_FLOAT32.get(name, set())
    if name in ("progan", "stylegan1", "stylegan2"):
        assert steps[0]["convolution", torch.float32] > 0, "R1 is taken in float32"
        assert steps[0]["convolution", torch.bfloat16] > 0


@pytest.mark.parametrize("name", METHODS)
def test_on_another_device_it_trains_and_its_results_lie_on_the_cpu(name, tmp_path, monkeypatch):
    """Twice as many steps between the same number of ticks cost no copy and no read of the device more."""
    monkeypatch.setattr(training, "READINGS", 4)
    many = {key: value.repeat(20, *[1] * (value.dim() - 1)) for key, value in data(name).items()}  # one epoch
    costs = []
    for steps in (1, 8, 16):  # in the first what is kept for later is made; at step 16 R1 would come again
        torch.manual_seed(0)
        method = METHODS[name]()
        COUNTS.clear()
        fit(method, many, tmp_path, images=4 * steps, batch_size=4, seed=0, ema_images=20, fabric=PretendFabric())
        costs.append(Counter(COUNTS))
    assert costs[1] == costs[2] and costs[0]["to host"] > 0
    assert method.device == DEVICE
    found = in_use(method, data(name))
    assert found and all(x.device.type == "cpu" and not x.requires_grad for x in found)


@pytest.mark.parametrize("name", [*REGISTERED["generator"], *REGISTERED["translator"], "simclr"])
def test_it_is_published_and_opened_again(name, tmp_path):
    """What was saved draws what the trained method draws, whatever batch is asked for."""
    method, _ = train(name, tmp_path, fabric=Fabric(**CPU))
    load = load_encoder if name == "simclr" else load_translator if name in REGISTERED["translator"] else load_generator
    for first, second in zip(in_use(method, data(name)), in_use(load(tmp_path), data(name)), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("name", METHODS)
def test_what_may_be_compiled_is_there(name):
    method = METHODS[name]()
    found = compiled_networks(method)
    assert len(found) == len(method.compiled) and all(isinstance(net, torch.nn.Module) for net in found)
    if name not in ("progan", "stylegan2", "autoencoder"):
        assert found, "leave a method out only where its gradients have gradients, or it has no forward"


@pytest.mark.parametrize("change", [augment, random_affine, random_intensity_curve])
def test_random_changes_of_batches_never_wait_for_the_device(change):
    batch = {key: value.to(DEVICE) for key, value in data("unet").items()}
    COUNTS.clear()
    found = change(batch)
    assert all(value.device == DEVICE for value in found.values()) and not COUNTS


def test_the_pretend_device_is_as_strict_as_a_gpu():
    """Neither operations on both devices nor numpy, nor positions on the device for a tensor of the CPU."""
    here, there = torch.ones(3), torch.ones(3).to(DEVICE)
    for wrong in (lambda: here + there, lambda: here[there.long()], there.numpy, lambda: torch.cat([here, there])):
        with pytest.raises((RuntimeError, TypeError)):
            wrong()
    COUNTS.clear()
    assert torch.equal(there[torch.tensor([0, 2])].cpu(), torch.ones(2)) and there.sum().item() == 3
    assert COUNTS == {"to device": 1, "to host": 1, "reads": 1}
