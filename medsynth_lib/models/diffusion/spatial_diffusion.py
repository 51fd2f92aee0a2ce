"""Conditional diffusion on spatial latents (Pinaya et al. 2022), with classifier-free guidance (see `guidance`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..autoencoder.autoencoder import Autoencoder
from ..generator import GeneratorConfig
from .edm import P_MEAN, P_STD, Denoiser
from .guidance import Guided, drop_condition
from .latent_diffusion import LatentDiffusion
from .unet import FoldedUNet


@dataclass(frozen=True)
class SpatialDiffusionConfig(GeneratorConfig):
    first: dict  # the arguments of the first stage, the Autoencoder
    kinds: int = 0  # kinds of slices to condition on; 0: unconditional
    p_mean: float = P_MEAN  # mean of ln(sigma) in training
    p_std: float = P_STD  # standard deviation of ln(sigma) in training
    widths: tuple[int, ...] = (64, 96)  # channels per level of the U-Net on latents
    layers: int = 1  # residual blocks per level
    attention: bool = True  # self-attention at the lowest level
    learning_rate: float = 1e-3
    solver_steps: int = 20  # evaluations of the network per sample


class SpatialDiffusion(LatentDiffusion):
    """EDM on the latents of a trained Autoencoder, conditioned on the kind of slice."""

    Config = SpatialDiffusionConfig
    name = "spatial_diffusion"
    first_stage = Autoencoder

    def network(self) -> nn.Module:
        side = self.size // (2 * self.first["patch"])
        classes = self.kinds + 1 if self.kinds else 0  # the last one is the null label
        return FoldedUNet(self.first["latent"], side, 1, self.widths, self.layers, self.attention, classes=classes)

    def noise_levels(self) -> dict[str, float]:
        return {"p_mean": self.p_mean, "p_std": self.p_std}

    def statistics_shape(self) -> tuple[int, ...]:
        return self.first["latent"], 1, 1

    def condition(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """The kinds int64 [B] of a batch, a tenth of them dropped."""
        if not self.kinds:
            return ()
        return (drop_condition(batch["kinds"], self.kinds),)

    def sample(
        self, n: int, seed: int, steps: int | None = None, kinds: Tensor | None = None, guidance: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """n images [n, C, H, W] and labels [n, H, W].

        `kinds` int64 [n] are the condition (default: none), `guidance` scales its effect.
        """
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(n, *self.autoencoder.latent_shape, generator=generator)
        denoiser, condition = self.denoiser, ()
        if self.kinds:
            condition = (torch.full((n,), self.kinds) if kinds is None else kinds,)
            if kinds is not None and guidance != 1.0:
                denoiser = Denoiser(Guided(self.denoiser.net, guidance, self.kinds), 1.0).to(self.device)

        def draw(noise: Tensor, *given: Tensor) -> Tensor:
            u = denoiser.solve(noise, steps or self.solver_steps, *given)
            return self.denoiser.shift + self.denoiser.scale * u

        return self.autoencoder.decode(self.in_batches(draw, noise, *condition))


def lesion_kinds(labels: np.ndarray, edges: list[float]) -> np.ndarray:
    """Kind [N] of slices from their labels [N, H, W]: 0 without lesion, else 1 + the number of `edges` <= its area."""
    area = (np.asarray(labels) > 0).sum(axis=(1, 2))
    return np.where(area > 0, 1 + np.searchsorted(np.asarray(edges), area, side="right"), 0).astype(np.int64)


def lesion_edges(labels: np.ndarray, parts: int) -> list[float]:
    """Lesion areas, in pixels, that split the slices [N, H, W] with a lesion into `parts` groups of equal size."""
    area = (np.asarray(labels) > 0).sum(axis=(1, 2))
    return [float(x) for x in np.quantile(area[area > 0], np.arange(1, parts) / parts)]
