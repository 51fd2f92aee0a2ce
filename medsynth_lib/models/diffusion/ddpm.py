"""Denoising diffusion (Ho et al. 2020) on diffusers' UNet2DModel. Taught in 05_ddpm.

    q(x_t | x_0) = N( sqrt(a_t) x_0, (1 - a_t) I ),   a_t = prod_{s<=t} (1 - beta_s)           (forward, eq. 4)
    L            = E_{t, x_0, eps} w_t || eps - eps_theta(x_t, t) ||^2,  x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) eps

w_t = 1 is L_simple (eq. 14); by default w_t = min(SNR_t, 5) / SNR_t (Hang et al. 2023), SNR_t = a_t / (1 - a_t).

Sampling solves the reverse ODE with DPM-Solver++(2M) (Lu et al. 2022) in a few dozen network evaluations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import SchedulerMixin
from torch import Tensor

from ...data import joint
from .pixels import PixelConfig, PixelDiffusion
from .solvers import TIMESTEPS, alphas, noise_schedule, solver, walk
from .unet import FoldedUNet

MAX_SNR = 5.0  # bound on the signal-to-noise ratio in the weight of the loss
PREDICTION_TYPES = ("sample", "epsilon", "v_prediction")  # diffusers' names


class NoisePredictor(FoldedUNet):
    """eps_theta(x_t, t) for joint images [B, C, H, W]; t is int64 [B].

    The U-Net predicts one of three targets, from which the noise follows exactly (`prediction_type`, diffusers' names):
    "sample"        the clean image:             eps = (x_t - sqrt(a_t) x_0) / sqrt(1 - a_t)
    "epsilon"       the noise itself (Ho et al.)
    "v_prediction"  v = sqrt(a_t) eps - sqrt(1 - a_t) x_0 (Salimans & Ho 2022):  eps = sqrt(a_t) v + sqrt(1 - a_t) x_t
    On folded patches the first is best: a patch of noise has as many independent numbers as values (128 at patch 4 with
    8 channels), more than 64 feature channels can represent. A clean image is smooth and needs fewer.
    """

    def __init__(self, *arguments: Any, prediction_type: str = "sample"):
        super().__init__(*arguments)
        if prediction_type not in PREDICTION_TYPES:
            raise ValueError(f"unknown prediction_type {prediction_type!r}; known: {', '.join(PREDICTION_TYPES)}.")
        self.prediction_type = prediction_type
        self.register_buffer("alphas", alphas().clone(), persistent=False)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        predicted = super().forward(x, t).float()
        a = self.alphas[t].view(-1, 1, 1, 1)
        if self.prediction_type == "sample":
            return (x - a.sqrt() * predicted) / (1 - a).sqrt()
        return predicted if self.prediction_type == "epsilon" else a.sqrt() * predicted + (1 - a).sqrt() * x


@dataclass(frozen=True, kw_only=True)
class DDPMConfig(PixelConfig):
    learning_rate: float = 5e-4
    solver_steps: int = 25
    prediction_type: str = "sample"  # the prediction target: see NoisePredictor
    max_snr: float | None = MAX_SNR  # bound on the SNR in the weight of the loss; None: L_simple


class DDPM(PixelDiffusion):
    """Diffusion model over image and label."""

    Config = DDPMConfig
    name = "ddpm"
    networks = ("predictor",)
    compiled = networks

    def build(self) -> None:
        self.predictor = NoisePredictor(self.shape.joint, self.size, *self.sizes, prediction_type=self.prediction_type)
        self.noise_scheduler = noise_schedule()

    def loss(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """0-dim: "loss", the weighted one that is minimised, and "eps_mse", L_simple on the same batch, to compare.

        The noise process stays in fp32; only the U-Net may run in bf16.
        """
        x0 = joint.encode(images, labels, self.shape.labels)
        noise = torch.randn_like(x0)
        t = torch.randint(0, TIMESTEPS, (len(x0),), device=x0.device)
        xt = self.noise_scheduler.add_noise(x0, noise, t)
        error = (self.predictor(xt, t) - noise).pow(2).mean((1, 2, 3))
        a = self.predictor.alphas[t]
        weight = ((1 - a) / a * self.max_snr).clamp(max=1) if self.max_snr else torch.ones_like(a)
        return {"loss": (weight * error).mean(), "eps_mse": error.mean()}

    def step(self, batch: dict[str, Tensor], optimisers: dict, fraction: float) -> dict[str, Tensor]:
        losses = self.loss(batch["images"], batch["labels"])
        self.descend(losses["loss"], optimisers)
        return losses

    def sample(
        self, n: int, seed: int, steps: int | None = None, scheduler: SchedulerMixin | None = None
    ) -> tuple[Tensor, Tensor]:
        """n images [n, C, H, W], labels [n, H, W]; `scheduler` (see `solvers.solver`) replaces DPM-Solver++(2M)."""
        noise, generator = self.noise(n, seed)

        def draw(noise: Tensor) -> tuple[Tensor, Tensor]:
            way = scheduler or solver(steps or self.solver_steps)
            return self.decoded(walk(self.predictor, noise, way, generator))

        return self.in_batches(draw, noise)
