"""Latent diffusion on codes that are small pictures, told what to draw (Pinaya et al. 2022): see `guidance`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...data.joint import Shape
from ..autoencoder.autoencoder import Autoencoder
from .edm import LEVELS, Denoiser
from .guidance import Guided, withheld
from .latent_diffusion import LatentDiffusion
from .unet import FoldedUNet


class SpatialDiffusion(LatentDiffusion):
    """EDM on the codes of a trained Autoencoder; `kinds` of slices can be asked for (0: none).

    levels   mean and deviation of ln(sigma) in training
    widths, layers, attention   of the U-Net on codes (see FoldedUNet)
    """

    name = "spatial_diffusion"
    settings = ("first", "kinds", "levels", "widths", "layers", "attention", "learning_rate", "solver_steps")
    first_stage = Autoencoder

    def __init__(
        self,
        channels: int,
        labels: int,
        size: int,
        first: dict,
        kinds: int = 0,
        levels: tuple[float, float] = LEVELS,
        widths: tuple[int, ...] = (64, 96),
        layers: int = 1,
        attention: bool = True,
        learning_rate: float = 1e-3,
        solver_steps: int = 20,
    ):
        self.kinds, self.levels = kinds, list(levels)
        self.widths, self.layers, self.attention = list(widths), layers, attention
        side = size // (2 * first["patch"])
        classes = kinds + 1 if kinds else 0  # the last one is "not said"
        net = FoldedUNet(first["latent"], side, 1, widths, layers, attention, classes=classes)
        self.build(Shape(channels, labels, size), first, net, (first["latent"], 1, 1), levels)
        self.learning_rate, self.solver_steps = learning_rate, solver_steps

    def condition(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """The kinds int64 [B] of a batch, a tenth of them not said."""
        if not self.kinds:
            return ()
        return (withheld(batch["kinds"], self.kinds),)

    def sample(
        self, n: int, seed: int, steps: int | None = None, kinds: Tensor | None = None, guidance: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """n images [n, C, H, W] and labels [n, H, W].

        `kinds` int64 [n] asks for kinds (default: not said), `guidance` says how strongly.
        """
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(n, *self.autoencoder.code_shape, generator=generator)
        denoiser, condition = self.denoiser, ()
        if self.kinds:
            condition = (torch.full((n,), self.kinds) if kinds is None else kinds,)
            if kinds is not None and guidance != 1.0:
                denoiser = Denoiser(Guided(self.denoiser.net, guidance, self.kinds), 1.0).to(self.device)

        def draw(noise: Tensor, *told: Tensor) -> Tensor:
            u = denoiser.solve(noise, steps or self.solver_steps, *told)
            return self.denoiser.shift + self.denoiser.scale * u

        return self.autoencoder.decode(self.in_batches(draw, noise, *condition))


def lesion_kinds(labels: np.ndarray, edges) -> np.ndarray:
    """Kind [N] of slices from their labels [N, H, W]: 0 without lesion, else 1 + the `edges` (pixels) it passes."""
    area = (np.asarray(labels) > 0).sum(axis=(1, 2))
    return np.where(area > 0, 1 + np.searchsorted(np.asarray(edges), area, side="right"), 0).astype(np.int64)


def lesion_edges(labels: np.ndarray, parts: int) -> list[float]:
    """Lesion areas, in pixels, that cut the slices [N, H, W] with lesion into `parts` groups of equal size."""
    area = (np.asarray(labels) > 0).sum(axis=(1, 2))
    return [float(x) for x in np.quantile(area[area > 0], np.arange(1, parts) / parts)]
