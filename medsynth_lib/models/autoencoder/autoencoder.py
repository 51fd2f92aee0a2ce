"""An autoencoder whose code is a small picture (Rombach et al. 2022; Pinaya et al. 2022), on MONAI's AutoencoderKL.

    L = || x - decode(z) ||_1 + CE(y, decode(z)) + KL_WEIGHT KL( q(z|x, y) || N(0, I) ),   z = mean + deviation n

The tiny KL weight only keeps the codes near the origin; what their distribution is, a diffusion model learns. The code
keeps its place in the picture (z is C x h x w), so that edges survive, which one vector per slice blurs away. Labels
have a cross-entropy: with L1 on label channels a short training drew no lesion at all (the median is "none").
"""

from __future__ import annotations

import math

import torch
from monai.networks.nets import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from ...core.method import BATCH, Method
from ...data import joint

KL_WEIGHT = 1e-6


class Autoencoder(Method):
    """Joint pictures -> codes [B, latent, s, s], s = size / (2 patch).

    patch x patch pixels are folded into channels first, as in FoldedUNet: layers at full size would take most of the
    time. width   channels at s x s doubled pixels; twice as many at s x s.
    """

    name = "autoencoder"
    settings = ("width", "latent", "patch", "learning_rate")
    networks = ("net",)

    def __init__(self, channels: int, labels: int, size: int, width=32, latent=8, patch=2, learning_rate=2e-3):
        self.shape = joint.Shape(channels, labels, size)
        self.width, self.latent, self.patch, self.learning_rate = width, latent, patch, learning_rate
        folded = self.shape.joint * patch**2
        self.net = AutoencoderKL(
            spatial_dims=2,
            in_channels=folded,
            out_channels=folded,
            channels=(width, 2 * width),
            num_res_blocks=1,
            latent_channels=latent,
            attention_levels=(False, False),
            norm_num_groups=8,
            with_encoder_nonlocal_attn=False,
            with_decoder_nonlocal_attn=False,
        )

    @property
    def code_shape(self) -> tuple[int, int, int]:
        side = self.shape.size // (2 * self.patch)
        return self.latent, side, side

    def optimisers(self) -> dict:
        return {"net": torch.optim.AdamW(self.net.parameters(), lr=self.learning_rate, fused=True)}

    def schedule(self, fraction: float) -> float:
        return 0.5 * (1 + math.cos(math.pi * fraction))

    def encode(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x), each [B, latent, s, s]."""
        picture = joint.encode(images, labels, self.shape.labels)
        mean, deviation = self.net.encode(F.pixel_unshuffle(picture, self.patch))
        return mean.float(), 2 * deviation.float().log()

    def picture(self, z: Tensor) -> Tensor:
        """The joint picture [B, C + K, H, W] of codes."""
        return F.pixel_shuffle(self.net.decode(z), self.patch).float()

    def step(self, batch, optimisers, fraction) -> dict[str, Tensor]:
        mean, log_variance = self.encode(batch["images"], batch["labels"])
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        drawn = self.picture(z)
        losses = {"l1": F.l1_loss(drawn[:, : self.shape.channels], batch["images"])}
        losses["label"] = torch.zeros_like(losses["l1"])
        if self.shape.labels:
            losses["label"] = F.cross_entropy(drawn[:, self.shape.channels :], batch["labels"].long())
        losses["kl"] = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1).mean()
        optimisers["net"].zero_grad()
        self.backward(losses["l1"] + losses["label"] + KL_WEIGHT * losses["kl"])
        optimisers["net"].step()
        return losses

    def latents(self, images: Tensor, labels: Tensor, batch_size: int = BATCH) -> dict[str, Tensor]:
        """{"mean", "log_variance"}: [N, latent, s, s] each, on the CPU."""
        mean, log_variance = self.in_batches(self.encode, images, labels, batch_size=batch_size)
        return {"mean": mean, "log_variance": log_variance}

    def decode(self, z: Tensor, batch_size: int = BATCH) -> tuple[Tensor, Tensor]:
        """images [N, C, H, W] and labels [N, H, W] of codes, on the CPU."""
        return self.in_batches(lambda z: joint.decode(self.picture(z), self.shape.channels), z, batch_size=batch_size)

    def reconstruct(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Decoded means of real slices."""
        return self.decode(self.latents(images, labels)["mean"])
