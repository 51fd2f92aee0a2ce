"""Diffusion in the latent space of a VAE (Rombach et al. 2022; Pinaya et al. 2022). Taught in 05_ddpm.

A VAE's samples fail where its prior does: N(0, I) is not how the encoder's z are spread. Here a second model learns how
they are. A latent has a few dozen numbers where a picture has tens of thousands, so a small network sees thousands of
them a second.

    z ~ q(z | x, y),  u = (z - shift) / scale,  EDM on u;   a sample is the decoder's picture of shift + scale u
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ...core.method import Method
from ...data.joint import Shape
from ..autoencoder.vae import VAE
from .edm import LEVELS, Denoiser
from .unet import warm_up


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


class LatentDiffusion(Method):
    """EDM on the standardised codes of a trained VAE, which is part of what is published.

    first           the config of the first stage, the VAE; its weights come by `of` or `load`
    width, blocks   of the network on latents
    """

    name = "latent_diffusion"
    settings = ("first", "width", "blocks", "learning_rate", "solver_steps")
    networks = ("denoiser",)
    compiled = ("denoiser.net",)
    first_stage = VAE

    def __init__(
        self,
        channels: int,
        labels: int,
        size: int,
        first: dict,
        width: int = 768,
        blocks: int = 4,
        learning_rate: float = 1e-3,
        solver_steps: int = 20,
    ):
        self.width, self.blocks = width, blocks
        latent = first["latent"]
        self.build(Shape(channels, labels, size), first, ResidualMLP(latent, width, blocks), (latent,))
        self.learning_rate, self.solver_steps = learning_rate, solver_steps

    def build(self, shape: Shape, first: dict, net: nn.Module, channels: tuple[int, ...], levels=LEVELS) -> None:
        """The two stages; shift and scale of the codes have the shape `channels`."""
        self.shape, self.first = shape, first
        self.autoencoder = self.first_stage(**first)
        self.denoiser = Denoiser(net, sigma_data=1.0, levels=tuple(levels))
        # In the state of the network, so that they are saved, resumed and published with it.
        self.denoiser.register_buffer("shift", torch.zeros(channels))
        self.denoiser.register_buffer("scale", torch.ones(channels))

    @classmethod
    def of(cls, first: Method, latents: dict[str, Tensor], **settings) -> LatentDiffusion:
        """On the codes of a trained first stage: its `latents` of training slices, {"mean", "log_variance"} [N, ...].

        Shift and scale are the mean and deviation of drawn codes: the spread of the means and the mean variance.
        """
        model = cls(**vars(first.shape), first=first.config(), **settings)
        model.autoencoder.load(first.weights())
        mean, variance = latents["mean"], latents["log_variance"].exp()
        over = (0, *range(2, mean.dim()))  # one shift and scale per channel of a code that is a picture
        shape = model.denoiser.shift.shape
        model.denoiser.shift.copy_(mean.mean(over).view(shape))
        model.denoiser.scale.copy_((mean.var(over) + variance.mean(over)).sqrt().view(shape))
        return model

    def optimisers(self) -> dict:
        return {"denoiser": torch.optim.AdamW(self.denoiser.parameters(), lr=self.learning_rate, fused=True)}

    def schedule(self, fraction: float) -> float:
        return warm_up(fraction) * 0.5 * (1 + math.cos(math.pi * fraction))

    def step(self, batch, optimisers, fraction) -> dict[str, Tensor]:
        """Batches are {"mean", "log_variance"} of q(z | x, y), [B, ...] each: z is drawn anew at every step."""
        z = batch["mean"] + (0.5 * batch["log_variance"]).exp() * torch.randn_like(batch["mean"])
        loss = self.denoiser.loss(self.standardised(z), *self.condition(batch)).mean()
        optimisers["denoiser"].zero_grad()
        self.backward(loss)
        optimisers["denoiser"].step()
        return {"loss": loss}

    def condition(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """What the network is told besides the code: nothing."""
        return ()

    def weights(self) -> dict[str, Tensor]:
        return super().weights() | {f"autoencoder.{name}": value for name, value in self.autoencoder.weights().items()}

    def load(self, weights: dict[str, Tensor]) -> LatentDiffusion:
        own = "autoencoder."
        self.autoencoder.load({k.removeprefix(own): v for k, v in weights.items() if k.startswith(own)})
        return super().load(weights)

    def untrained(self) -> list[nn.Module]:
        return [*self.autoencoder.parts().values()]

    def codes(self, noise: Tensor, steps: int | None = None) -> Tensor:
        """Codes of the first stage, on the CPU, from noise [n, ...] of their shape."""

        def draw(noise: Tensor) -> Tensor:
            return self.denoiser.shift + self.denoiser.scale * self.denoiser.solve(noise, steps or self.solver_steps)

        return self.in_batches(draw, noise)

    def standardised(self, codes: Tensor) -> Tensor:
        """(z - shift) / scale of codes z [N, ...], where they lie: what the diffusion model learns."""
        return (codes - self.denoiser.shift.to(codes.device)) / self.denoiser.scale.to(codes.device)

    def sample(self, n: int, seed: int, steps: int | None = None) -> tuple[Tensor, Tensor]:
        """n images [n, C, H, W] and labels [n, H, W]."""
        generator = torch.Generator().manual_seed(seed)
        return self.autoencoder.decode(self.codes(torch.randn(n, self.autoencoder.latent, generator=generator), steps))
