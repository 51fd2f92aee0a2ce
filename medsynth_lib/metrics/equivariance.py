"""Translation equivariance of a generator, EQ-T (Karras et al. 2021, section 2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

RANGE = 2.0  # of intensities in [-1, 1]


def fourier_shift(x: Tensor, pixels: Tensor) -> Tensor:
    """x [B, C, H, W] translated by `pixels` [B, 2] (right, down), by Fourier interpolation with periodic borders.

    `pixels` may be fractions.
    """
    frequency = [torch.fft.fftfreq(n, device=x.device) for n in x.shape[-2:]]
    cycles = pixels[:, 1, None, None] * frequency[0][:, None] + pixels[:, 0, None, None] * frequency[1]
    return torch.fft.ifft2(torch.fft.fft2(x.float()) * torch.exp(-2j * math.pi * cycles)[:, None]).real.to(x.dtype)


@torch.no_grad()
def eq_t(synthesis: Callable[..., Tensor], ws: Tensor, shifts: Iterable[float], channels: int) -> dict[float, float]:
    """EQ-T in decibels, per shift in pixels to the right: 10 log10(range^2 / mean squared difference).

    Compared are the image from the translated input, synthesis(ws, translation as a fraction of the side), and the
    translated image of the original input. Both without a border of an eighth of the side, in the first `channels`
    channels. Higher is better.
    """
    reference = synthesis(ws)[:, :channels]
    size, found = reference.shape[-1], {}
    inner = slice(size // 8, size - size // 8)
    for pixels in shifts:
        translation = torch.tensor([[float(pixels), 0.0]], device=ws.device).expand(len(ws), 2)
        translated = synthesis(ws, translation / size)[:, :channels]
        error = (translated - fourier_shift(reference, translation))[..., inner, inner].float().square().mean()
        found[float(pixels)] = 10 * math.log10(RANGE**2 / max(error.item(), 1e-12))
    return found
