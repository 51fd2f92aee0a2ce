"""Building blocks of the GANs after DCGAN: equalised layers, resampling, styles, minibatch statistics.

They are shared by four methods; each method's own file says how it uses them.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...core.method import full_precision
from ...data import joint

BINOMIAL = (1.0, 3.0, 3.0, 1.0)  # the resampling filter of StyleGAN 2


def pixel_norm(x: Tensor) -> Tensor:
    """Every pixel's feature vector (dimension 1) scaled to mean square 1 (Karras et al. 2018, section 4.2)."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


def leaky(x: Tensor) -> Tensor:
    """Leaky ReLU that keeps the variance of a normal input: slope 0.2, gain sqrt 2."""
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


class EqualLinear(nn.Module):
    """Linear layer with equalised learning rate: weights ~ N(0, 1), scaled by 1 / sqrt(fan in) when used.

    Adam's step has the same size for every weight; scaled like this, it is the same share of the weights of any layer
    (Karras et al. 2018, section 4.1). `rate` slows a layer down further (0.01 in mapping networks).
    """

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, rate: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.rate, self.gain = rate, rate / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.gain, self.bias * self.rate)


class EqualConv(nn.Module):
    """k x k convolution with equalised learning rate; `down` halves the image after a blur (StyleGAN 2)."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, down: bool = False, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.gain, self.down = 1 / math.sqrt(inputs * kernel**2), down

    def forward(self, x: Tensor) -> Tensor:
        k = self.weight.shape[-1]
        if not self.down:
            return F.conv2d(x, self.weight * self.gain, self.bias, padding=k // 2)
        x = blur(x, pad=(2, 2) if k == 3 else (1, 1), stride=1 if k == 3 else 2)
        return F.conv2d(x, self.weight * self.gain, self.bias, stride=2 if k == 3 else 1)


@functools.cache
def kernel_2d(gain: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    """BINOMIAL in both directions, with sum `gain`: [1, 1, 4, 4]."""
    taps = torch.tensor(BINOMIAL, dtype=dtype).to(device)
    kernel = torch.outer(taps, taps)
    return (kernel * (gain / kernel.sum()))[None, None]


def filter_2d(x: Tensor, gain: float = 1.0) -> Tensor:
    """BINOMIAL as a depthwise kernel [C, 1, 4, 4] with sum `gain` for x [B, C, H, W]."""
    return kernel_2d(gain, x.device, x.dtype).expand(x.shape[1], 1, 4, 4)


def blur(x: Tensor, pad: tuple[int, int], stride: int = 1, gain: float = 1.0) -> Tensor:
    """Low-pass [1, 3, 3, 1] by depthwise convolution (no custom kernel, deterministic on GPUs as well)."""
    before, after = pad
    return F.conv2d(F.pad(x, (before, after, before, after)), filter_2d(x, gain), stride=stride, groups=x.shape[1])


def upsample(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, C, 2H, 2W]: zeros between the pixels, then the filter."""
    return F.conv_transpose2d(x, filter_2d(x, 4.0), stride=2, padding=1, groups=x.shape[1])


