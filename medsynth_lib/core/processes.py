"""Several processes that train one method, each on its share of every batch. With one process, nothing is exchanged.

The networks are not wrapped. After `backward` the gradients are averaged over the processes, so that every process
makes the same optimiser step; at the end, running statistics are taken from the first process.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor

from .method import TrainingError

PATIENCE = timedelta(minutes=30)  # how long processes wait for the first one, which alone evaluates samples


def strategy() -> DDPStrategy:
    """Fabric's strategy for processes that exchange tensors and stop waiting after PATIENCE."""
    return DDPStrategy(timeout=PATIENCE)


class Processes:
    """Averages and copies between the processes of `fabric`.

    All exchanges raise TrainingError when another process has ended or does not respond within PATIENCE.
    """

    def __init__(self, fabric: Fabric):
        self.fabric, self.count = fabric, fabric.world_size

    def _together(self, exchange: Callable[[], Any]) -> Any:
        try:
            return exchange()
        except (RuntimeError, dist.DistError) as error:
            raise TrainingError(
                f"process {self.fabric.global_rank} of {self.count} waited for another one that has ended "
                f"({str(error).splitlines()[0][:120]}); run the same command to resume from the last checkpoint."
            ) from error

    def check(self, batch_size: int) -> None:
        """ValueError when a batch cannot be shared equally."""
        if batch_size % self.count:
            raise ValueError(
                f"a batch of {batch_size} cannot be shared by {self.count} processes; give a multiple of {self.count}."
            )

    def average(self, tensors: list[Tensor]) -> None:
        """Replace every tensor by its mean over the processes, in place, in one all-reduce."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().flatten().float() for tensor in tensors])
        self._together(lambda: dist.all_reduce(flat))
        parts = (flat / self.count).split([tensor.numel() for tensor in tensors])
        with torch.no_grad():
            torch._foreach_copy_(tensors, [p.view_as(t) for p, t in zip(parts, tensors, strict=True)])

    def from_first(self, tensors: list[Tensor]) -> None:
        """Replace every tensor by that of the first process, in place."""
        if self.count == 1:
            return
        with torch.no_grad():
            for tensor in tensors:
                whole = tensor.detach().contiguous()
                self._together(lambda whole=whole: dist.broadcast(whole, 0))
                tensor.copy_(whole)

    def tell(self, value: Any) -> Any:
        """The first process's `value` (plain values and tensors), in every process."""
        return value if self.count == 1 else self._together(lambda: self.fabric.broadcast(value, 0))

    def barrier(self) -> None:
        """Wait until every process gets here."""
        if self.count > 1:
            self._together(self.fabric.barrier)
