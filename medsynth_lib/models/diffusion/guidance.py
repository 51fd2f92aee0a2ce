"""Classifier-free guidance (Ho & Salimans 2022) for every model with a condition.

One network learns both p(x | kind) and p(x): for a random tenth of the slices, the kind is replaced by a null label.
In sampling, the effect of the condition on the prediction is scaled by `guidance`:

    F(x; kind) = F(x; none) + guidance (F(x; kind) - F(x; none)),   0: unconditional, 1: conditional, above: exaggerated
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

DROPPED = 0.1  # share of the slices whose condition is dropped


def drop_condition(kinds: Tensor, null_label: int) -> Tensor:
    """Kinds int64 [B], a tenth of them replaced by `null_label`."""
    return torch.where(torch.rand(len(kinds), device=kinds.device) < DROPPED, null_label, kinds)


class Guided(nn.Module):
    """`net` with the effect of its condition scaled by `guidance`; both predictions come from one call."""

    def __init__(self, net: nn.Module, guidance: float, null_label: int):
        super().__init__()
        self.net, self.guidance, self.null_label = net, guidance, null_label

    def forward(self, x: Tensor, level: Tensor, kinds: Tensor) -> Tensor:
        both = torch.cat([kinds, torch.full_like(kinds, self.null_label)])
        conditional, unconditional = self.net(torch.cat([x, x]), torch.cat([level, level]), both).chunk(2)
        return unconditional + self.guidance * (conditional - unconditional)
