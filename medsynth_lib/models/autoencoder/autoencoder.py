"""An autoencoder whose latent is a small image (Rombach et al. 2022; Pinaya et al. 2022), on MONAI's AutoencoderKL.

    L = || x - decode(z) ||_1 + CE(y, decode(z)) + KL_WEIGHT KL( q(z|x, y) || N(0, I) ),   z = mean + deviation n

The tiny KL weight only keeps the latents near the origin; a diffusion model learns their distribution. Latents are
spatial (z is C x h x w), so that edges stay sharp, which one vector per slice would blur. Labels have a cross-entropy:
with L1 on label channels, a short training generated no lesion at all (the median is "none").
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from monai.networks.nets import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from ...core.method import BATCH
from ...core.optim import adamw, cosine
from ...data import joint
from ..generator import GeneratorConfig, GeneratorMethod

KL_WEIGHT = 1e-6


@dataclass(frozen=True)
class AutoencoderConfig(GeneratorConfig):
    width: int = 32  # channels at the size of the folded image; twice as many at half of it
    latent: int = 8  # channels of a latent
    patch: int = 2  # patch x patch pixels are folded into channels first: layers at full size would cost the most
    learning_rate: float = 2e-3


class Autoencoder(GeneratorMethod):
    """Joint images -> latents [B, latent, s, s], s = size / (2 patch), and back."""

    Config = AutoencoderConfig
    name = "autoencoder"
    networks = ("net",)

    def build(self) -> None:
        folded = self.shape.joint * self.patch**2
        self.net = AutoencoderKL(
            spatial_dims=2,
            in_channels=folded,
            out_channels=folded,
            channels=(self.width, 2 * self.width),
            num_res_blocks=1,
            latent_channels=self.latent,
            attention_levels=(False, False),
            norm_num_groups=8,
            with_encoder_nonlocal_attn=False,
            with_decoder_nonlocal_attn=False,
        )

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a latent."""
        side = self.shape.size // (2 * self.patch)
        return self.latent, side, side

    def optimisers(self) -> dict:
        return {"net": adamw(self.net, lr=self.learning_rate)}

    def lr_lambda(self, fraction: float) -> float:
        return cosine(fraction)

    def encode(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x, y), each [B, latent, s, s]."""
        image = joint.encode(images, labels, self.shape.labels)
        mean, deviation = self.net.encode(F.pixel_unshuffle(image, self.patch))
        return mean.float(), 2 * deviation.float().log()

    def joint_image(self, z: Tensor) -> Tensor:
        """Joint images [B, C + K, H, W] of latents [B, latent, s, s]."""
        return F.pixel_shuffle(self.net.decode(z), self.patch).float()

    def step(self, batch: dict[str, Tensor], optimisers: dict, fraction: float) -> dict[str, Tensor]:
        mean, log_variance = self.encode(batch["images"], batch["labels"])
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        drawn = self.joint_image(z)
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
        """Images [N, C, H, W] and labels [N, H, W] of latents, on the CPU."""
        return self.in_batches(
            lambda z: joint.decode(self.joint_image(z), self.shape.channels), z, batch_size=batch_size
        )

    def reconstruct(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Images and labels decoded from the means of real slices."""
        return self.decode(self.latents(images, labels)["mean"])
