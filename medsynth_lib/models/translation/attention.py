"""Attention-guided CycleGAN (Mejjati et al. 2018): change only what must change. With lesions: SAG-GAN, Qi et al. 2020.

    G(x) = m(x) * T(x) + (1 - m(x)) * x,        m in (0, 1), one map per image
    G:  the losses of CycleGAN + change (E|| G_B(a) - a ||_1 + E|| G_A(b) - b ||_1)

Between healthy slices and slices with a lesion little differs, and little should be touched. The map m is not told
where lesions are: whether it finds them is measured against masks that the training never saw.
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
        self.painter = ResNetGenerator(channels, channels, width, blocks, patch)
        self.looker = ResNetGenerator(channels, 1, width // 2, blocks, max(patch, 2))
        nn.init.zeros_(self.looker.curve.heights.weight)  # the map starts grey, not with what is bright

    def attention(self, pictures: Tensor) -> Tensor:
        """Where images [B, C, H, W] are changed: map [B, 1, H, W] in (0, 1)."""
        return (self.looker(pictures) + 1) / 2

    def forward(self, pictures: Tensor) -> Tensor:
        return torch.lerp(pictures, self.painter(pictures), self.attention(pictures))


@dataclass(frozen=True)
class AttentionCycleGANConfig(CycleGANConfig):
    change: float = 1.0  # weight of what the generators change


class AttentionCycleGAN(CycleGAN):
    """CycleGAN whose generators say where they paint."""

    Config = AttentionCycleGANConfig
    name = "attention_cyclegan"

    def new_generator(self) -> nn.Module:
        return AttentionGenerator(self.channels, self.width, self.blocks, self.patch)

    def generator_losses(self, a: Tensor, b: Tensor, drawn: dict[str, Tensor]) -> dict[str, Tensor]:
        """CycleGAN's terms and "change" (0-dim): what both generators change of what they are given."""
        change = F.l1_loss(drawn["fake_b"], a) + F.l1_loss(drawn["fake_a"], b)
        return super().generator_losses(a, b, drawn) | {"change": change}

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        return super().total(losses) + self.change * losses["change"]

    def attention(self, pictures: Tensor, to: str, batch_size: int = BATCH) -> Tensor:
        """Maps [N, 1, H, W] in (0, 1): where `translate(images, to)` changes something. On the CPU."""
        net = {"a": self.generator_a, "b": self.generator_b}[to].eval()
        return self.in_batches(net.attention, pictures, batch_size=batch_size)
