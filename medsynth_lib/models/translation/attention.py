"""Attention-guided CycleGAN (Mejjati et al. 2018): a learned map limits changes. For lesions: SAG-GAN, Qi et al. 2020.

    G(x) = m(x) * T(x) + (1 - m(x)) * x,        m in (0, 1), one map per image
    G:  the losses of CycleGAN + change (E|| G_B(a) - a ||_1 + E|| G_A(b) - b ||_1)

Slices with and without a lesion differ little, so little should be changed. The map m is learned without masks; whether
it finds lesions is measured with masks that the training never saw.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...core.method import BATCH
from .cyclegan import CycleGAN, CycleGANConfig, ResNetGenerator


class AttentionGenerator(nn.Module):
    """Images [B, C, H, W] -> images that differ from them where the map [B, 1, H, W] is not 0."""

    def __init__(self, channels: int, width: int, blocks: int, patch: int):
        super().__init__()
        self.translator = ResNetGenerator(channels, channels, width, blocks, patch)
        self.attention_net = ResNetGenerator(channels, 1, width // 2, blocks, max(patch, 2))
        nn.init.zeros_(self.attention_net.curve.heights.weight)  # the map starts at 0.5 everywhere

    def attention(self, images: Tensor) -> Tensor:
        """Where images [B, C, H, W] are changed: maps [B, 1, H, W] in (0, 1)."""
        return (self.attention_net(images) + 1) / 2

    def forward(self, images: Tensor) -> Tensor:
        return torch.lerp(images, self.translator(images), self.attention(images))


@dataclass(frozen=True)
class AttentionCycleGANConfig(CycleGANConfig):
    change: float = 1.0  # weight of what the generators change


class AttentionCycleGAN(CycleGAN):
    """CycleGAN whose generators also predict where they change the image."""

    Config = AttentionCycleGANConfig
    name = "attention_cyclegan"

    def new_generator(self) -> nn.Module:
        return AttentionGenerator(self.channels, self.width, self.blocks, self.patch)

    def generator_losses(self, a: Tensor, b: Tensor, drawn: dict[str, Tensor]) -> dict[str, Tensor]:
        """CycleGAN's terms and "change" (0-dim): the mean absolute change, summed over both generators."""
        change = F.l1_loss(drawn["fake_b"], a) + F.l1_loss(drawn["fake_a"], b)
        return super().generator_losses(a, b, drawn) | {"change": change}

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        return super().total(losses) + self.change * losses["change"]

    def attention(self, images: Tensor, to: str, batch_size: int = BATCH) -> Tensor:
        """Maps [N, 1, H, W] in (0, 1): where `translate(images, to)` changes the images. On the CPU."""
        net = {"a": self.generator_a, "b": self.generator_b}[to].eval()
        return self.in_batches(net.attention, images, batch_size=batch_size)
