"""StyleGAN 3-T (Karras et al. 2021): no layer has access to its position on the pixel grid. Taught in 03_stylegan.

Feature maps are treated as samples of continuous signals. An operation is allowed if it commutes with a shift of the
signal: convolutions do; a pointwise nonlinearity does only if the frequencies that it creates beyond the grid are
filtered out. So every layer doubles its sampling rate, applies the leaky ReLU, low-pass filters and downsamples; the
constant becomes a sum of sines that a style rotates and shifts; borders are hidden behind a margin; noise is left out.
The texture then moves with the anatomy, instead of sticking to the pixels.

All in plain PyTorch: the authors' CUDA kernel (up, leaky ReLU, down) is four matrix products per layer here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.signal import firwin
from torch import Tensor, nn
from torch.nn import functional as F

from ...data.joint import Shape
from . import blocks
from .stylegan import StyleGAN, StyleGANConfig
from .stylegan2 import Discriminator, Generator, ModulatedConv

FIRST_STOPBAND, LAST_STOPBAND = 2**1.1, 2**0.3  # relative to the first and to the last cutoff
CRITICAL = 2  # layers at the end that use the whole band
TAPS = 6  # length of a low-pass filter in samples of the slower grid
MAGNITUDE_RATE = 0.02  # per step; the paper's average over 20 kimg would not arrive in a short training


@dataclass(frozen=True)
class Band:
    """The signal between two layers: cutoff and transition in cycles per image, samples per image, grid, channels.

    `grid` is the side of the feature map: `rate` samples for the image and a margin on either side.
    """

    cutoff: float
    half_width: float
    rate: int
    grid: int
    channels: int


def plan(size: int, layers: int, width: int, fmap_max: int, margin: int, first: float = 2.0) -> list[Band]:
    """`layers` + 1 bands, cutoffs from `first` on in geometric progression (Karras et al. 2021, section 3.2)."""
    progress = np.minimum(np.arange(layers + 1) / max(layers - CRITICAL, 1), 1)
    last = size / 2
    cutoff = first * (last / first) ** progress
    stopband = first * FIRST_STOPBAND * (last * LAST_STOPBAND / (first * FIRST_STOPBAND)) ** progress
    rate = np.exp2(np.ceil(np.log2(np.minimum(2 * stopband, size)))).astype(int)
    half_width = np.maximum(stopband, rate / 2) - cutoff
    channels = np.minimum(np.rint(width * last / cutoff), fmap_max).astype(int)
    return [
        Band(float(c), float(h), int(r), int(r) + (0 if k == layers else 2 * margin), int(n))
        for k, (c, h, r, n) in enumerate(zip(cutoff, half_width, rate, channels, strict=True))
    ]


def low_pass(band: Band, factor: int, rate: int) -> Tensor:
    """Kaiser-windowed filter [TAPS * factor] at `rate`, `factor` times the band's: keeps what lies below the cutoff."""
    return torch.tensor(firwin(TAPS * factor, band.cutoff, width=2 * band.half_width, fs=rate), dtype=torch.float32)


def resampler(taps: Tensor, factor: int, slow: int, fast: int, start: int = 0) -> Tensor:
    """The filter as a matrix [fast, slow] between two grids, one `factor` times finer and cropped by `start` samples.

    From the left it interpolates (zeros between the samples, then the taps; times `factor` keeps the mean); its
    transpose filters and keeps every `factor`-th sample. Although dense, it is 2.6 times as fast as depthwise
    convolutions on a CPU at 64 px.
    """
    tap = start + torch.arange(fast)[:, None] - factor * torch.arange(slow)
    inside = (tap >= 0) & (tap < len(taps))
    return torch.where(inside, taps[tap.clamp(0, len(taps) - 1)], 0.0)


def both_ways(x: Tensor, matrix: Tensor) -> Tensor:
    """(M x M^T)^T of every map of x [B, C, N, N]; a second call undoes the transposition."""
    return F.linear(F.linear(x, matrix).mT, matrix)


class Waves(nn.Module):
    """The input: sines of random frequency within the first band, mixed linearly; a style rotates and shifts them.

    w [B, D], move [B, 2] in image sides (right, down) -> [B, channels, grid, grid].
    """

    def __init__(self, latent: int, band: Band):
        super().__init__()
        direction = F.normalize(torch.randn(band.channels, 2), dim=1)
        radius = band.cutoff * torch.rand(band.channels, 1).sqrt()  # uniform on the disc
        self.register_buffer("frequencies", direction * radius)
        self.register_buffer("phases", torch.rand(band.channels) - 0.5)
        at = (torch.arange(band.grid) - (band.grid - 1) / 2) / band.rate  # the image spans -0.5 to 0.5
        self.register_buffer("at", at, persistent=False)
        self.pose = blocks.EqualLinear(latent, 4)
        nn.init.zeros_(self.pose.weight)
        with torch.no_grad():
            self.pose.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        self.mixing = nn.Parameter(torch.randn(band.channels, band.channels))
        self.band = band

    def forward(self, w: Tensor, move: Tensor | None = None) -> Tensor:
        pose = self.pose(w)
        pose = pose / pose[:, :2].norm(dim=1, keepdim=True)  # (cos, sin) of the rotation, and a translation
        cos, sin = pose[:, 0], pose[:, 1]
        turn = torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)
        frequencies = self.frequencies @ turn  # [B, K, 2] in cycles per image along (x, y)
        offset = pose[:, 2:] if move is None else pose[:, 2:] + move
        phases = self.phases - (frequencies @ offset[:, :, None])[:, :, 0]
        angle = frequencies[:, :, 0, None, None] * self.at + frequencies[:, :, 1, None, None] * self.at[:, None]
        waves = torch.sin(2 * math.pi * (angle + phases[:, :, None, None]))
        return F.conv2d(waves, self.mixing[:, :, None, None] / math.sqrt(self.band.channels))


