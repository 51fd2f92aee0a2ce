"""What the training loop needs of a method: its networks, its loss and its step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import contextmanager

import torch
from torch import Tensor, nn

BATCH = 64  # pictures that go through a network at once in use


class TrainingError(RuntimeError):
    """Training cannot go on; the sentence names the step, the loss and what to try."""


def full_precision(like: Tensor):
    """A context in which nothing on the device of `like` is computed in bfloat16, whatever the training's precision."""
    return torch.autocast(like.device.type, enabled=False)


class Method(ABC):
    """What `fit` needs of a method. Subclasses set `networks` and `settings` and write `optimisers` and `step`.

    What a method returns in use (`sample`, `predict`, `latents`, `decode`, `translate`, ...) lies on the CPU, whatever
    device its networks are on, and is made in batches.

    name       lower-case name used in files and reports
    settings   names of the constructor's arguments, kept as attributes of the same names
    shape      of a generator's pictures (its fields are constructor's arguments too); None for other methods
    networks   names of the attributes that are trained
    averaged   those of them whose moving average is published (default: all)
    bf16       whether it may train with convolutions and matrix products in bfloat16 (False where that hurts)
    compiled   modules that torch.compile may take, such as "denoiser.net": none whose gradient has a gradient
    at         steps done so far, set by `fit`: for what happens every k-th step (lazy regularisation)
    """

    at = 0
    bf16 = True
    compiled: tuple[str, ...] = ()
    name = "method"
    settings: tuple[str, ...] = ()
    shape = None
    networks: tuple[str, ...] = ()
    averaged: tuple[str, ...] | None = None

    def config(self) -> dict:
        """Constructor arguments as plain values: `type(self)(**config)` builds the same networks."""
        shape = vars(self.shape) if self.shape else {}
        return {**shape, **{name: getattr(self, name) for name in self.settings}}

    @abstractmethod
    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """New optimisers by name; called once per training."""

    @abstractmethod
    def step(self, batch: dict[str, Tensor], optimisers: dict, fraction: float) -> dict[str, Tensor]:
        """Loss, backward and optimiser step(s) on one batch; returns scalar loss tensors by name (no `.item()`).

        `fraction` in [0, 1) is the share of the training that is done (for warm-ups).
        """

    def schedule(self, fraction: float) -> float:
        """Factor on every learning rate at `fraction` of the training."""
        return 1.0

    def batch_size(self, base: int, seen: int, total: int) -> int:
        """Images in the next step, where `base` is what `fit` was asked for (ProGAN: more at low resolution)."""
        return base

    def publishable(self) -> bool:
        """Whether the networks as they are may be kept as the result (ProGAN: not before they are full grown)."""
        return True

    def backward(self, loss: Tensor) -> None:
        """Gradients of a 0-dim loss. During `fit` they are averaged over the processes that train together."""
        loss.backward()

    def mean_of_processes(self, value: Tensor) -> Tensor:
        """A value on the device, averaged in place over the processes that train together (during `fit`)."""
        return value

    @contextmanager
    def frozen(self, net: nn.Module):
        """Gradients pass through `net` to its input, but its own weights get none: an opponent's judgement."""
        net.requires_grad_(False)
        try:
            yield
        finally:
            net.requires_grad_(True)

    @torch.no_grad()
    def in_batches(self, function: Callable, *tensors: Tensor, batch_size: int = BATCH):
        """`function` of equal rows of the tensors, a batch at a time on the device; results [N, ...] on the CPU.

        `function` returns a tensor or a tuple of tensors. So memory on the device does not grow with N.
        """
        parts = []
        for rows in zip(*(tensor.split(batch_size) for tensor in tensors), strict=True):
            found = function(*(part.to(self.device) for part in rows))
            parts.append(tuple(x.cpu() for x in (found if isinstance(found, tuple) else (found,))))
        joined = tuple(torch.cat(pieces) for pieces in zip(*parts, strict=True))
        return joined if isinstance(found, tuple) else joined[0]

    def parts(self) -> dict[str, nn.Module]:
        return {name: getattr(self, name) for name in self.networks}

    def untrained(self) -> list[nn.Module]:
        """Networks that the method uses and does not train: a first stage, a model whose features are read."""
        return []

    def parameters(self) -> int:
        """Number of trainable parameters of all networks."""
        return sum(p.numel() for net in self.parts().values() for p in net.parameters() if p.requires_grad)

    def to(self, device) -> Method:
        for net in (*self.parts().values(), *self.untrained()):
            net.to(device)
        return self

    @property
    def device(self) -> torch.device:
        return next(next(iter(self.parts().values())).parameters()).device

    def weights(self) -> dict[str, Tensor]:
        return {f"{n}.{k}": v for n, net in self.parts().items() for k, v in net.state_dict().items()}

    def load(self, weights: dict[str, Tensor]) -> Method:
        """Load `weights()` of a like method; raises TrainingError when names or shapes differ."""
        for name, net in self.parts().items():
            mine = {k[len(name) + 1 :]: v for k, v in weights.items() if k.startswith(name + ".")}
            try:
                net.load_state_dict(mine)
            except RuntimeError as error:
                reason = str(error).splitlines()[-1].strip()
                raise TrainingError(
                    f"the weights do not fit {self.name}'s {name} ({reason}); build it from the config beside them."
                ) from error
        return self
