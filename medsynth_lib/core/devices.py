"""Device, precision and speed settings of a training, and the batches on its device.

`MEDSYNTH_SPEED` lists the settings in use, in place of DEFAULT: MEDSYNTH_SPEED="bf16 tf32 benchmark compile", or "" for
none. None of them has an effect on a CPU; for bf16 there, pass a Fabric with precision "bf16-mixed".
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from .method import Method
from .processes import strategy
from .seeding import batch_indices

# The defaults follow the measurements of `make gpu-check`; see results/gpu.
KNOWN = {
    "bf16": "convolutions and matrix products in bfloat16",
    "tf32": "in training, those that stay in float32 use the tensor cores' TF32 format, with a shorter mantissa",
    "benchmark": "cuDNN tries its algorithms for every shape once and keeps the fastest",
    "channels_last": "channels-last memory layout (EDM at 128 px on an H200: 812 images/s, 1,190 without)",
    "compile": "torch.compile with CUDA graphs for the networks in `Method.compiled`; the first steps take a minute",
}
DEFAULT = ("bf16", "tf32", "benchmark")
PRECISIONS = ("32-true", "bf16-mixed")


def switched_on() -> tuple[str, ...]:
    """The settings that MEDSYNTH_SPEED names, or DEFAULT; ValueError for an unknown one."""
    words = tuple(os.environ["MEDSYNTH_SPEED"].split()) if "MEDSYNTH_SPEED" in os.environ else DEFAULT
    for word in words:
        if word not in KNOWN:
            raise ValueError(f"MEDSYNTH_SPEED names {word!r}; known: {', '.join(KNOWN)}.")
    return words


def make_fabric(device: str = "auto") -> Fabric:
    """Fabric on one GPU if there is one, else on the CPU; under `fabric run`, on all devices it launched.

    bf16 is used only on GPUs that support it natively: emulated (T4, V100), it is slower than fp32.
    """
    on_gpu = device != "cpu" and torch.cuda.is_available()
    bf16 = on_gpu and "bf16" in switched_on() and torch.cuda.is_bf16_supported(including_emulation=False)
    launched = "LT_CLI_USED" in os.environ
    fabric = Fabric(
        accelerator="cuda" if on_gpu else "cpu",
        devices="auto" if launched else 1,
        strategy=strategy() if launched else "auto",
        precision="bf16-mixed" if bf16 else "32-true",
    )
    if not launched:  # `fabric run` has done so already
        fabric.launch()
    return fabric


def precision_of(fabric: Fabric, method: Method) -> str:
    """The precision in which `method` trains, "bf16-mixed" or "32-true"; ValueError if Fabric has another one."""
    asked = str(fabric._precision.precision)
    if asked not in PRECISIONS:
        raise ValueError(f"precision {asked!r} is not supported; give Fabric one of {', '.join(PRECISIONS)}.")
    return asked if method.bf16 else "32-true"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Context of a training step. Cast weights are not cached, because optimisers step within it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed", cache_enabled=False)


def lay_out(method: Method, device: torch.device) -> None:
    """Set the memory layout of the weights, before optimisers and averages refer to them."""
    if device.type == "cuda" and "channels_last" in switched_on():
        for net in method.modules().values():
            net.to(memory_format=torch.channels_last)


@contextmanager
def fast_training(method: Method, device: torch.device) -> Iterator[Callable[[], None]]:
    """Context in which all settings in use except bf16 apply; outside it, float32 is exact.

    Yields a function to call at the start of every step, which the CUDA graphs of compiled networks need.
    """
    words = switched_on() if device.type == "cuda" else ()
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark
    compiled = compiled_networks(method) if "compile" in words else []
    torch.set_float32_matmul_precision("high" if "tf32" in words else before[0])
    torch.backends.cudnn.benchmark = before[1] or "benchmark" in words
    for net in compiled:
        net.compile(mode="reduce-overhead")
    try:
        yield torch.compiler.cudagraph_mark_step_begin if compiled else lambda: None
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.benchmark = before[1]
        for net in compiled:
            net._compiled_call_impl = None  # torch has no public way to undo `compile`


def compiled_networks(method: Method) -> list[nn.Module]:
    """The modules that `Method.compiled` names, such as "denoiser.net"."""
    found = []
    for path in method.compiled:
        name, _, below = path.partition(".")
        found.append(getattr(method, name).get_submodule(below))
    return found


def data_home(tensors: dict[str, Tensor], device: torch.device) -> torch.device:
    """Where the data are stored: on `device` if they fit (on a GPU: into half of its free memory), else on the host."""
    needed = sum(value.nbytes for value in tensors.values())
    fits = device.type != "cuda" or 2 * needed <= torch.cuda.mem_get_info(device)[0]
    return device if fits else torch.device("cpu")


class Batches:
    """Batches of `tensors` on the device: this process's share of each, in seeded permutations of all rows.

    If the data are stored on the host, `prepare` copies the next batch from pinned memory while the device still works
    on the current one.
    """

    def __init__(self, tensors: dict[str, Tensor], fabric: Fabric, seed: int):
        self.device, self.seed = fabric.device, seed
        self.rank, self.world = fabric.global_rank, fabric.world_size
        self.home = data_home(tensors, fabric.device)
        self.data = {name: value.to(self.home) for name, value in tensors.items()}
        self.n = len(next(iter(tensors.values())))
        self.ready: tuple[tuple[int, int], dict[str, Tensor]] | None = None

    def take(self, first: int, count: int) -> dict[str, Tensor]:
        """This process's share of the `count` rows that follow the first `first` ones."""
        asked, self.ready = self.ready, None
        return asked[1] if asked and asked[0] == (first, count) else self._gather(first, count)

    def prepare(self, first: int, count: int) -> None:
        """Start copying the batch that `take` will return next; nothing to do if the data are on the device."""
        if self.home != self.device and count:
            self.ready = ((first, count), self._gather(first, count))

    def _gather(self, first: int, count: int) -> dict[str, Tensor]:
        index = batch_indices(first, count, self.n, self.seed, self.home)[self.rank :: self.world]
        batch = {name: value[index] for name, value in self.data.items()}
        if self.home == self.device:
            return batch
        return {name: value.pin_memory().to(self.device, non_blocking=True) for name, value in batch.items()}