class Layer(nn.Module):
    """Modulated convolution, bias, and the leaky ReLU at twice the sampling rate between two low-pass filters.

    Feature maps are divided by the root of the running mean of their square, so that activations stay near 1.
    """

    def __init__(self, before: Band, after: Band, latent: int):
        super().__init__()
        self.conv = ModulatedConv(before.channels, after.channels, latent, padding=2)
        self.bias = nn.Parameter(torch.zeros(1, after.channels, 1, 1))
        self.register_buffer("magnitude", torch.ones(()))
        rate = 2 * max(before.rate, after.rate)
        up, down = rate // before.rate, rate // after.rate
        up_taps, down_taps = low_pass(before, up, rate), low_pass(after, down, rate)
        # Crop at the fast rate, so that the image's centre stays the centre of the grid.
        slow = before.grid + 2
        have, need = (slow - 1) * up + len(up_taps), (after.grid - 1) * down + len(down_taps)
        widen = up * resampler(up_taps, up, slow, need, (have - need) // 2)
        narrow = 2**0.25 * resampler(down_taps, down, after.grid, need).T  # twice 2^(1/4): the gain of `blocks.leaky`
        self.register_buffer("widen", widen, persistent=False)
        self.register_buffer("narrow", narrow.contiguous(), persistent=False)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        if self.training:
            self.magnitude.lerp_(x.detach().float().square().mean(), MAGNITUDE_RATE)
        x = self.conv(x * torch.rsqrt(self.magnitude).to(x.dtype), w) + self.bias
        return both_ways(F.leaky_relu(both_ways(x, self.widen), 0.2), self.narrow)


class Synthesis(nn.Module):
    """ws [B, layers, D] -> joint image. `move` [B, 2] shifts the image by that many sides (right, down)."""

    def __init__(
        self,
        shape: Shape,
        width: int,
        fmap_max: int,
        latent: int,
        background: float,
        layers: int,
        margin: int,
        first: float,
    ):
        super().__init__()
        bands = plan(shape.size, layers, width, fmap_max, margin, first)
        self.waves = Waves(latent, bands[0])
        self.body = nn.ModuleList(Layer(i, o, latent) for i, o in zip(bands, bands[1:], strict=False))
        self.to_rgb = ModulatedConv(bands[-1].channels, shape.joint, latent, kernel=1, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, shape.joint, 1, 1))
        self.output = blocks.JointOutput(shape, background)
        self.layers = layers + 2  # the waves, the body, the image

    def forward(self, ws: Tensor, move: Tensor | None = None) -> Tensor:
        first, *body, last = ws.unbind(dim=1)
        x = self.waves(first, move)
        for layer, w in zip(self.body, body, strict=True):
            x = layer(x, w)
        return self.output(self.to_rgb(x, last) + self.bias)


@dataclass(frozen=True)
class StyleGAN3Config(StyleGANConfig):
    depth: int = 14  # layers between the waves and the image (the paper: 14 at any size)
    margin: int = 10  # samples beyond the image on either side of every feature map (the paper: 10)
    first: float = 2.0  # cutoff of the waves in cycles per image (the paper: 2); few layers need finer waves

    def check(self) -> None:
        super().check()
        if self.patch != 1:
            raise ValueError(
                f"stylegan3: patch is {self.patch}, but patches would stick to the pixel grid; set it to 1."
            )


class StyleGAN3(StyleGAN):
    """StyleGAN 3-T over image and label (StyleGAN 2's discriminator, no style mixing).

    A layer can raise frequencies only to some extent, so few layers need finer waves (`first`) to reach the last band.
    """

    Config = StyleGAN3Config
    name = "stylegan3"
    bf16 = False  # its filters need more precision: untrained, EQ-T falls from 94 dB to 60 in bfloat16

    def new_networks(self) -> tuple[nn.Module, nn.Module]:
        sizes = (self.width, self.fmap_max, self.latent, self.background, self.depth, self.margin, self.first)
        synthesis = Synthesis(self.shape, *sizes)
        mapping = blocks.Mapping(self.latent, self.mapping_layers)
        return Generator(mapping, synthesis, 0.0), Discriminator(self.shape, self.width, self.fmap_max, self.d_patch)
