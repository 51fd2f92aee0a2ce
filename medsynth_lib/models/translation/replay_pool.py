"""A pool of earlier fakes for a discriminator."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ReplayPool(nn.Module):
    """Earlier fakes that D sees again, so that it does not forget what G generated earlier (Shrivastava et al. 2017).

    While the pool is not full, fakes are kept and passed on. Then each fake is passed on with probability 1/2;
    otherwise it replaces a random one, which D sees instead. The pool is on the device and part of the saved state, so
    a resumed training continues with it.
    """

    def __init__(self, shape: tuple[int, int, int], size: int = 50):
        super().__init__()
        self.register_buffer("held", torch.zeros(size, *shape))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def exchange(self, fakes: Tensor) -> Tensor:
        """The images that D sees instead of `fakes` [B, C, H, W]; the host never waits for the device.

        Raises ValueError for a batch of more than half the pool.
        """
        size, b, device = len(self.held), len(fakes), fakes.device
        if 2 * b > size:
            raise ValueError(f"a batch of {b} is more than half of the replay pool of {size}; make the pool larger.")
        room = self.filled + b <= size
        # Distinct places among the filled ones, so that the order of writing does not matter.
        chance = torch.rand(size, device=device).masked_fill(torch.arange(size, device=device) >= self.filled, 2.0)
        place = torch.where(room, self.filled + torch.arange(b, device=device), chance.argsort()[:b])
        swap = (~room & (torch.rand(b, device=device) < 0.5))[:, None, None, None]
        former = self.held[place % size].to(fakes.dtype)
        self.held[place % size] = torch.where(room | swap, fakes, former).to(self.held.dtype)
        self.filled.copy_(torch.where(room, self.filled + b, self.filled))
        return torch.where(swap, former, fakes)
