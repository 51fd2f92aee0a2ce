"""Class-conditional diffusion when some classes are rare (after Yan et al. 2024, DiffROP). Taught in 11.

    L = EDM's loss + overlap E max(0, MARGIN - || F(x; c) - F(x; c') ||^2 / n)        c': any other class

The second term is our interpretation of the paper, whose training code is not public: for two classes, the Gaussians of
one denoising step have the same variance, so their KL divergence is the squared distance of F's outputs, up to a
factor. Classes with similar outputs (a rare one that has become like a frequent one) are pushed apart, up to a margin.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...data import joint
from .edm import EDM, Denoiser, EDMConfig
from .guidance import Guided, drop_condition
from .unet import FoldedUNet

MARGIN = 0.1  # of the variance of F's target, which is 1


@dataclass(frozen=True, kw_only=True)
class ClassDiffusionConfig(EDMConfig):
    classes: int = 2  # number of classes
    overlap: float = 0.0  # weight of the overlap term; 0: plain EDM


class ClassDiffusion(EDM):
    """EDM conditioned on a class; batches are {"images", "labels", "classes" int64 [B]}."""

    Config = ClassDiffusionConfig
    name = "class_diffusion"

    def network(self) -> nn.Module:
        known = self.classes + 1  # the last one is the null label
        return FoldedUNet(self.shape.joint, self.shape.size, *self.sizes, classes=known)

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Per image of the batch: [B]."""
        clean, classes = joint.encode(batch["images"], batch["labels"], self.shape.labels), batch["classes"]
        noisy, sigma = self.denoiser.noisy(clean)
        condition = drop_condition(classes, self.classes)
        loss = self.denoiser.error(clean, noisy, sigma, condition)
        if not self.overlap:
            return loss
        other = (classes + torch.randint(1, self.classes, classes.shape, device=classes.device)) % self.classes
        with torch.no_grad():
            theirs = self.denoiser.answer(noisy, sigma, other)
        apart = (self.denoiser.answer(noisy, sigma, classes) - theirs).square().flatten(1).mean(1)
        return loss + self.overlap * (MARGIN - apart).clamp(min=0)

    def sample(
        self, n: int, seed: int, steps: int | None = None, classes: Tensor | None = None, guidance: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """n images [n, C, H, W] and labels [n, H, W] of `classes` int64 [n] (default: unconditional)."""
        noise, _ = self.noise(n, seed)
        condition = torch.full((n,), self.classes) if classes is None else classes
        net = self.denoiser.net if guidance == 1.0 else Guided(self.denoiser.net, guidance, self.classes)
        denoiser = Denoiser(net, self.sigma_data, prediction_type=self.prediction_type).to(self.device)

        def draw(noise: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
            return self.decoded(denoiser.solve(noise, steps or self.solver_steps, condition))

        return self.in_batches(draw, noise, condition)
