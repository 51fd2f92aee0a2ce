"""The user's own feature extractor, from a TorchScript file: Inception, RadImageNet or DINOv2, for example.

Nothing is downloaded. A TorchScript file holds code, so load only files that you trust.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from ...core.checkpoints import CheckpointError
from ...core.portions import finite, spans
from ...metrics.device import search_device


class LocalExtractor:
    """Images [N, C, H, W] in [-1, 1] -> features float64 [N, D], by the TorchScript module in `path`.

    channel  the image channel used, repeated three times (such networks expect colour images)
    size     side in pixels to which images are resized; None = not resized
    mean, deviation   of the colours of its training images, for values in [0, 1] (default: ImageNet's)
    Feature maps [N, D, h, w] are averaged over h and w. It runs on the GPU if there is one.
    Raises CheckpointError for a missing or damaged file.
    """

    def __init__(
        self,
        path: Path,
        channel: int = 0,
        size: int | None = 224,
        mean: tuple[float, float, float] = (0.485, 0.456, 0.406),
        deviation: tuple[float, float, float] = (0.229, 0.224, 0.225),
    ):
        self.device = search_device()
        try:
            self.net = torch.jit.load(str(path), map_location=self.device).eval()
        except (RuntimeError, ValueError, OSError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise CheckpointError(
                f"{path} cannot be read as TorchScript ({reason}); write it with torch.jit.trace(...).save(path)."
            ) from error
        self.channel, self.size = channel, size
        self.mean, self.deviation = (torch.tensor(x, device=self.device).view(1, -1, 1, 1) for x in (mean, deviation))

    @torch.no_grad()
    def __call__(self, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
        parts = []
        for span in spans(len(images), batch_size):
            portion = torch.from_numpy(finite(images[span, self.channel : self.channel + 1])).to(self.device)
            colours = ((portion + 1) / 2).expand(-1, 3, -1, -1)
            if self.size:
                colours = F.interpolate(colours, size=(self.size, self.size), mode="bilinear", antialias=True)
            found = self.net((colours - self.mean) / self.deviation)
            parts.append((found.mean((2, 3)) if found.dim() == 4 else found).cpu())
        return torch.cat(parts).double().numpy()
