"""Denoising diffusion (Ho et al. 2020) on diffusers' UNet2DModel. Taught in 05_ddpm.

    q(x_t | x_0) = N( sqrt(a_t) x_0, (1 - a_t) I ),   a_t = prod_{s<=t} (1 - beta_s)           (forward, eq. 4)
    L            = E_{t, x_0, eps} w_t || eps - eps_theta(x_t, t) ||^2,  x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) eps

w_t = 1 is L_simple (eq. 14); here w_t = min(SNR_t, 5) / SNR_t (Hang et al. 2023), SNR_t = a_t / (1 - a_t).

Sampling solves the reverse ODE with DPM-Solver++(2M) (Lu et al. 2022) in a few dozen network evaluations.
"""

from __future__ import annotations

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    HeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor, nn

from ..method import Method
from . import joint
from .unet import FoldedUNet, warm_up

TIMESTEPS = 1000  # beta from 1e-4 to 0.02: a_T = 4e-5, so the last step is noise and no brightness leaks through
MAX_SNR = 5.0  # nearly clean pictures weigh no more than those at this signal-to-noise ratio
PREDICTIONS = ("sample", "epsilon", "v")
EVEN = {"timestep_spacing": "trailing"}  # even steps in t that begin at pure noise
SOLVERS = {
    "DDPM": (DDPMScheduler, EVEN | {"clip_sample": False}),
    "DDIM": (DDIMScheduler, EVEN | {"clip_sample": False}),
    "DPM-Solver++": (
        DPMSolverMultistepScheduler,
        {"algorithm_type": "dpmsolver++", "solver_order": 2, "use_lu_lambdas": True},
    ),
    "UniPC": (UniPCMultistepScheduler, EVEN),
    "Heun": (HeunDiscreteScheduler, EVEN),
}


def noise_schedule() -> DDPMScheduler:
    """Ho et al.'s linear schedule."""
    return DDPMScheduler(num_train_timesteps=TIMESTEPS, beta_start=1e-4, beta_end=0.02, prediction_type="epsilon")


class NoisePredictor(FoldedUNet):
    """eps_theta(x_t, t) for joint pictures [B, C, H, W]; t is int64 [B].

    The U-Net draws one of three things, from which the noise follows exactly (`prediction`):
    "sample"   the clean picture:              eps = (x_t - sqrt(a_t) x_0) / sqrt(1 - a_t)
    "epsilon"  the noise itself (Ho et al.)
    "v"        sqrt(a_t) eps - sqrt(1 - a_t) x_0 (Salimans & Ho 2022):  eps = sqrt(a_t) v + sqrt(1 - a_t) x_t
    On folded patches the first pays: a folded patch of noise has as many free numbers as it has values (128 at patch 4
    with 8 channels), which 64 feature channels cannot carry. A clean picture is smooth and fits through.
    """

    def __init__(self, *arguments, prediction: str = "sample"):
        super().__init__(*arguments)
        if prediction not in PREDICTIONS:
            raise ValueError(f"unknown prediction {prediction!r}; known: {', '.join(PREDICTIONS)}.")
        self.prediction = prediction
        self.register_buffer("alphas", noise_schedule().alphas_cumprod.clone(), persistent=False)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        drawn = super().forward(x, t).float()
        a = self.alphas[t].view(-1, 1, 1, 1)
        if self.prediction == "sample":
            return (x - a.sqrt() * drawn) / (1 - a).sqrt()
        return drawn if self.prediction == "epsilon" else a.sqrt() * drawn + (1 - a).sqrt() * x


class DDPM(Method):
    """Diffusion model over image and label; for `prediction` see NoisePredictor, for the others FoldedUNet."""

    name = "ddpm"
    settings = ("patch", "widths", "layers", "attention", "learning_rate", "solver_steps", "prediction")
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
        prediction: str = "sample",
    ):
        self.shape = joint.Shape(channels, labels, size)
        self.patch, self.widths, self.layers, self.attention = patch, list(widths), layers, attention
        self.learning_rate, self.solver_steps = learning_rate, solver_steps
        self.prediction = prediction
        sizes = (self.shape.joint, size, patch, widths, layers, attention)
        self.predictor = NoisePredictor(*sizes, prediction=prediction)
        self.schedule_of_noise = noise_schedule()

    def optimisers(self) -> dict:
        return {"predictor": torch.optim.AdamW(self.predictor.parameters(), lr=self.learning_rate, fused=True)}

    def schedule(self, fraction: float) -> float:
        return warm_up(fraction) * (1 - 0.9 * fraction)

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

    def solver(self, steps: int | None = None, kind: str = "DPM-Solver++"):
        """A scheduler of diffusers with its steps set; it asks the network len(timesteps) times (Heun: 2 steps - 1).

        "DDPM" (ancestral), "DDIM" (Song et al. 2021), "UniPC" (Zhao et al. 2023), "Heun" (Karras et al. 2022), or
        "DPM-Solver++" (2M; Lu et al. 2022), its steps spaced evenly in log signal-to-noise ratio: even steps in t spend
        almost none near the clean picture and return too little variance; this spacing returns a known Gaussian's
        deviation within 5 % (tests/generators/test_ddpm.py). KeyError for another kind.
        """
        solver_class, more = SOLVERS[kind]
        solver = solver_class.from_config(self.schedule_of_noise.config, **more)
        solver.set_timesteps(steps or self.solver_steps)
        if hasattr(solver, "set_begin_index"):
            solver.set_begin_index(0)
        return solver

    @torch.no_grad()
    def sample(self, n: int, seed: int, steps: int | None = None, scheduler=None) -> tuple[Tensor, Tensor]:
        """n images and labels; `scheduler` (of diffusers, its timesteps set) replaces the default solver."""
        scheduler = scheduler or self.solver(steps)
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(n, self.shape.joint, self.shape.size, self.shape.size, generator=generator).to(self.device)
        x = x * scheduler.init_noise_sigma  # 1 but for those (Heun) whose noise is not shrunk into x
        # Only ancestral samplers (DDPM) draw noise; then from this generator, so that a seed is a sample.
        own = {"generator": generator} if isinstance(scheduler, DDPMScheduler) else {}
        for t in scheduler.timesteps:
            given = scheduler.scale_model_input(x, t)
            eps = self.predictor(given, t.to(self.device).long().expand(n))
            x = scheduler.step(eps, t, x, **own).prev_sample
        return joint.decode(x, self.shape.channels)
