"""What diffusion models of images share: the sizes of their U-Net, its optimiser, the initial noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...core.optim import adamw, warm_up
from ...data.joint import decode
from ..generator import GeneratorConfig, GeneratorMethod


@dataclass(frozen=True, kw_only=True)
class PixelConfig(GeneratorConfig):
    patch: int = 4  # the U-Net works on patch x patch pixels folded into channels
    widths: tuple[int, ...] = (96, 128, 160)  # channels per level of the U-Net
    layers: int = 1  # residual blocks per level
    attention: bool = False  # self-attention at the lowest level
    learning_rate: float = 1e-3
    solver_steps: int = 20  # evaluations of the network per sample


class PixelDiffusion(GeneratorMethod):
    """A method with one network, a FoldedUNet or a module around it, which subclasses name in `networks`."""

    Config = PixelConfig

    @property
    def sizes(self) -> tuple:
        """patch, widths, layers, attention: the arguments of FoldedUNet after the image's."""
        return self.patch, self.widths, self.layers, self.attention

    def optimisers(self) -> dict:
        (name,) = self.networks
        return {name: adamw(getattr(self, name), lr=self.learning_rate)}

    def lr_lambda(self, fraction: float) -> float:
        return warm_up(fraction) * (1 - 0.9 * fraction)

    def descend(self, loss: Tensor, optimisers: dict) -> None:
        """One optimiser step on this loss (0-dim), with the gradient's norm clipped to 1."""
        (name,) = self.networks
        optimisers[name].zero_grad()
        self.backward(loss)
        nn.utils.clip_grad_norm_(getattr(self, name).parameters(), 1.0)
        optimisers[name].step()

    def noise(self, n: int, seed: int) -> tuple[Tensor, torch.Generator]:
        """Noise [n, C + K, H, W] of unit variance on the CPU, and its random generator, for further noise."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(n, self.shape.joint, self.shape.size, self.shape.size, generator=generator), generator

    def decoded(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images [n, C, H, W] and labels [n, H, W] of joint images."""
        return decode(images, self.shape.channels)
