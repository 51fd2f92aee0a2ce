"""Denoising diffusion (Ho et al. 2020) on diffusers' UNet2DModel. Taught in 05_ddpm.

    q(x_t | x_0) = N( sqrt(a_t) x_0, (1 - a_t) I ),   a_t = prod_{s<=t} (1 - beta_s)           (forward, eq. 4)
    L            = E_{t, x_0, eps} w_t || eps - eps_theta(x_t, t) ||^2,  x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) eps

w_t = 1 is L_simple (eq. 14); here w_t = min(SNR_t, 5) / SNR_t (Hang et al. 2023), SNR_t = a_t / (1 - a_t).

Sampling solves the reverse ODE with DPM-Solver++(2M) (Lu et al. 2022) in a few dozen network evaluations.
"""

from __future__ import annotations

import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel
from torch import Tensor, nn
from torch.nn import functional as F

from ..method import Method
from . import joint

TIMESTEPS = 1000  # beta from 1e-4 to 0.02: a_T = 4e-5, so the last step is noise and no brightness leaks through
MAX_SNR = 5.0  # nearly clean pictures weigh no more than those at this signal-to-noise ratio
WARM_UP = 0.02  # share of the training over which the learning rate rises


def noise_schedule() -> DDPMScheduler:
    """Ho et al.'s linear schedule."""
    return DDPMScheduler(num_train_timesteps=TIMESTEPS, beta_start=1e-4, beta_end=0.02, prediction_type="epsilon")


class NoisePredictor(nn.Module):
    """eps_theta(x_t, t) for joint pictures [B, C, H, W]; t is int64 [B].

    Two things make a small U-Net affordable on a CPU:
    - patch x patch pixels are folded into channels, so the U-Net works on a (H / patch)^2 grid;
    - the U-Net draws its guess of the clean picture, and the noise follows exactly:
      eps = (x_t - sqrt(a_t) x_0) / sqrt(1 - a_t). A folded patch of noise has as many free numbers as it has values
      (128 at patch 4 with 8 channels), which 64 feature channels cannot carry: a U-Net that had to output noise, or v,
      left every sample covered in it. A clean picture is smooth and fits through.
    """

    def __init__(self, channels: int, size: int, patch: int, widths, layers: int, attention: bool):
        super().__init__()
        self.patch = patch
        depth = len(widths)
        self.unet = UNet2DModel(
            sample_size=size // patch,
            in_channels=channels * patch**2,
            out_channels=channels * patch**2,
            block_out_channels=tuple(widths),
            layers_per_block=layers,
            down_block_types=("DownBlock2D",) * (depth - 1) + ("AttnDownBlock2D" if attention else "DownBlock2D",),
            up_block_types=("AttnUpBlock2D" if attention else "UpBlock2D",) + ("UpBlock2D",) * (depth - 1),
            mid_block_type="UNetMidBlock2D",
            add_attention=attention,
            attention_head_dim=32,
            norm_num_groups=8,
        )
        self.register_buffer("alphas", noise_schedule().alphas_cumprod.clone(), persistent=False)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        clean = F.pixel_shuffle(self.unet(F.pixel_unshuffle(x, self.patch), t).sample, self.patch)
        a = self.alphas[t].view(-1, 1, 1, 1)
        return (x - a.sqrt() * clean.float()) / (1 - a).sqrt()


class DDPM(Method):
    """Epsilon-prediction diffusion model over image and label."""

    name = "ddpm"
    settings = ("patch", "widths", "layers", "attention", "learning_rate", "solver_steps")
    networks = ("predictor",)

    def __init__(
        self,
        channels: int,
        labels: int,
        size: int,
        patch: int = 4,
        widths: tuple[int, ...] = (96, 128, 160),
        layers: int = 1,
        attention: bool = False,
        learning_rate: float = 5e-4,
        solver_steps: int = 25,
    ):
        self.shape = joint.Shape(channels, labels, size)
        self.patch, self.widths, self.layers, self.attention = patch, list(widths), layers, attention
        self.learning_rate, self.solver_steps = learning_rate, solver_steps
        self.predictor = NoisePredictor(self.shape.joint, size, patch, widths, layers, attention)
        self.schedule_of_noise = noise_schedule()

    def optimisers(self) -> dict:
        return {"predictor": torch.optim.AdamW(self.predictor.parameters(), lr=self.learning_rate, fused=True)}

    def schedule(self, fraction: float) -> float:
        return min(1.0, (fraction + 1e-3) / WARM_UP) * (1 - 0.9 * fraction)

    def loss(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The weighted loss that is minimised and, to compare with others, L_simple on the same batch.

        The noise process stays in fp32; only the U-Net may run in bf16.
        """
        x0 = joint.encode(images, labels, self.shape.labels)
        noise = torch.randn_like(x0)
        t = torch.randint(0, TIMESTEPS, (len(x0),), device=x0.device)
        xt = self.schedule_of_noise.add_noise(x0, noise, t)
        error = (self.predictor(xt, t) - noise).pow(2).mean((1, 2, 3))
        a = self.predictor.alphas[t]
        weight = ((1 - a) / a * MAX_SNR).clamp(max=1)
        return {"loss": (weight * error).mean(), "eps_mse": error.mean()}

    def step(self, batch, optimisers, fraction) -> dict[str, Tensor]:
        optimiser = optimisers["predictor"]
        losses = self.loss(batch["images"], batch["labels"])
        optimiser.zero_grad()
        self.backward(losses["loss"])
        nn.utils.clip_grad_norm_(self.predictor.parameters(), 1.0)
        optimiser.step()
        return losses

    def solver(self, steps: int | None = None) -> DPMSolverMultistepScheduler:
        """DPM-Solver++(2M), its steps spaced evenly in log signal-to-noise ratio (Lu et al. 2022).

        Even steps in t spend almost none near the clean picture and return too little variance; this spacing returns
        a known Gaussian's deviation within 5 % (tests/generators/test_ddpm.py).
        """
        solver = DPMSolverMultistepScheduler.from_config(
            self.schedule_of_noise.config, algorithm_type="dpmsolver++", solver_order=2, use_lu_lambdas=True
        )
        solver.set_timesteps(steps or self.solver_steps)
        solver.set_begin_index(0)
        return solver

    @torch.no_grad()
    def sample(self, n: int, seed: int, steps: int | None = None, scheduler=None) -> tuple[Tensor, Tensor]:
        """n images and labels; `scheduler` (with its timesteps set) replaces the default solver."""
        scheduler = scheduler or self.solver(steps)
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(n, self.shape.joint, self.shape.size, self.shape.size, generator=generator).to(self.device)
        for t in scheduler.timesteps:
            eps = self.predictor(x, t.to(self.device).long().expand(n))
            # Only ancestral samplers (DDPM) draw noise; then from this generator, so that a seed is a sample.
            x = scheduler.step(eps, t, x, generator=generator).prev_sample
        return joint.decode(x, self.shape.channels)
