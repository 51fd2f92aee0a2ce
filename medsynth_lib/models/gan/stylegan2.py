"""StyleGAN 2 (Karras et al. 2020a) with ADA (Karras et al. 2020b). Taught in 03_stylegan.

To avoid StyleGAN 1's droplets, feature maps are no longer normalised: a style scales the *weights* of the next
convolution, which are then scaled back to unit output variance, assuming unit input variance ("demodulation"):

    w'_ijk = s_i w_ijk,   w''_ijk = w'_ijk / sqrt( sum_ik w'_ijk^2 )                                  (eq. 1 and 3)

Growing is replaced by a generator that sums the images of all resolutions, and a residual discriminator.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...data import joint
from ...metrics import equivariance
from . import blocks, losses
from .stylegan import MIXING, StyleGAN


class ModulatedConv(nn.Module):
    """k x k convolution whose weights a style scales per input channel; `up` doubles the image.

    Scaling the input by s and the output by 1 / sqrt(sum (s w)^2) is the same as scaling the weights per image, and
    needs no weights per image (tests/models/gan/test_stylegan2.py compares with the grouped form).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        latent: int,
        kernel: int = 3,
        demodulate: bool = True,
        up: bool = False,
        padding: int | None = None,
    ):
        super().__init__()
        self.style = blocks.EqualLinear(latent, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.gain = 1 / math.sqrt(inputs * kernel**2)
        self.demodulate, self.up = demodulate, up
        self.padding = kernel // 2 if padding is None else padding

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        s, weight = self.style(w), self.weight * self.gain
        x = x * s[:, :, None, None].to(x.dtype)
        if self.up:
            x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
            x = blocks.blur(x, (1, 1), gain=4.0)
        else:
            x = F.conv2d(x, weight, padding=self.padding)
        if self.demodulate:
            norm = torch.rsqrt(s.square() @ weight.square().sum(dim=(2, 3)).T + 1e-8)
            x = x * norm[:, :, None, None].to(x.dtype)
        return x


class StyledConv(nn.Module):
    """Modulated convolution, noise, bias, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, latent: int, up: bool = False):
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, latent, up=up)
        self.noise = blocks.Noise()
        self.bias = nn.Parameter(torch.zeros(1, outputs, 1, 1))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return blocks.leaky(self.noise(self.conv(x, w)) + self.bias)


class ModulatedToRGB(nn.Module):
    """Features [B, C, H, W] times a style -> image [B, J, patch H, patch W]; no demodulation."""

    def __init__(self, inputs: int, outputs: int, latent: int, patch: int = 1):
        super().__init__()
        self.style = blocks.EqualLinear(latent, inputs, bias=1.0)
        self.paint = blocks.ToRGB(inputs, outputs, patch)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return self.paint(x * self.style(w)[:, :, None, None].to(x.dtype))


class Synthesis(nn.Module):
    """ws [B, layers, D] -> joint image: a learned 4 x 4 constant, doubled; images of all resolutions are summed."""

    def __init__(self, shape: joint.Shape, width: int, fmap_max: int, latent: int, background: float, patch: int):
        super().__init__()
        channels = list(blocks.levels(shape.size, width, fmap_max, patch).values())
        self.constant = nn.Parameter(torch.randn(1, channels[0], 4, 4))
        self.first = StyledConv(channels[0], channels[0], latent)
        pairs = list(zip(channels, channels[1:], strict=False))
        self.ups = nn.ModuleList(StyledConv(i, o, latent, up=True) for i, o in pairs)
        self.convs = nn.ModuleList(StyledConv(o, o, latent) for _, o in pairs)
        self.to_rgbs = nn.ModuleList(ModulatedToRGB(c, shape.joint, latent, patch) for c in channels)
        self.output = blocks.JointOutput(shape, background)
        self.layers = 2 * len(channels)  # one per convolution and one for the last image

    def forward(self, ws: Tensor, move: Tensor | None = None) -> Tensor:
        """`move` [B, 2] shifts the constant by that many image sides (right, down), to see if the image follows."""
        w = iter(ws.unbind(dim=1))
        x = self.constant.expand(len(ws), -1, -1, -1)
        x = self.first(x if move is None else equivariance.fourier_shift(x, move * x.shape[-1]), next(w))
        style = next(w)
        image = self.to_rgbs[0](x, style)
        for up, conv, to_rgb in zip(self.ups, self.convs, self.to_rgbs[1:], strict=True):
            x = conv(up(x, style), next(w))
            style = next(w)  # shared by a level's image and the next level's first convolution
            image = blocks.upsample(image) + to_rgb(x, style)
        return self.output(image)


class Generator(nn.Module):
    """z [B, D], and a second one for style mixing -> joint image [B, C + K, H, W], or its path lengths [B]."""

    def __init__(self, mapping: nn.Module, synthesis: nn.Module, mixing: float):
        super().__init__()
        self.mapping, self.synthesis, self.mixing = mapping, synthesis, mixing
        self.layers = synthesis.layers

    def forward(self, z: Tensor, other: Tensor, path_lengths: bool = False) -> Tensor:
        first = self.mapping(z)
        if self.mixing:
            ws = blocks.mix(first, self.mapping(other), self.layers, self.mixing)
        else:
            ws = first[:, None].expand(-1, self.layers, -1)
        image = self.synthesis(ws)
        return losses.path_lengths(image, ws) if path_lengths else image


class ResidualBlock(nn.Module):
    """Two convolutions, the second halving the image, plus a 1 x 1 shortcut; their sum is scaled by 1 / sqrt 2."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first = blocks.EqualConv(inputs, inputs)
        self.second = blocks.EqualConv(inputs, outputs, down=True)
        self.past = blocks.EqualConv(inputs, outputs, kernel=1, down=True, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = blocks.leaky(self.second(blocks.leaky(self.first(x))))
        return (y + self.past(x)) / math.sqrt(2)


class Discriminator(nn.Module):
    """Joint image [B, C + K, H, W] -> logit [B]; also StyleGAN 3's discriminator."""

    def __init__(self, shape: joint.Shape, width: int, fmap_max: int, patch: int):
        super().__init__()
        channels = list(blocks.levels(shape.size, width, fmap_max, patch).values())[::-1]
        self.parts = math.gcd(channels[-1], 8)  # of the minibatch deviation
        self.first = blocks.FromRGB(shape.joint, channels[0], patch)
        pairs = zip(channels, channels[1:], strict=False)
        self.blocks = nn.Sequential(*(ResidualBlock(i, o) for i, o in pairs))
        self.last = blocks.EqualConv(channels[-1] + self.parts, channels[-1])
        self.dense = blocks.EqualLinear(16 * channels[-1], channels[-1])
        self.score = blocks.EqualLinear(channels[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(blocks.leaky(self.first(x)))
        x = blocks.leaky(self.last(blocks.minibatch_deviation(x, self.parts)))
        return self.score(blocks.leaky(self.dense(x.flatten(1)))).squeeze(1)


class StyleGAN2(StyleGAN):
    """StyleGAN 2 over image and label."""

    name = "stylegan2"

    def new_networks(self) -> tuple[nn.Module, nn.Module]:
        synthesis = Synthesis(self.shape, self.width, self.fmap_max, self.latent, self.background, self.patch)
        mapping = blocks.Mapping(self.latent, self.mapping_layers)
        return Generator(mapping, synthesis, MIXING), Discriminator(self.shape, self.width, self.fmap_max, self.d_patch)
