"""A trained DDPM as a folder that diffusers can load: `DDPMPipeline.from_pretrained(folder)`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMPipeline, DDPMScheduler
from torch import Tensor
from torch.nn import functional as F

from ...data import joint
from .ddpm import DDPM


def save_pipeline(ddpm: DDPM, folder: Path) -> Path:
    """Write the U-Net and the noise schedule of `ddpm` in diffusers' layout.

    The pipeline works on folded images, as the U-Net does: folding only reorders values, so noise stays noise. Its
    `output_type` must be "np", since PIL has no images of so many channels; `unfolded` turns them into slices.
    """
    scheduler = DDPMScheduler.from_config(ddpm.noise_scheduler.config, prediction_type=ddpm.prediction_type)
    DDPMPipeline(unet=ddpm.predictor.unet, scheduler=scheduler).save_pretrained(folder, safe_serialization=True)
    return Path(folder)


def unfolded(images: np.ndarray, patch: int, channels: int) -> tuple[Tensor, Tensor]:
    """Images [B, C, H, W] in [-1, 1] and labels [B, H, W] from a pipeline's images [B, H / patch, W / patch, ...]."""
    folded = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2) * 2 - 1
    return joint.decode(F.pixel_shuffle(folded, patch), channels)
