"""Augmentation of the discriminator's input, so that it cannot memorize a small training set.

Real and generated images are changed at random in the same ways, and the generator's gradient passes through the
changes. Geometric changes apply to image and label channels alike, intensity changes to image channels only.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

TARGET = 0.6  # of E[sign D(real)]: above it, D overfits (Karras et al. 2020, ADA)
MOST = 0.8  # bound of p, above which changes may leak into the samples (ibid., section 2.2)


def shift(x: Tensor, ratio: float = 0.125) -> Tensor:
    """Move every image of a batch by its own random offset of up to `ratio` of its side; border pixels are repeated.

    The translation of DiffAugment (Zhao et al. 2020).
    """
    b, c, h, w = x.shape
    reach = max(1, round(ratio * h))
    dy, dx = torch.randint(-reach, reach + 1, (2, b, 1), device=x.device)
    rows = (dy + torch.arange(h, device=x.device)).clamp(0, h - 1)[:, :, None]
    columns = (dx + torch.arange(w, device=x.device)).clamp(0, w - 1)[:, None, :]
    pixel = (rows * w + columns).view(b, 1, h * w).expand(b, c, h * w)
    return x.flatten(2).gather(2, pixel).view(b, c, h, w)


def diff_augment(x: Tensor, channels: int) -> Tensor:
    """DiffAugment's "color, translation, cutout" (Zhao et al. 2020) of joint images [B, C + K, H, W].

    Brightness +-0.5 and contrast 0.5-1.5 on the C image channels (no saturation: MR has no colour), an offset of up to
    1/8, and a square of half the side set to 0 in all channels.
    """
    b, _, h, w = x.shape
    brightness, contrast = torch.rand(2, b, 1, 1, 1, device=x.device)
    x = shift(recolour(x, channels, brightness - 0.5, contrast + 0.5))
    top, left = torch.rand(2, b, 1, device=x.device)
    rows = (torch.arange(h, device=x.device) - top * h).abs() < h / 4
    columns = (torch.arange(w, device=x.device) - left * w).abs() < w / 4
    return x * ~(rows[:, None, :, None] & columns[:, None, None, :])


def recolour(x: Tensor, channels: int, brightness: Tensor, contrast: Tensor) -> Tensor:
    """Image channels times `contrast` around their mean plus `brightness` (both [B, 1 or C, 1, 1]); labels stay."""
    image = x[:, :channels]
    mean = image.mean(dim=(2, 3), keepdim=True)
    return torch.cat([(image - mean) * contrast + mean + brightness, x[:, channels:]], dim=1)


def adaptive(x: Tensor, channels: int, p: Tensor) -> Tensor:
    """ADA's changes, each for each image with probability `p` (a 0-dim tensor) (Karras et al. 2020, appendix B).

    Mirror, rotation up to 30 degrees, isotropic and anisotropic scale and translation in one bilinear resampling that
    repeats the border; then brightness N(0, 0.2) and contrast 2^N(0, 0.5) per image channel. Left out: larger
    rotations, and hue and saturation, which scans do not have.
    """
    b = len(x)

    def sometimes(value: Tensor, otherwise: float = 0.0) -> Tensor:
        drawn = torch.rand(b, *[1] * (value.dim() - 1), device=x.device) < p
        return torch.where(drawn, value, otherwise)

    normal = torch.randn(b, 5, device=x.device)
    mirror = sometimes(torch.where(torch.rand(b, device=x.device) < 0.5, -1.0, 1.0), 1.0)
    angle = sometimes((torch.rand(b, device=x.device) * 2 - 1) * math.pi / 6)
    scale = sometimes(torch.exp2(0.2 * normal[:, 0]), 1.0)
    stretch = sometimes(torch.exp2(0.2 * normal[:, 1]), 1.0)
    move = sometimes(0.125 * 2 * normal[:, 2:4])  # of half the side, grid_sample's unit
    cos, sin = torch.cos(angle), torch.sin(angle)
    across, along = scale * stretch, scale / stretch
    matrix = torch.stack(
        [
            torch.stack([mirror * cos * across, -sin * along, move[:, 0]], dim=1),
            torch.stack([mirror * sin * across, cos * along, move[:, 1]], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    x = F.grid_sample(x.float(), grid, padding_mode="border", align_corners=False).to(x.dtype)
    brightness = sometimes(0.2 * torch.randn(b, channels, 1, 1, device=x.device))
    contrast = sometimes(torch.exp2(0.5 * torch.randn(b, channels, 1, 1, device=x.device)), 1.0)
    return recolour(x, channels, brightness, contrast)


def steer(p: Tensor, sign: Tensor, images: int, images_to_one: float) -> None:
    """Move p in place towards where E[sign D(real)] is TARGET, at a speed that takes it from 0 to 1 in `images_to_one`.

    p and sign are 0-dim tensors on the device: the host never waits for them.
    """
    p.add_(torch.sign(sign - TARGET) * images / images_to_one).clamp_(0, MOST)
