"""Augmentation of batches on the device: geometric changes of image and label, intensity changes of the image only."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .foreground import BACKGROUND


def uniform(n: int, low: float, high: float, device: torch.device) -> Tensor:
    """n uniform random numbers in [low, high): float32 [n]."""
    return torch.rand(n, device=device) * (high - low) + low


def random_affine(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """One random affine transform per image, applied to {"images" [B, C, H, W], "labels" [B, H, W]}.

    Rotation by up to 15 degrees, scaling by 0.9 to 1.1, translation by up to 5 % of the side, left-right flip.
    """
    images, labels = batch["images"], batch["labels"]
    b, device = len(images), images.device
    angle = uniform(b, -math.pi / 12, math.pi / 12, device)
    scale = uniform(b, 0.9, 1.1, device)
    flip = torch.where(torch.rand(b, device=device) < 0.5, -1.0, 1.0)
    translation = torch.stack([uniform(b, -0.1, 0.1, device), uniform(b, -0.1, 0.1, device)], dim=1)
    cos, sin = angle.cos() / scale, angle.sin() / scale
    theta = torch.stack([torch.stack([cos * flip, -sin], 1), torch.stack([sin * flip, cos], 1)], 1)
    theta = torch.cat([theta, translation[:, :, None]], dim=2)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    # Padding repeats the border value: black background stays black, and a crop is continued by its own tissue. Image
    # and label use the same padding, so that a lesion at the edge keeps its label.
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    labels = F.grid_sample(labels[:, None].float(), grid, mode="nearest", padding_mode="border", align_corners=False)
    return {"images": images, "labels": labels[:, 0].to(torch.uint8)}


def augment(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """`random_affine`, then random gamma, gain and noise of {"images" [B, C, H, W], "labels" [B, H, W]}.

    Intensities change in the foreground only. Ranges follow the nnU-Net-like augmentation of Akbar et al.
    """
    batch = random_affine(batch)
    images, (b, c) = batch["images"], batch["images"].shape[:2]
    device, shape = images.device, (b, c, 1, 1)
    unit = (images.clamp(-1, 1) + 1) / 2
    unit = unit ** uniform(b * c, 0.8, 1.25, device).view(shape)
    unit = unit * uniform(b * c, 0.85, 1.15, device).view(shape)
    noise = torch.randn_like(unit) * uniform(b, 0.0, 0.03, device).view(b, 1, 1, 1)
    foreground = unit > 1e-3  # above the rounding errors of grid_sample
    return {"images": torch.where(foreground, unit + noise, unit).clamp(0, 1) * 2 - 1, "labels": batch["labels"]}


def random_intensity_curve(batch: dict[str, Tensor], points: int = 6) -> dict[str, Tensor]:
    """`augment` of {"images" [B, C, H, W], "labels" [B, H, W]}, then a random intensity curve for half of the images.

    The curve of each channel is linear between `points` random values at equally spaced intensities, so it may rise or
    fall; background is unchanged. After Zhou et al. 2019 (Models Genesis): a segmenter that cannot rely on
    intensities has to learn shapes, which may help it to generalise to another scanner.
    """
    batch = augment(batch)
    images = batch["images"]
    b, c = images.shape[:2]
    values = torch.rand(b * c, points, device=images.device) * 2 - 1
    position = ((images + 1) / 2 * (points - 1)).clamp(0, points - 1).flatten(0, 1)  # on the curve: [B C, H, W]
    low = position.floor().clamp(max=points - 2).long()
    rows = torch.arange(b * c, device=images.device)[:, None, None]
    mapped = torch.lerp(values[rows, low], values[rows, low + 1], position - low).view_as(images)
    changed = (torch.rand(b, 1, 1, 1, device=images.device) < 0.5) & (images > BACKGROUND)
    return {"images": torch.where(changed, mapped, images), "labels": batch["labels"]}
