"""What diffusion models of pictures share: the sizes of their U-Net, its optimiser, the noise samples begin with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...core.method import Method
from ...data.joint import Shape, decode
from .unet import warm_up


class PixelDiffusion(Method):
    """A method with one network, a FoldedUNet or something around it; `sizes` are its arguments after the picture's.

    Subclasses name the network in `networks` and build it.
    """

    def __init__(
        self, shape: Shape, patch: int, widths, layers: int, attention: bool, learning_rate: float, solver_steps: int
    ):
        self.shape = shape
        self.patch, self.widths, self.layers, self.attention = patch, list(widths), layers, attention
        self.learning_rate, self.solver_steps = learning_rate, solver_steps

    @property
    def sizes(self) -> tuple:
        """patch, widths, layers, attention."""
        return self.patch, self.widths, self.layers, self.attention

    def optimisers(self) -> dict:
        (name,) = self.networks
        weights = getattr(self, name).parameters()
        return {name: torch.optim.AdamW(weights, lr=self.learning_rate, fused=True)}

    def schedule(self, fraction: float) -> float:
        return warm_up(fraction) * (1 - 0.9 * fraction)

    def descend(self, loss: Tensor, optimisers: dict) -> None:
        """One step down this loss (0-dim), its gradient clipped to length 1."""
        (name,) = self.networks
        optimisers[name].zero_grad()
        self.backward(loss)
        nn.utils.clip_grad_norm_(getattr(self, name).parameters(), 1.0)
        optimisers[name].step()

    def noise(self, n: int, seed: int) -> tuple[Tensor, torch.Generator]:
        """Noise [n, C + K, H, W] of unit variance, drawn on the CPU and left there; and its generator, for more."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(n, self.shape.joint, self.shape.size, self.shape.size, generator=generator), generator

    def decoded(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """images [n, C, H, W] and labels [n, H, W] of joint pictures."""
        return decode(pictures, self.shape.channels)
