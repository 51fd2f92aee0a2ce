"""Several processes that train one method, each on its share of every batch. With one process, nothing happens here.

The networks are not wrapped. After `backward` the gradients are averaged over the processes, so that every process
makes the same optimiser step; running statistics are taken from the first process in the end.
"""

from __future__ import annotations

from datetime import timedelta

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor

from .method import TrainingError

PATIENCE = timedelta(minutes=30)  # processes wait so long for the first one, which evaluates samples meanwhile


def strategy() -> DDPStrategy:
    """What Fabric needs to start processes that find each other and stop waiting after PATIENCE."""
    return DDPStrategy(timeout=PATIENCE)


class Processes:
    """Sums and copies between the processes of `fabric`.

    Everything raises TrainingError when another process has ended, or does not answer within PATIENCE.
    """

    def __init__(self, fabric: Fabric):
        self.fabric, self.count = fabric, fabric.world_size

    def _together(self, exchange):
        try:
            return exchange()
        except (RuntimeError, dist.DistError) as error:
            raise TrainingError(
                f"process {self.fabric.global_rank} of {self.count} waited for another one that has ended "
                f"({str(error).splitlines()[0][:120]}); the same command goes on from the last checkpoint."
            ) from error

    def check(self, batch_size: int) -> None:
        """ValueError when a batch cannot be shared equally."""
        if batch_size % self.count:
            raise ValueError(
                f"a batch of {batch_size} cannot be shared by {self.count} processes; give a multiple of {self.count}."
            )

    def average(self, tensors: list[Tensor]) -> None:
        """Every tensor becomes its mean over the processes, in place and in one message."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().flatten().float() for tensor in tensors])
        self._together(lambda: dist.all_reduce(flat))
        parts = (flat / self.count).split([tensor.numel() for tensor in tensors])
        with torch.no_grad():
            torch._foreach_copy_(tensors, [p.view_as(t) for p, t in zip(parts, tensors, strict=True)])

    def from_first(self, tensors: list[Tensor]) -> None:
        """Every tensor becomes what it is in the first process, in place."""
        if self.count == 1:
            return
        with torch.no_grad():
            for tensor in tensors:
                whole = tensor.detach().contiguous()
                self._together(lambda whole=whole: dist.broadcast(whole, 0))
                tensor.copy_(whole)

    def tell(self, value):
        """What the first process holds as `value` (plain values and tensors), in every process."""
        return value if self.count == 1 else self._together(lambda: self.fabric.broadcast(value, 0))

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.count > 1:
            self._together(self.fabric.barrier)
