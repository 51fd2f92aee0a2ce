"""The interface between a method and the training loop: networks, loss and step."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

BATCH = 64  # images per batch outside training


class TrainingError(RuntimeError):
    """Training cannot continue; the message names the reason and the fix."""


def full_precision(like: Tensor) -> torch.autocast:
    """Context in which nothing on the device of `like` is computed in bfloat16, whatever the training's precision."""
    return torch.autocast(like.device.type, enabled=False)


@dataclass(frozen=True)
class Config:
    """The arguments of a method, each with its default: a frozen dataclass per method, written into its record.

    Lists (from JSON) become tuples. `check` may raise ValueError for values that are invalid or incompatible.
    """

    def __post_init__(self) -> None:
        for field in fields(self):
            if isinstance(value := getattr(self, field.name), list):
                object.__setattr__(self, field.name, tuple(value))
        self.check()

    def check(self) -> None:
        """Raise ValueError for invalid or incompatible values."""


class Method(ABC):
    """Base class of all methods. Subclasses define `Config`, `build`, `optimisers` and `step`.

    A method is made with the fields of its `Config`, which are also its attributes: `VAE(1, 4, 64, width=8).width`.
    Outside training (`sample`, `predict`, `latents`, `decode`, `translate`, ...) it works in batches and returns
    tensors on the CPU, whatever the device of its networks.

    name         lower-case name used in files and reports
    networks     names of the attributes that are trained
    averaged     those of them whose moving average is published (default: all)
    bf16         whether convolutions and matrix products may be in bfloat16 in training (False if results suffer)
    compiled     modules that torch.compile may compile, such as "denoiser.net"; none that need second derivatives
    global_step  steps done so far, set by `fit`, for work in every k-th step (lazy regularisation)
    """

    Config: type[Config] = Config
    name = "method"
    networks: tuple[str, ...] = ()
    averaged: tuple[str, ...] | None = None
    compiled: tuple[str, ...] = ()
    bf16 = True
    global_step = 0

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "__init__" not in vars(cls):
            cls.__signature__ = inspect.signature(cls.Config)  # what editors and notebooks show

    def __init__(self, *arguments: Any, **named: Any):
        self.config = self.Config(*arguments, **named)
        vars(self).update(vars(self.config))
        self.build()

    @abstractmethod
    def build(self) -> None:
        """Make the networks from the fields of the config."""

    def arguments(self) -> dict:
        """The config as plain values: `type(self)(**arguments)` builds the same networks."""
        return asdict(self.config)

    @abstractmethod
    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """New optimisers by name; called once per training."""

    @abstractmethod
    def step(self, batch: dict[str, Tensor], optimisers: dict, fraction: float) -> dict[str, Tensor]:
        """Loss, backward and optimiser step(s) on one batch; returns scalar loss tensors by name (no `.item()`).

        `fraction` in [0, 1) is the share of the training done so far (for warm-ups).
        """

    def lr_lambda(self, fraction: float) -> float:
        """Factor on every learning rate at `fraction` of the training."""
        return 1.0

    def batch_size(self, base: int, seen: int, total: int) -> int:
        """Images in the next step; `base` is the batch size given to `fit` (ProGAN: more at low resolution)."""
        return base

    def publishable(self) -> bool:
        """Whether the current networks may be published (ProGAN: only when fully grown)."""
        return True

    def backward(self, loss: Tensor) -> None:
        """Gradients of a 0-dim loss. During `fit` they are averaged over the processes that train together."""
        loss.backward()

    def mean_of_processes(self, value: Tensor) -> Tensor:
        """A value on the device, averaged in place over the processes that train together (during `fit`)."""
        return value

    @contextmanager
    def frozen(self, net: nn.Module) -> Iterator[None]:
        """Context in which gradients pass through `net` to its input but not to its weights: D in the step of G."""
        net.requires_grad_(False)
        try:
            yield
        finally:
            net.requires_grad_(True)

    @torch.no_grad()
    def in_batches(self, function: Callable, *tensors: Tensor, batch_size: int = BATCH) -> Tensor | tuple[Tensor, ...]:
        """Apply `function` to the tensors [N, ...] batch by batch on the device; results [N, ...] on the CPU.

        `function` returns a tensor or a tuple of tensors. Memory on the device does not grow with N.
        """
        parts = []
        for rows in zip(*(tensor.split(batch_size) for tensor in tensors), strict=True):
            found = function(*(part.to(self.device) for part in rows))
            parts.append(tuple(x.cpu() for x in (found if isinstance(found, tuple) else (found,))))
        joined = tuple(torch.cat(pieces) for pieces in zip(*parts, strict=True))
        return joined if isinstance(found, tuple) else joined[0]

    def modules(self) -> dict[str, nn.Module]:
        """The networks that are trained, by name."""
        return {name: getattr(self, name) for name in self.networks}

    def untrained(self) -> list[nn.Module]:
        """Networks that the method uses but does not train, such as a first stage or a feature extractor."""
        return []

    def parameters(self) -> int:
        """Number of trainable parameters of all networks."""
        return sum(p.numel() for net in self.modules().values() for p in net.parameters() if p.requires_grad)

    def to(self, device: torch.device | str) -> Method:
        for net in (*self.modules().values(), *self.untrained()):
            net.to(device)
        return self

    @property
    def device(self) -> torch.device:
        return next(next(iter(self.modules().values())).parameters()).device

    def weights(self) -> dict[str, Tensor]:
        return {f"{n}.{k}": v for n, net in self.modules().items() for k, v in net.state_dict().items()}

    def load(self, weights: dict[str, Tensor]) -> Method:
        """Load the `weights()` of a method with the same config; TrainingError when names or shapes differ."""
        for name, net in self.modules().items():
            mine = {k[len(name) + 1 :]: v for k, v in weights.items() if k.startswith(name + ".")}
            try:
                net.load_state_dict(mine)
            except RuntimeError as error:
                reason = str(error).splitlines()[-1].strip()
                raise TrainingError(
                    f"the weights do not fit {self.name}'s {name} ({reason}); build it from their config.json."
                ) from error
        return self
