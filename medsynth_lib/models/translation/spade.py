"""SPADE (Park et al. 2019): the mask does not enter once at the bottom, it modulates every normalisation.

    norm(x)_c * (1 + gamma_c(y)) + beta_c(y),   gamma and beta convolved from the mask y at that resolution

An instance norm washes away what is the same everywhere, as a large lesion is; here the mask brings it back at every
level. The network is MONAI's; z decides the rest of the image. Losses and training are pix2pix's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from monai.networks.nets.spade_network import SPADEDecoder
from torch import Tensor, nn

from .pix2pix import Pix2Pix, Pix2PixConfig


@dataclass(frozen=True)
class SPADEConfig(Pix2PixConfig):
    levels: int = 4
    latent: int = 32  # the length of z


class SPADE(Pix2Pix):
    """Mask and z ~ N(0, I) -> image."""

    Config = SPADEConfig
    name = "spade"

    def new_generator(self) -> nn.Module:
        return SPADEDecoder(
            spatial_dims=2,
            out_channels=self.shape.channels,
            label_nc=self.shape.labels,
            input_shape=[self.shape.size, self.shape.size],
            channels=[self.width * 2**k for k in range(self.levels)][::-1],
            z_dim=self.latent,
            is_vae=True,  # MONAI's word for: starts from z
            spade_intermediate_channels=2 * self.width,
            last_act=None,
        )

    def draw(self, condition: Tensor) -> Tensor:
        z = torch.randn(len(condition), self.latent, device=condition.device)
        return self.generator(condition, z).float().tanh()
