"""The diffusion of Karras et al. 2022 (EDM): one noise level sigma, a network kept at unit variance, few evaluations.

    x = x_0 + sigma n,  n ~ N(0, I)
    D(x; sigma) = c_skip x + c_out F(c_in x; ln(sigma) / 4)            (eq. 7; F is the network)
    L = E_{sigma, x_0, n}  lambda(sigma) || D(x; sigma) - x_0 ||^2,  ln(sigma) ~ N(-1.2, 1.2^2)

The coefficients (table 1) give F inputs and targets of variance 1 at every sigma, and lambda = 1 / c_out^2 weighs its
errors alike. They need the deviation of the data, which is measured, not guessed.
"""

from __future__ import annotations

import torch
from diffusers import EDMDPMSolverMultistepScheduler
from torch import Tensor, nn

from ..method import Method
from . import joint
from .unet import FoldedUNet, warm_up

SIGMA_MIN, SIGMA_MAX = 0.002, 80.0
LOG_MEAN, LOG_STD = -1.2, 1.2


class Denoiser(nn.Module):
    """D(x; sigma) around F = `net`(x, level, *condition), for data of deviation `sigma_data`; x [B, ...], sigma [B]."""

    def __init__(self, net: nn.Module, sigma_data: float):
        super().__init__()
        self.net = net
        self.register_buffer("sigma_data", torch.tensor(float(sigma_data)))

    def coefficients(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """c_skip, c_out, c_in for every sigma."""
        total = sigma**2 + self.sigma_data**2
        return self.sigma_data**2 / total, sigma * self.sigma_data / total.sqrt(), total.rsqrt()

    def forward(self, x: Tensor, sigma: Tensor, *condition) -> Tensor:
        wide = sigma.view(-1, *[1] * (x.dim() - 1))
        c_skip, c_out, c_in = self.coefficients(wide)
        return c_skip * x + c_out * self.net(c_in * x, sigma.log() / 4, *condition).float()

    def loss(self, clean: Tensor, *condition) -> Tensor:
        """The weighted squared error of one noise level per row of `clean` [B, ...]: [B]. The noise stays in fp32."""
        sigma = torch.exp(LOG_MEAN + LOG_STD * torch.randn(len(clean), device=clean.device))
        wide = sigma.view(-1, *[1] * (clean.dim() - 1))
        found = self(clean + wide * torch.randn_like(clean), sigma, *condition)
        _, c_out, _ = self.coefficients(wide)
        return ((found - clean) / c_out).square().flatten(1).mean(1)

    def solve(self, noise: Tensor, steps: int, *condition) -> Tensor:
        """From noise [B, ...] of unit variance to data by DPM-Solver++(2M) (Lu et al. 2022): `steps` calls of F."""
        solver = solver_of(steps, float(self.sigma_data))
        x = noise * solver.init_noise_sigma
        for level in solver.timesteps:
            answer = self.net(solver.scale_model_input(x, level), level.to(x.device).expand(len(x)), *condition)
            x = solver.step(answer.float(), level, x).prev_sample
        return x

    def heun(self, noise: Tensor, steps: int, *condition) -> Tensor:
        """The same by Heun's method (algorithm 1 of the paper) on dx/dsigma = (x - D) / sigma: 2 steps - 1 calls."""
        levels = solver_of(steps, float(self.sigma_data)).sigmas.to(noise.device)
        x = noise * levels[0]
        for now, after in zip(levels[:-1], levels[1:], strict=True):
            slope = (x - self(x, now.expand(len(x)), *condition)) / now
            euler = x + (after - now) * slope
            if after > 0:
                slope = (slope + (euler - self(euler, after.expand(len(x)), *condition)) / after) / 2
            x = x + (after - now) * slope
        return x


def solver_of(steps: int, sigma_data: float) -> EDMDPMSolverMultistepScheduler:
    """diffusers' solver for a network with these coefficients, on the paper's noise levels (eq. 5, rho 7).

    `prediction_type` must be "epsilon", which stands for a positive c_out there.
    """
    solver = EDMDPMSolverMultistepScheduler(
        sigma_min=SIGMA_MIN, sigma_max=SIGMA_MAX, sigma_data=sigma_data, prediction_type="epsilon"
    )
    solver.set_timesteps(steps)
    solver.set_begin_index(0)
    return solver


class EDM(Method):
    """EDM over joint pictures; `sigma_data` is their deviation (`deviation`), the rest is FoldedUNet's."""

    name = "edm"
    settings = ("sigma_data", "patch", "widths", "layers", "attention", "learning_rate", "solver_steps")
    networks = ("denoiser",)

    def __init__(
        self,
        channels: int,
        labels: int,
        size: int,
        sigma_data: float,
        patch: int = 4,
        widths: tuple[int, ...] = (96, 128, 160),
        layers: int = 1,
        attention: bool = False,
        learning_rate: float = 5e-4,
        solver_steps: int = 20,
    ):
        self.shape, self.sigma_data = joint.Shape(channels, labels, size), sigma_data
        self.patch, self.widths, self.layers, self.attention = patch, list(widths), layers, attention
        self.learning_rate, self.solver_steps = learning_rate, solver_steps
        unet = FoldedUNet(self.shape.joint, size, patch, widths, layers, attention)
        self.denoiser = Denoiser(unet, sigma_data)

    def optimisers(self) -> dict:
        return {"denoiser": torch.optim.AdamW(self.denoiser.parameters(), lr=self.learning_rate, fused=True)}

    def schedule(self, fraction: float) -> float:
        return warm_up(fraction) * (1 - 0.9 * fraction)

    def step(self, batch, optimisers, fraction) -> dict[str, Tensor]:
        clean = joint.encode(batch["images"], batch["labels"], self.shape.labels)
        loss = self.denoiser.loss(clean).mean()
        optimisers["denoiser"].zero_grad()
        self.backward(loss)
        nn.utils.clip_grad_norm_(self.denoiser.parameters(), 1.0)
        optimisers["denoiser"].step()
        return {"loss": loss}

    @torch.no_grad()
    def sample(self, n: int, seed: int, steps: int | None = None) -> tuple[Tensor, Tensor]:
        """n images [n, C, H, W] and labels [n, H, W]."""
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(n, self.shape.joint, self.shape.size, self.shape.size, generator=generator)
        return joint.decode(self.denoiser.solve(noise.to(self.device), steps or self.solver_steps), self.shape.channels)


def deviation(tensors: dict[str, Tensor], n_labels: int) -> float:
    """The sigma_data of joint pictures of {"images" [N, C, H, W], "labels" [N, H, W]}: root of their mean square."""
    return float(joint.encode(tensors["images"], tensors["labels"], n_labels).square().mean().sqrt())
