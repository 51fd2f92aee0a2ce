"""Diffusion in the latent space of a VAE (Rombach et al. 2022; Pinaya et al. 2022). Taught in 05_ddpm.

A VAE's samples suffer from its prior: the encoder's z are not distributed as N(0, I). Here a second model learns their
distribution. A latent has a few dozen numbers, an image tens of thousands, so a small network is trained on thousands
of latents per second.

    z ~ q(z | x, y),  u = (z - shift) / scale,  EDM on u;   a sample is the decoder's image of shift + scale u
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...core.method import Method
from ...core.optim import adamw, cosine, warm_up
from ..autoencoder.vae import VAE
from ..generator import GeneratorConfig, GeneratorMethod
from .edm import P_MEAN, P_STD, Denoiser


class ResidualMLP(nn.Module):
    """F(u; level): latents [B, L], level [B] -> [B, L], through `blocks` residual blocks of `width` units."""

    def __init__(self, latent: int, width: int, blocks: int):
        super().__init__()
        self.register_buffer("frequencies", 2.0 ** torch.linspace(-2, 4, width // 8) * math.pi)
        self.first = nn.Linear(latent, width)
        self.level = nn.Sequential(nn.Linear(2 * len(self.frequencies), width), nn.SiLU())
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(blocks)
        )
        self.last = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, latent))
        nn.init.zeros_(self.last[1].weight)
        nn.init.zeros_(self.last[1].bias)

    def forward(self, u: Tensor, level: Tensor) -> Tensor:
        waves = level[:, None] * self.frequencies
        at = self.level(torch.cat([waves.sin(), waves.cos()], dim=1))
        h = self.first(u)
        for block in self.blocks:
            h = h + block(h + at)
        return self.last(h)


@dataclass(frozen=True)
class LatentDiffusionConfig(GeneratorConfig):
    first: dict  # the arguments of the first stage, the VAE; `of` or `load` sets its weights
    width: int = 768  # units of the network on latents
    blocks: int = 4  # its residual blocks
    learning_rate: float = 1e-3
    solver_steps: int = 20  # evaluations of the network per sample


class LatentDiffusion(GeneratorMethod):
    """EDM on the standardised latents of a trained VAE, which is published with it."""

    Config = LatentDiffusionConfig
    name = "latent_diffusion"
    networks = ("denoiser",)
    compiled = ("denoiser.net",)
    first_stage = VAE

    def build(self) -> None:
        net = self.network()
        self.autoencoder = self.first_stage(**self.first)
        self.denoiser = Denoiser(net, sigma_data=1.0, **self.noise_levels())
        # In the state of the network, so that they are saved, resumed and published with it.
        self.denoiser.register_buffer("shift", torch.zeros(self.statistics_shape()))
        self.denoiser.register_buffer("scale", torch.ones(self.statistics_shape()))

    def network(self) -> nn.Module:
        """A new network F on latents."""
        return ResidualMLP(self.first["latent"], self.width, self.blocks)

    def noise_levels(self) -> dict[str, float]:
        """P_mean and P_std of the denoiser: the paper's."""
        return {"p_mean": P_MEAN, "p_std": P_STD}

    def statistics_shape(self) -> tuple[int, ...]:
        """The shape of shift and scale."""
        return (self.first["latent"],)

    @classmethod
    def of(cls, first: Method, latents: dict[str, Tensor], **config: Any) -> LatentDiffusion:
        """A model on a trained first stage and its `latents` of training slices, {"mean", "log_variance"} [N, ...].

        Shift is the mean of the means, and scale^2 their variance plus the mean variance.
        """
        model = cls(**vars(first.shape), first=first.arguments(), **config)
        model.autoencoder.load(first.weights())
        mean, variance = latents["mean"], latents["log_variance"].exp()
        over = (0, *range(2, mean.dim()))  # of spatial latents, one shift and scale per channel
        shape = model.denoiser.shift.shape
        model.denoiser.shift.copy_(mean.mean(over).view(shape))
        model.denoiser.scale.copy_((mean.var(over) + variance.mean(over)).sqrt().view(shape))
        return model

    def optimisers(self) -> dict:
        return {"denoiser": adamw(self.denoiser, lr=self.learning_rate)}

    def lr_lambda(self, fraction: float) -> float:
        return warm_up(fraction) * cosine(fraction)

    def step(self, batch: dict[str, Tensor], optimisers: dict, fraction: float) -> dict[str, Tensor]:
        """Batches are {"mean", "log_variance"} of q(z | x, y), [B, ...] each: z is sampled anew at every step."""
        z = batch["mean"] + (0.5 * batch["log_variance"]).exp() * torch.randn_like(batch["mean"])
        loss = self.denoiser.loss(self.standardised(z), *self.condition(batch)).mean()
        optimisers["denoiser"].zero_grad()
        self.backward(loss)
        optimisers["denoiser"].step()
        return {"loss": loss}

    def condition(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """The network's inputs besides latent and noise level: none."""
        return ()

    def weights(self) -> dict[str, Tensor]:
        return super().weights() | {f"autoencoder.{name}": value for name, value in self.autoencoder.weights().items()}

    def load(self, weights: dict[str, Tensor]) -> LatentDiffusion:
        own = "autoencoder."
        self.autoencoder.load({k.removeprefix(own): v for k, v in weights.items() if k.startswith(own)})
        return super().load(weights)

    def untrained(self) -> list[nn.Module]:
        return [*self.autoencoder.modules().values()]

    def sample_latents(self, noise: Tensor, steps: int | None = None) -> Tensor:
        """Latents of the first stage, on the CPU, from noise [n, ...] of their shape."""

        def draw(noise: Tensor) -> Tensor:
            return self.denoiser.shift + self.denoiser.scale * self.denoiser.solve(noise, steps or self.solver_steps)

        return self.in_batches(draw, noise)

    def standardised(self, codes: Tensor) -> Tensor:
        """(z - shift) / scale of latents z [N, ...], on their device: what the diffusion model learns."""
        return (codes - self.denoiser.shift.to(codes.device)) / self.denoiser.scale.to(codes.device)

    def sample(self, n: int, seed: int, steps: int | None = None) -> tuple[Tensor, Tensor]:
        """n images [n, C, H, W] and labels [n, H, W]."""
        generator = torch.Generator().manual_seed(seed)
        return self.autoencoder.decode(
            self.sample_latents(torch.randn(n, self.autoencoder.latent, generator=generator), steps)
        )
