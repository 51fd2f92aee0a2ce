"""Optimisers and learning-rate schedules that the methods share."""

from __future__ import annotations

import math

import torch
from torch import nn


def adam(*nets: nn.Module, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> torch.optim.Adam:
    """Adam over all weights of `nets`."""
    return torch.optim.Adam(_weights(nets), lr=lr, betas=betas, eps=eps, fused=True)


def adamw(*nets: nn.Module, lr: float, weight_decay: float = 1e-2) -> torch.optim.AdamW:
    """AdamW over all weights of `nets`."""
    return torch.optim.AdamW(_weights(nets), lr=lr, weight_decay=weight_decay, fused=True)


def cosine(fraction: float) -> float:
    """Factor on the learning rate: cosine decay from 1 to 0, at `fraction` in [0, 1] of the training."""
    return 0.5 * (1 + math.cos(math.pi * fraction))


def warm_up(fraction: float, share: float = 0.02) -> float:
    """Factor on the learning rate: from near 0 to 1 over the first `share` of the training.

    Adam's second moments are still inaccurate in the first steps.
    """
    return min(1.0, (fraction + 1e-3) / share)


def _weights(nets: tuple[nn.Module, ...]) -> list[nn.Parameter]:
    return [weight for net in nets for weight in net.parameters()]
