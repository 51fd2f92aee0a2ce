"""Variational autoencoder (Kingma & Welling 2013) of image and label. Taught in 01_vae.

    log p(x, y) >= E_q(z|x,y)[ log p(x|z) + log p(y|z) ] - KL( q(z|x,y) || N(0, I) )        (the ELBO)

p(x|z) is Gaussian with one variance, set to its optimum; p(y|z) is categorical per pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...core.optim import adamw, cosine
from ...data import joint
from ..generator import GeneratorConfig, GeneratorMethod

BOTTOM = 4  # pixels, side of the smallest feature map
FOLD = 4  # pixels, side of the squares that are folded into channels
# Lesions fill two percent of the pixels but matter most: in a short training, the plain ELBO improves only the image
# for thousands of steps.
LABEL_WEIGHT = 10.0
KL_WARM_UP = 0.25  # share of the training over which beta rises from 0


def widths(size: int, width: int) -> list[int]:
    """Channels per level from full size down to 4 x 4: width, 2 width, 4 width, 4 width, ..."""
    levels = int(math.log2(size // BOTTOM))
    return [width * min(2**level, 4) for level in range(levels)]


def block(inputs: int, outputs: int) -> nn.Sequential:
    """3 x 3 convolution, group norm, SiLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.GroupNorm(8, outputs), nn.SiLU())


class Encoder(nn.Module):
    """Joint image [B, C + K, H, W] -> mean and log-variance of q(z | x, y), each [B, latent].

    The first layer folds FOLD x FOLD pixels into channels: convolutions at full size would be most of the cost.
    """

    def __init__(self, channels: int, size: int, width: int, latent: int):
        super().__init__()
        ws = widths(size // FOLD * 2, width)
        layers = [nn.PixelUnshuffle(FOLD), block(channels * FOLD**2, ws[0])]
        for inputs, outputs in zip(ws, ws[1:], strict=False):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.GroupNorm(8, outputs), nn.SiLU()]
            layers += [block(outputs, outputs)]
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.head = nn.Linear(ws[-1] * BOTTOM**2, 2 * latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.head(self.features(x)).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-12, 8)


class Decoder(nn.Module):
    """z [B, latent] -> image means and label logits [B, C + K, H, W]; mirrors the encoder."""

    def __init__(self, channels: int, size: int, width: int, latent: int):
        super().__init__()
        ws = widths(size // FOLD * 2, width)[::-1]
        layers = [nn.Linear(latent, ws[0] * BOTTOM**2), nn.Unflatten(1, (ws[0], BOTTOM, BOTTOM)), nn.SiLU()]
        for inputs, outputs in zip(ws, ws[1:], strict=False):
            layers += [block(inputs, inputs), nn.Upsample(scale_factor=2, mode="nearest"), block(inputs, outputs)]
        layers += [block(ws[-1], 2 * ws[-1]), nn.Conv2d(2 * ws[-1], channels * FOLD**2, 3, padding=1)]
        self.net = nn.Sequential(*layers, nn.PixelShuffle(FOLD))

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z).float()


@dataclass(frozen=True)
class VAEConfig(GeneratorConfig):
    width: int = 32  # channels of the first level
    latent: int = 64  # dimensions of z
    beta: float = 1.0  # weight of the KL term after warm-up; 1: the ELBO; lower: sharper images, worse fit of the prior
    learning_rate: float = 1e-3


class VAE(GeneratorMethod):
    """Convolutional VAE of images and labels."""

    Config = VAEConfig
    name = "vae"
    networks = ("encoder", "decoder")
    compiled = networks

    def build(self) -> None:
        self.encoder = Encoder(self.shape.joint, self.size, self.width, self.latent)
        self.decoder = Decoder(self.shape.joint, self.size, self.width, self.latent)

    def optimisers(self) -> dict:
        return {"both": adamw(self.encoder, self.decoder, lr=self.learning_rate)}

    def lr_lambda(self, fraction: float) -> float:
        return cosine(fraction)

    def losses(self, images: Tensor, labels: Tensor, beta: float) -> dict[str, Tensor]:
        """Terms of the negative ELBO in nats per pixel; "loss" is image + LABEL_WEIGHT label + beta kl.

        The optimal variance of a Gaussian is the mean squared error (Rybkin et al. 2021, sigma-VAE). With it, the
        reconstruction term -log p(x|z) is  C/2 * (log(MSE) + 1 + log(2 pi))  per pixel and needs no weight.
        """
        pixels = self.shape.size**2
        mean, log_variance = self.encoder(joint.encode(images, labels, self.shape.labels))
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        out = self.decoder(z)
        squared_error = F.mse_loss(out[:, : self.shape.channels], images)
        image_term = 0.5 * self.shape.channels * (torch.log(squared_error) + 1 + math.log(2 * math.pi))
        if self.shape.labels:
            label_term = F.cross_entropy(out[:, self.shape.channels :], labels.long())
        else:
            label_term = torch.zeros_like(image_term)
        kl = self.kl_per_dimension(mean, log_variance).sum() / pixels
        loss = image_term + LABEL_WEIGHT * label_term + beta * kl
        return {"loss": loss, "image": image_term, "label": label_term, "kl": kl, "mse": squared_error}

    @staticmethod
    def kl_per_dimension(mean: Tensor, log_variance: Tensor) -> Tensor:
        """KL( N(mean, var) || N(0, 1) ) per latent dimension, mean over the batch: [latent], in nats."""
        return 0.5 * (mean.pow(2) + log_variance.exp() - 1 - log_variance).mean(0)

    def step(self, batch: dict[str, Tensor], optimisers: dict, fraction: float) -> dict[str, Tensor]:
        beta = self.beta * min(1.0, fraction / KL_WARM_UP)
        losses = self.losses(batch["images"], batch["labels"], beta)
        optimiser = optimisers["both"]
        optimiser.zero_grad()
        self.backward(losses["loss"])
        optimiser.step()
        return losses

    def encode(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance [B, latent] of q(z | x, y) of slices on the device."""
        return self.encoder(joint.encode(images, labels, self.shape.labels))

    def latents(self, images: Tensor, labels: Tensor, batch_size: int = 256) -> dict[str, Tensor]:
        """{"mean", "log_variance"}: [N, latent] each, of q(z | x, y) for slices, on the CPU."""
        mean, log_variance = self.in_batches(self.encode, images, labels, batch_size=batch_size)
        return {"mean": mean, "log_variance": log_variance}

    def decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, C, H, W] and labels [B, H, W] of latents z [B, latent], on the CPU."""
        return self.in_batches(lambda z: joint.decode(self.decoder(z), self.shape.channels), z)

    def reconstruct(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Images and labels decoded from the posterior means of real slices."""
        return self.decode(self.latents(images, labels)["mean"])

    def sample(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """n images [n, C, H, W] and labels [n, H, W] from the prior z ~ N(0, I)."""
        generator = torch.Generator().manual_seed(seed)
        return self.decode(torch.randn(n, self.latent, generator=generator))
