"""StyleGAN 1 (Karras et al. 2019): a learned constant, and a style for every layer. Taught in 03_stylegan.

    AdaIN(x_i, w) = s_i (x_i - mean(x_i)) / std(x_i) + b_i,   (s, b) = affine(w)                          (eq. 1)

Every feature map is normalised and given the style's scale and offset. Generators learn to circumvent the normalisation
with one large spike per map: droplet artefacts, which StyleGAN 2 removes. Trained with R1 against ProGAN's
discriminator, fully grown from the start.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...data import joint
from . import blocks
from .progan import Discriminator
from .stylegan import MIXING, StyleGAN
from .stylegan2 import Generator


class AdaIN(nn.Module):
    """Instance norm, then scale 1 + s and offset b from the style (eq. 1)."""

    def __init__(self, channels: int, latent: int):
        super().__init__()
        self.style = blocks.EqualLinear(latent, 2 * channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        scale, offset = self.style(w)[:, :, None, None].chunk(2, dim=1)
        return F.instance_norm(x.float(), eps=1e-8) * (1 + scale) + offset


class StyledLayer(nn.Module):
    """What follows a convolution: noise, bias, leaky ReLU, AdaIN."""

    def __init__(self, channels: int, latent: int):
        super().__init__()
        self.noise = blocks.Noise()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.adain = AdaIN(channels, latent)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return self.adain(blocks.leaky(self.noise(x) + self.bias), w)


class Synthesis(nn.Module):
    """ws [B, layers, D] -> joint image; `features` returns the feature maps, in which droplets show."""

    def __init__(self, shape: joint.Shape, width: int, fmap_max: int, latent: int, background: float, patch: int):
        super().__init__()
        channels = list(blocks.levels(shape.size, width, fmap_max, patch).values())
        self.constant = nn.Parameter(torch.ones(1, channels[0], 4, 4))
        pairs = [(channels[0], channels[0]), *zip(channels, channels[1:], strict=False)]
        self.ups = nn.ModuleList(blocks.EqualConv(i, o, bias=False) for i, o in pairs[1:])
        self.convs = nn.ModuleList(blocks.EqualConv(o, o, bias=False) for _, o in pairs)
        self.styled = nn.ModuleList(StyledLayer(o, latent) for _, o in pairs for _ in range(2))
        self.to_rgb = blocks.ToRGB(channels[-1], shape.joint, patch)
        self.output = blocks.JointOutput(shape, background)
        self.layers = len(self.styled)

    def features(self, ws: Tensor) -> list[Tensor]:
        """The feature maps after each layer, from 4 x 4 to full size."""
        x, out = self.constant.expand(len(ws), -1, -1, -1), []
        for layer, (styled, w) in enumerate(zip(self.styled, ws.unbind(dim=1), strict=True)):
            level, second = divmod(layer, 2)
            if second:
                x = self.convs[level](x)
            elif level:
                x = self.ups[level - 1](blocks.upsample(x))
            x = styled(x, w)
            out.append(x)
        return out

    def forward(self, ws: Tensor) -> Tensor:
        return self.output(self.to_rgb(self.features(ws)[-1]))


class StyleGAN1(StyleGAN):
    """StyleGAN 1 over image and label."""

    name = "stylegan1"

    def new_networks(self) -> tuple[nn.Module, nn.Module]:
        synthesis = Synthesis(self.shape, self.width, self.fmap_max, self.latent, self.background, self.patch)
        mapping = blocks.Mapping(self.latent, self.mapping_layers)
        return Generator(mapping, synthesis, MIXING), Discriminator(self.shape, self.width, self.fmap_max, self.d_patch)
