"""Precision, switches and batches: what a GPU would be asked for, checked without one."""

import pytest
import torch
from lightning_fabric import Fabric
from methods import METHODS, data
from pretend_device import DEVICE, PretendFabric
from torch.nn import functional as F

from medsynth_lib.core import devices
from medsynth_lib.core.devices import Batches, autocast, fast_training, make_fabric, precision_of
from medsynth_lib.core.trainer import fit
from medsynth_lib.models.diffusion.ddpm import DDPM
from medsynth_lib.models.diffusion.unet import FoldedUNet
from medsynth_lib.models.gan import views

CPU = torch.device("cpu")


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a GPU, as far as `make_fabric` looks; gives what Fabric was asked for."""
    asked = {}

    class Recorder:
        def __init__(self, **how):
            asked.update(how)

        def launch(self):
            pass

    def supported(including_emulation=True):
        return including_emulation or asked.get("real bf16", True)

    monkeypatch.setattr(devices, "Fabric", Recorder)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    return asked


@pytest.mark.parametrize(
    ("real", "switches", "precision"),
    [(True, None, "bf16-mixed"), (False, None, "32-true"), (True, "tf32 benchmark", "32-true")],
)
def test_bf16_where_the_gpu_computes_in_it_and_is_not_switched_off(gpu, monkeypatch, real, switches, precision):
    """A T4 or V100 only emulates it."""
    monkeypatch.delenv("MEDSYNTH_SPEED", raising=False)
    if switches:
        monkeypatch.setenv("MEDSYNTH_SPEED", switches)
    gpu["real bf16"] = real
    make_fabric()
    assert gpu["accelerator"] == "cuda" and gpu["precision"] == precision


def test_an_unknown_switch_is_named(monkeypatch):
    monkeypatch.setenv("MEDSYNTH_SPEED", "bf16 turbo")
    with pytest.raises(ValueError, match="MEDSYNTH_SPEED names 'turbo'; known: bf16, tf32, benchmark"):
        devices.switched_on()


def test_float16_is_not_used():
    with pytest.raises(ValueError, match="precision 'bf16-true' is not supported"):
        precision_of(Fabric(accelerator="cpu", devices=1, precision="bf16-true"), METHODS["vae"]())


def test_the_switches_end_with_the_training(monkeypatch):
    monkeypatch.setenv("MEDSYNTH_SPEED", "tf32 benchmark")
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark
    with fast_training(METHODS["vae"](), torch.device("cuda")):
        assert torch.get_float32_matmul_precision() == "high" and torch.backends.cudnn.benchmark
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark) == before
    with fast_training(METHODS["vae"](), CPU):
        assert torch.get_float32_matmul_precision() == before[0]


@pytest.mark.parametrize("name", ["edm", "stylegan1", "cyclegan", "unet"])
def test_compiled_networks_train_alike(name, tmp_path, monkeypatch):
    """With a compiler that keeps every operation: graphs are captured, gradients pass, and nothing is left of it."""
    compiler, steps, weights = torch.nn.Module.compile, [], []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda net, **_: compiler(net, backend="aot_eager"))
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: steps.append(1))
    on_a_gpu = torch.device("cuda")  # the switches are for one
    monkeypatch.setattr("medsynth_lib.core.trainer.fast_training", lambda method, _: fast_training(method, on_a_gpu))
    for switches in ("", "compile"):
        monkeypatch.setenv("MEDSYNTH_SPEED", switches)
        torch.manual_seed(0)
        method, fabric = METHODS[name](), Fabric(accelerator="cpu", devices=1)
        fit(method, data(name), tmp_path / f"x{switches}", images=12, batch_size=4, seed=0, fabric=fabric)
        weights.append({key: value.clone().float() for key, value in method.weights().items()})
        assert all(net._compiled_call_impl is None for net in devices.compiled_networks(method))
    assert len(steps) == 3, "of the second training"
    assert all(torch.allclose(weights[0][key], weights[1][key], atol=1e-4) for key in weights[0])


def test_data_that_do_not_fit_on_the_gpu_wait_on_the_host(monkeypatch):
    tensors = {"x": torch.zeros(100, 4), "y": torch.zeros(100, dtype=torch.uint8)}  # 1,700 bytes
    gpu = torch.device("cuda")
    for free, home in ((3_400, "cuda"), (3_399, "cpu")):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 10_000))
        assert devices.data_home(tensors, gpu).type == home
    assert devices.data_home(tensors, CPU).type == "cpu"


def test_batches_from_the_host_are_pinned_and_ready_before_they_are_asked_for(monkeypatch):
    pinned = []
    monkeypatch.setattr(devices, "data_home", lambda *_: CPU)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(len(self)) or self)
    tensors = {"x": torch.arange(10.0)}
    waiting, there = Batches(tensors, PretendFabric(), 0), Batches(tensors, Fabric(accelerator="cpu", devices=1), 0)
    assert waiting.take(0, 4)["x"].device == DEVICE and pinned == [4]
    waiting.prepare(4, 4)
    assert pinned == [4, 4]
    assert torch.equal(waiting.take(4, 4)["x"].cpu(), there.take(4, 4)["x"]) and pinned == [4, 4]
    assert torch.equal(waiting.take(8, 4)["x"].cpu(), there.take(8, 4)["x"]), "over the end of the epoch"
    waiting.prepare(12, 0)  # after the last batch


def test_a_perfect_denoiser_has_no_error_in_bfloat16(monkeypatch):
    """At t = 0 the noise is a hundredth of the image: an image rounded to bfloat16 would have an error of 7.5e-3."""
    ddpm = DDPM(2, 3, 16, patch=2, widths=(8, 16), layers=1)
    image = torch.rand(4, 5, 16, 16) * 2 - 1
    noise, t = torch.randn_like(image), torch.zeros(4, dtype=torch.long)
    noisy = ddpm.noise_scheduler.add_noise(image, noise, t)
    monkeypatch.setattr(FoldedUNet, "forward", lambda *_: image)
    with autocast(CPU, "bf16-mixed"):
        error = (ddpm.predictor(noisy, t) - noise).square().mean()
    assert error < 1e-9


def test_what_the_discriminator_is_shown_keeps_its_place_in_bfloat16():
    """torch computes the grid of a resampling as a matrix product, to half a pixel in bfloat16."""
    gan = METHODS["stylegan2"]()
    gan.discriminator.p.fill_(1.0)
    images = torch.rand(4, 5, 16, 16) * 2 - 1
    seen = []
    for precision in ("32-true", "bf16-mixed"):
        torch.manual_seed(0)
        with autocast(CPU, precision):
            seen.append(gan.seen(images))
            rough = views.adaptive(images, 2, gan.discriminator.p)
            grid = F.affine_grid(torch.eye(2, 3)[None], [1, 1, 4, 4], align_corners=False)
    assert torch.equal(*seen)
    assert grid.dtype == torch.bfloat16 and not torch.allclose(rough, seen[0], atol=1e-2), "the trap is still there"