def downsample(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, C, H/2, W/2]: the filter, then every second pixel."""
    return blur(x, (1, 1), stride=2)


def minibatch_deviation(x: Tensor, parts: int = 1, group: int = 4) -> Tensor:
    """`parts` more channels: mean standard deviations within groups of the batch. D sees when samples are too alike.

    Karras et al. 2018, section 3, with one mean over all channels (`parts` = 1); with more, each part of the channels
    has its own, and D can see *what* is too alike. The group is the largest divisor of the batch up to `group`.
    """
    b, c, h, w = x.shape
    size = max(k for k in range(1, group + 1) if b % k == 0)
    grouped = x.reshape(size, b // size, parts, c // parts, h, w).float()
    deviation = (grouped.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(2, 3, 4))
    return torch.cat([x, deviation.to(x.dtype).repeat(size, 1)[:, :, None, None].expand(b, parts, h, w)], dim=1)


def levels(size: int, width: int, fmap_max: int, patch: int = 1) -> dict[int, int]:
    """Channels per grid {4: c, 8: c, ..., size / patch: c}: `width` at `size`, doubled per halving, at most `fmap_max`.

    A `patch` above 1 leaves out the finest levels, which cost most and help least; `ToRGB` and `FromRGB` replace them.
    """
    grids = (4 * 2**k for k in range(int(math.log2(size // patch)) - 1))
    return {grid: min(width * size // grid, fmap_max) for grid in grids}


def windows(patch: int) -> int:
    """Side of the windows in which patches are written and read: twice the patch, so that neighbours overlap."""
    return 1 if patch == 1 else 2 * patch


class ToRGB(nn.Module):
    """Features [B, C, H, W] -> image [B, J, patch H, patch W]: a 1 x 1 convolution, or one window per position.

    Overlapping windows fade out (Hann) and add up to one everywhere, so that the patches have no borders. Every window
    starts constant: the first images are smooth, and detail within a patch has to be learned. With random windows,
    their grid stays visible after a short training.
    """

    def __init__(self, inputs: int, outputs: int, patch: int = 1):
        super().__init__()
        side = windows(patch)
        self.weight = nn.Parameter(torch.randn(inputs, outputs, 1, 1).repeat(1, 1, side, side))
        self.bias = nn.Parameter(torch.zeros(outputs))
        fade = torch.sin(math.pi * (torch.arange(side) + 0.5) / side).square()
        self.register_buffer("window", torch.outer(fade, fade) / math.sqrt(inputs), persistent=False)
        self.patch = patch

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.window
        return F.conv_transpose2d(x, weight, self.bias, stride=self.patch, padding=self.patch // 2)


class FromRGB(nn.Module):
    """Image [B, J, patch H, patch W] -> features [B, C, H, W]: a 1 x 1 convolution, or one window per position."""

    def __init__(self, inputs: int, outputs: int, patch: int = 1):
        super().__init__()
        side = windows(patch)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, side, side))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.gain, self.patch = 1 / math.sqrt(inputs * side**2), patch

    def forward(self, image: Tensor) -> Tensor:
        return F.conv2d(image, self.weight * self.gain, self.bias, stride=self.patch, padding=self.patch // 2)


class Mapping(nn.Module):
    """z [B, D] -> w [B, D]: `layers` dense layers at a hundredth of the learning rate (Karras et al. 2019).

    Keeps the running mean of w for `truncate`.
    """

    def __init__(self, latent: int, layers: int):
        super().__init__()
        self.layers = nn.ModuleList(EqualLinear(latent, latent, rate=0.01) for _ in range(layers))
        self.register_buffer("mean", torch.zeros(latent))

    def forward(self, z: Tensor) -> Tensor:
        with full_precision(z):  # as in the originals: all styles depend on these few small layers
            w = pixel_norm(z)
            for layer in self.layers:
                w = leaky(layer(w))
        if self.training:
            self.mean.lerp_(w.detach().float().mean(0), 0.005)
        return w

    def truncate(self, w: Tensor, psi: float) -> Tensor:
        """w moved towards the mean: psi 1 leaves it, psi 0 gives the mean style. Trades diversity for fidelity."""
        return self.mean + psi * (w - self.mean)


def mix(first: Tensor, second: Tensor, layers: int, chance: float) -> Tensor:
    """Style mixing: w [B, D] twice -> [B, L, D]; with probability `chance`, `second` from a random layer on.

    It keeps neighbouring layers from relying on each other's style (Karras et al. 2019, section 3.1).
    """
    b = len(first)
    start = torch.randint(1, max(layers, 2), (b, 1, 1), device=first.device)
    start = torch.where(torch.rand(b, 1, 1, device=first.device) < chance, start, layers)
    layer = torch.arange(layers, device=first.device).view(1, -1, 1)
    return torch.where(layer < start, first[:, None], second[:, None])


class Noise(nn.Module):
    """Adds white noise, equal in all channels, times a learned strength that starts at 0, for random fine texture.

    The strength learns at 0.03 of the rate: noise is the quickest way to make images less smooth, and its speckle would
    stay after a short training.
    """

    def __init__(self):
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        return x + 0.03 * self.strength * torch.randn(b, 1, h, w, device=x.device, dtype=x.dtype)


def shares(logits: Tensor, softer: float = 4.0) -> Tensor:
    """Softmax over dimension 1 with the gradient that it has at logits / `softer` (straight-through).

    A label that G no longer generates has a share of almost 0, and through the plain softmax a gradient of almost 0, so
    it would never return. In short trainings StyleGAN 2, which does not normalise feature maps, lost lesions this way.
    """
    soft = softer * (logits / softer).softmax(dim=1)
    return logits.softmax(dim=1).detach() + soft - soft.detach()


class JointOutput(nn.Module):
    """Raw output of a generator [B, C + K, H, W] -> joint image: image channels by tanh, labels by `shares`.

    The originals have linear outputs. Here most of a slice is background of exactly -1, which tanh reaches easily and a
    linear output only approximately, so that D would detect fakes by their background.

    Label 0 starts with the share `background` that it has in real masks (Lin et al. 2017): from equal shares, D would
    first learn that fakes have too much lesion, and G might lose lesions for good.
    """

    def __init__(self, shape: joint.Shape, background: float):
        super().__init__()
        self.channels = shape.channels
        start = torch.zeros(shape.labels)
        if shape.labels > 1:
            share = min(max(background, 1e-3), 1 - 1e-3)
            start[0] = math.log(share / (1 - share) * (shape.labels - 1))
        self.register_buffer("start", start.view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        image, logits = x[:, : self.channels].float(), x[:, self.channels :].float()
        if logits.shape[1] == 0:
            return image.tanh()
        return torch.cat([image.tanh(), shares(logits + self.start) * 2 - 1], dim=1)
