"""Does a generator's picture move with its input? Translation equivariance, EQ-T (Karras et al. 2021, section 2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

RANGE = 2.0  # of intensities in [-1, 1]


def fourier_shift(x: Tensor, pixels: Tensor) -> Tensor:
    """x [B, C, H, W] moved by `pixels` [B, 2] (right, down), fractions included, around the edge (band-limited)."""
    frequency = [torch.fft.fftfreq(n, device=x.device) for n in x.shape[-2:]]
    turns = pixels[:, 1, None, None] * frequency[0][:, None] + pixels[:, 0, None, None] * frequency[1]
    return torch.fft.ifft2(torch.fft.fft2(x.float()) * torch.exp(-2j * math.pi * turns)[:, None]).real.to(x.dtype)


@torch.no_grad()
def eq_t(synthesis, ws: Tensor, shifts, channels: int) -> dict[float, float]:
    """Decibels of range^2 over the mean squared difference, per shift in pixels to the right; higher is better.

    Compared are the picture of the moved input, synthesis(ws, move), and the picture of the input, moved afterwards; on
    the image channels, an eighth of the side left out at either border.
    """
    still = synthesis(ws)[:, :channels]
    size, found = still.shape[-1], {}
    border = slice(size // 8, size - size // 8)
    for pixels in shifts:
        move = torch.tensor([[float(pixels), 0.0]], device=ws.device).expand(len(ws), 2)
        moved = synthesis(ws, move / size)[:, :channels]
        error = (moved - fourier_shift(still, move))[..., border, border].float().square().mean()
        found[float(pixels)] = 10 * math.log10(RANGE**2 / max(error.item(), 1e-12))
    return found
