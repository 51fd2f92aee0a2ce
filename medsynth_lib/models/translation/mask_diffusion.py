"""Images from masks by diffusion: EDM of the image, with the one-hot mask as further channels of its input.

Unlike pix2pix and SPADE, it needs no discriminator for sharp images: one mask has many images, and the initial noise
determines which one is generated.
"""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from ...core.method import BATCH
from ..diffusion.edm import EDM
from ..diffusion.unet import FoldedUNet
from .pix2pix import one_hot


class MaskDiffusion(EDM):
    """Mask -> image. Batches are {"images" [B, C, H, W], "labels" [B, H, W]}; `sigma_data` is that of the images.

    The other arguments are EDM's. It has `translate` and no `sample`, because it generates no masks.
    """

    name = "mask_diffusion"

    def network(self) -> nn.Module:
        return FoldedUNet(self.shape.channels, self.shape.size, *self.sizes, given=self.shape.labels)

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Per image of the batch: [B]."""
        return self.denoiser.loss(batch["images"], None, one_hot(batch["labels"], self.shape.labels))

    def sample(self, n: int, seed: int, **how: Any) -> NoReturn:
        """Raises TypeError: images need masks."""
        raise TypeError("mask_diffusion generates images for masks; call translate(labels, seed).")

    def translate(self, labels: Tensor, seed: int, batch_size: int = BATCH) -> Tensor:
        """An image [N, C, H, W] for every mask [N, H, W], on the CPU; other seeds give other images."""
        generator = torch.Generator().manual_seed(seed)

        def draw(part: Tensor) -> Tensor:
            noise = torch.randn(len(part), self.shape.channels, *part.shape[1:], generator=generator).to(part.device)
            return self.denoiser.solve(noise, self.solver_steps, None, one_hot(part, self.shape.labels)).clamp(-1, 1)

        return self.in_batches(draw, labels, batch_size=batch_size)
