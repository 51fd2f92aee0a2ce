"""Batched augmentation on the device: geometry for image and label alike, intensity for the image only."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .foreground import BACKGROUND


def uniform(n: int, low: float, high: float, device) -> Tensor:
    return torch.rand(n, device=device) * (high - low) + low


def moved(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Random turns (+-15 degrees), scales (0.9-1.1), shifts and left-right flips of images and labels alike."""
    images, labels = batch["images"], batch["labels"]
    b, device = len(images), images.device
    angle = uniform(b, -math.pi / 12, math.pi / 12, device)
    scale = uniform(b, 0.9, 1.1, device)
    flip = torch.where(torch.rand(b, device=device) < 0.5, -1.0, 1.0)
    move = torch.stack([uniform(b, -0.1, 0.1, device), uniform(b, -0.1, 0.1, device)], dim=1)
    cos, sin = angle.cos() / scale, angle.sin() / scale
    theta = torch.stack([torch.stack([cos * flip, -sin], 1), torch.stack([sin * flip, cos], 1)], 1)
    grid = F.affine_grid(torch.cat([theta, move[:, :, None]], dim=2), list(images.shape), align_corners=False)
    # Padding with the border value keeps a black background black and an anatomical crop anatomical. One rule for both:
    # a lesion that reaches the edge is continued in the picture and in its label.
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    labels = F.grid_sample(labels[:, None].float(), grid, mode="nearest", padding_mode="border", align_corners=False)
    return {"images": images, "labels": labels[:, 0].to(torch.uint8)}


def augment(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Random affine, left-right flip, gain, offset, gamma and noise of {"images" [B,C,H,W], "labels" [B,H,W]}.

    Ranges follow the nnU-Net-like set of Akbar et al. (rotation, scaling 0.9-1.1, gamma, noise), with +-15 degrees.
    """
    batch = moved(batch)
    images, (b, c) = batch["images"], batch["images"].shape[:2]
    device, shape = images.device, (b, c, 1, 1)
    unit = (images.clamp(-1, 1) + 1) / 2
    unit = unit ** uniform(b * c, 0.8, 1.25, device).view(shape)
    unit = unit * uniform(b * c, 0.85, 1.15, device).view(shape)
    noise = torch.randn_like(unit) * uniform(b, 0.0, 0.03, device).view(b, 1, 1, 1)
    foreground = unit > 1e-3  # rounding in grid_sample is no foreground
    return {"images": torch.where(foreground, unit + noise, unit).clamp(0, 1) * 2 - 1, "labels": batch["labels"]}


def random_tones(batch: dict[str, Tensor], points: int = 6) -> dict[str, Tensor]:
    """`augment` of {"images" [B,C,H,W], "labels" [B,H,W]}, and for half of the pictures a random curve of grey values.

    A broken line through `points` random heights per channel, falling as well as rising; background stays. In the
    spirit of Zhou et al. 2019 (Models Genesis): a segmenter that cannot trust grey values has to learn shapes, and may
    bear another scanner.
    """
    batch = augment(batch)
    images = batch["images"]
    b, c = images.shape[:2]
    heights = torch.rand(b * c, points, device=images.device) * 2 - 1
    at = ((images + 1) / 2 * (points - 1)).clamp(0, points - 1).flatten(0, 1)  # [B C, H, W]
    low = at.floor().clamp(max=points - 2).long()
    rows = torch.arange(b * c, device=images.device)[:, None, None]
    curved = torch.lerp(heights[rows, low], heights[rows, low + 1], at - low).view_as(images)
    chosen = (torch.rand(b, 1, 1, 1, device=images.device) < 0.5) & (images > BACKGROUND)
    return {"images": torch.where(chosen, curved, images), "labels": batch["labels"]}
