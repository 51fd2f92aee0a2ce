"""Classifier-free guidance (Ho & Salimans 2022) for every model that can be told a kind.

One network learns both p(x | kind) and p(x): for a tenth of the slices the kind is replaced by "not said", slice by
slice. In use, the answer goes beyond what the condition changes:

    F(x; kind) = F(x; none) + guidance (F(x; kind) - F(x; none)),   0: not told at all, 1: told, above: exaggerated
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

DROPPED = 0.1  # share of the slices whose kind is not said


def withheld(kinds: Tensor, silent: int) -> Tensor:
    """Kinds int64 [B], a tenth of them replaced by `silent`."""
    return torch.where(torch.rand(len(kinds), device=kinds.device) < DROPPED, silent, kinds)


class Guided(nn.Module):
    """`net` with its condition exaggerated by `guidance`; both answers come out of one call."""

    def __init__(self, net: nn.Module, guidance: float, silent: int):
        super().__init__()
        self.net, self.guidance, self.silent = net, guidance, silent

    def forward(self, x: Tensor, level: Tensor, kinds: Tensor) -> Tensor:
        both = torch.cat([kinds, torch.full_like(kinds, self.silent)])
        told, silent = self.net(torch.cat([x, x]), torch.cat([level, level]), both).chunk(2)
        return silent + self.guidance * (told - silent)
