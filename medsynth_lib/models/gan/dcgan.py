"""DCGAN (Radford et al. 2015) with later additions that keep it stable. Taught in 02_dcgan.

    min_G max_D  E_x[ log D(x) ] + E_z[ log(1 - D(G(z))) ]                               (Goodfellow et al. 2014)

D is trained on this game; G on the non-saturating form, max_G E_z[ log D(G(z)) ]. With D = sigmoid(f):
-log D(x) = softplus(-f(x)) and -log(1 - D(x)) = softplus(f(x)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from ...core.optim import adam
from ...data import joint
from ..autoencoder.vae import BOTTOM, widths
from ..generator import GeneratorConfig, GeneratorMethod
from .views import shift


class Generator(nn.Module):
    """z [B, latent] -> joint image [B, C + K, H, W] in (-1, 1): doubled and convolved, batch norm, ReLU, tanh.

    The paper's transposed convolutions give some pixels more terms than their neighbours. This checkerboard costs a
    short training most of its time; repeating pixels before the convolution avoids it (Odena et al. 2016).
    """

    def __init__(self, shape: joint.Shape, width: int, latent: int, background: float):
        super().__init__()
        ws = widths(shape.size, width)[::-1]
        self.image_channels = shape.channels
        layers = [nn.Linear(latent, ws[0] * BOTTOM**2, bias=False), nn.Unflatten(1, (ws[0], BOTTOM, BOTTOM))]
        layers += [nn.BatchNorm2d(ws[0]), nn.ReLU()]
        for inputs, outputs in zip(ws, ws[1:], strict=False):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
        self.net = nn.Sequential(*layers, nn.Upsample(scale_factor=2), nn.Conv2d(ws[-1], shape.joint, 3, padding=1))
        if shape.labels > 1:
            # Label 0 starts with the share it has in real masks (Lin et al. 2017). From equal shares, D would first
            # learn that fakes have too much lesion, and G might lose lesions for good.
            share = min(max(background, 1e-3), 1 - 1e-3)
            nn.init.zeros_(self.net[-1].bias[shape.channels :])
            nn.init.constant_(self.net[-1].bias[shape.channels], math.log(share / (1 - share) * (shape.labels - 1)))

    def forward(self, z: Tensor) -> Tensor:
        out = self.net(z).float()
        image, logits = out[:, : self.image_channels], out[:, self.image_channels :]
        # A softmax, because the label channels of real masks are one-hot.
        label = logits.softmax(dim=1) * 2 - 1 if logits.shape[1] else logits
        return torch.cat([image.tanh(), label], dim=1)


class Discriminator(nn.Module):
    """Joint image [B, C + K, H, W] -> logit [B]; strided convolutions, leaky ReLU, spectral norm if asked."""

    def __init__(self, shape: joint.Shape, width: int, spectral: bool):
        super().__init__()
        norm = spectral_norm if spectral else (lambda layer: layer)
        ws = widths(shape.size, width)
        layers = []
        for inputs, outputs in zip([shape.joint, *ws], ws, strict=False):
            layers += [norm(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
        self.net = nn.Sequential(*layers, nn.Flatten(), norm(nn.Linear(ws[-1] * BOTTOM**2, 1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(1)


@dataclass(frozen=True)
class DCGANConfig(GeneratorConfig):
    width: int = 32  # channels at full size
    latent: int = 96  # dimensions of z
    learning_rate: float = 2e-4  # of G
    spectral: bool = True  # spectral norm in D (Miyato et al. 2018)
    augment: bool = True  # D sees shifted images (the translation of DiffAugment, Zhao et al. 2020)
    two_scales: float = 2.0  # learning rate of D over that of G (Heusel et al. 2017)
    background: float = 0.95  # share of label 0 that G starts from


class DCGAN(GeneratorMethod):
    """DCGAN over image and label."""

    Config = DCGANConfig
    name = "dcgan"
    networks = ("generator", "discriminator")
    averaged = ("generator",)
    compiled = networks

    def build(self) -> None:
        self.generator = Generator(self.shape, self.width, self.latent, self.background)
        self.discriminator = Discriminator(self.shape, self.width, self.spectral)

    def optimisers(self) -> dict:
        # No momentum: the other network changes, which makes earlier gradients obsolete.
        rate, betas = self.learning_rate, (0.0, 0.99)
        # Two time scales (Heusel 2017): D learns faster than G.
        return {
            "generator": adam(self.generator, lr=rate, betas=betas),
            "discriminator": adam(self.discriminator, lr=self.two_scales * rate, betas=betas),
        }

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """-E[log D(x)] - E[log(1 - D(G(z)))] and the mean sign of D on real images (1: all recognised)."""
        view = shift if self.augment else (lambda x: x)
        on_real, on_fake = self.discriminator(view(torch.cat([real, fake]))).float().chunk(2)
        loss = F.softplus(-on_real).mean() + F.softplus(on_fake).mean()
        return {"d": loss, "d_sign_real": on_real.sign().mean()}

    def generator_loss(self, fake: Tensor) -> Tensor:
        """-E[log D(G(z))], the non-saturating loss."""
        view = shift if self.augment else (lambda x: x)
        return F.softplus(-self.discriminator(view(fake)).float()).mean()

    def step(self, batch: dict[str, Tensor], optimisers: dict, fraction: float) -> dict[str, Tensor]:
        real = joint.encode(batch["images"], batch["labels"], self.shape.labels)
        fake = self.generator(torch.randn(len(real), self.latent, device=real.device))

        losses = self.discriminator_loss(real, fake.detach())
        optimisers["discriminator"].zero_grad()
        self.backward(losses["d"])
        optimisers["discriminator"].step()

        with self.frozen(self.discriminator):
            losses["g"] = self.generator_loss(fake)
            optimisers["generator"].zero_grad()
            self.backward(losses["g"])
            optimisers["generator"].step()
        return losses

    def sample(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """n images [n, C, H, W] and labels [n, H, W] from z ~ N(0, I)."""
        z = torch.randn(n, self.latent, generator=torch.Generator().manual_seed(seed))
        return self.in_batches(lambda z: joint.decode(self.generator(z), self.shape.channels), z)
