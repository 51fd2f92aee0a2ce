"""What the training loop needs of a method: its networks, its loss and its step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn


class TrainingError(RuntimeError):
    """Training cannot go on; the sentence names the step, the loss and what to try."""


class Method(ABC):
    """What `fit` needs of a method. Subclasses set `networks` and `settings` and write `optimisers` and `step`.

    name       lower-case name used in files and reports
    settings   names of the constructor's arguments, kept as attributes of the same names
    shape      of a generator's pictures (its fields are constructor's arguments too); None for other methods
    networks   names of the attributes that are trained
    averaged   those of them whose moving average is published (default: all)
    at         steps done so far, set by `fit`: for what happens every k-th step (lazy regularisation)
    """

    at = 0
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
        """Replaced by Fabric's backward during `fit`."""
        loss.backward()

    def no_sync(self, net: nn.Module):
        """Replaced by Fabric's during `fit`: a context in which processes exchange no gradients of `net`."""
        return nullcontext()

    @contextmanager
    def frozen(self, net: nn.Module):
        """Gradients pass through `net` to its input, but its own weights get none: an opponent's judgement."""
        net.requires_grad_(False)
        try:
            with self.no_sync(net):
                yield
        finally:
            net.requires_grad_(True)

    def parts(self) -> dict[str, nn.Module]:
        return {name: getattr(self, name) for name in self.networks}

    def parameters(self) -> int:
        """Number of trainable parameters of all networks."""
        return sum(p.numel() for net in self.parts().values() for p in net.parameters() if p.requires_grad)

    def to(self, device) -> Method:
        for net in self.parts().values():
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
