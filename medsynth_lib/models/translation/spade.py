"""SPADE (Park et al. 2019): the mask modulates every normalisation, instead of being the input of the first layer.

    norm(x)_c * (1 + gamma_c(y)) + beta_c(y),   gamma and beta convolved from the mask y at that resolution

An instance norm removes what is the same everywhere, such as a large lesion; here the mask restores it at every level.
The network is MONAI's; z determines what the mask leaves open. Losses and training are pix2pix's.
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
    latent: int = 32  # dimensions of z


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
            is_vae=True,  # in MONAI: the input is z
            spade_intermediate_channels=2 * self.width,
            last_act=None,
        )

    def draw(self, condition: Tensor) -> Tensor:
        z = torch.randn(len(condition), self.latent, device=condition.device)
        return self.generator(condition, z).float().tanh()
