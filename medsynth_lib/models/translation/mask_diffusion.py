"""Images from masks by diffusion: EDM of the image, with the one-hot mask as further channels of its input.

Unlike pix2pix and SPADE, it needs no discriminator for sharp images: one mask has many images, and the initial noise
determines which one is generated.

A mask does not say how bright its regions are. A small network generates all of them in about their average brightness,
and no lesion is faint. With `region_means` the condition has the mean intensities of each region, too, as SEAN's region
styles (Zhu et al. 2020) do in a GAN: whoever samples decides how they are distributed.

A lesion covers few pixels, so its errors hardly count in the loss. `region_weight` is the weight of what a segmenter is
to learn from the images: the pixels of all labels but 0, and of the border around them. The minimum of the loss does
not move, because the weight of a pixel depends on the condition alone.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...core.method import BATCH
from ...data.foreground import BACKGROUND
from ..diffusion.edm import EDM, EDMConfig
from ..diffusion.unet import FoldedUNet
from .pix2pix import one_hot

BORDER = 2  # pixels around a region that have its weight


@dataclass(frozen=True)
class MaskDiffusionConfig(EDMConfig):
    _: KW_ONLY
    region_means: bool = False  # whether the condition has the mean intensity of every label in every channel
    region_weight: float = 1.0  # in the loss, of pixels with a label, and of the border around them


class MaskDiffusion(EDM):
    """Mask -> image. Batches are {"images" [B, C, H, W], "labels" [B, H, W]}; `sigma_data` is that of the images.

    The other arguments are EDM's. It has `translate` and no `sample`, because it generates no masks.
    """

    Config = MaskDiffusionConfig
    name = "mask_diffusion"

    def network(self) -> nn.Module:
        given = self.shape.labels + (self.shape.channels if self.region_means else 0)
        return FoldedUNet(self.shape.channels, self.shape.size, *self.sizes, given=given)

    def condition(self, labels: Tensor, means: Tensor) -> Tensor:
        """The network's input beside the image: [B, K, H, W] or, with region means [B, K, C], [B, K + C, H, W]."""
        hot = one_hot(labels, self.shape.labels)
        if not self.region_means:
            return hot
        return torch.cat([hot, torch.einsum("bkhw,bkc->bchw", (hot > 0).to(means), means)], dim=1)

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Per image of the batch: [B]."""
        means = region_means(batch["images"], batch["labels"], self.shape.labels)
        condition = self.condition(batch["labels"], means)
        return self.denoiser.loss(batch["images"], None, condition, importance=self.importance(batch["labels"]))

    def importance(self, labels: Tensor) -> Tensor:
        """Weights [B, 1, H, W] of the pixels in the loss: `region_weight` in and around regions, 1 elsewhere."""
        near = F.max_pool2d((labels[:, None] > 0).float(), 2 * BORDER + 1, stride=1, padding=BORDER)
        return 1 + (self.region_weight - 1) * near

    def sample(self, n: int, seed: int, **how: Any) -> NoReturn:
        """Raises TypeError: images need masks."""
        raise TypeError("mask_diffusion generates images for masks; call translate(labels, seed).")

    def translate(self, labels: Tensor, seed: int, means: Tensor | None = None, batch_size: int = BATCH) -> Tensor:
        """An image [N, C, H, W] for every mask [N, H, W], on the CPU; other seeds give other images.

        means  of the regions [N, K, C], as `region_means` measures them; needed by a model with `region_means` alone
        """
        if self.region_means != (means is not None):
            needs = "needs the means of the regions of each mask" if self.region_means else "was trained without means"
            raise ValueError(f"this mask_diffusion {needs}; see mask_diffusion.region_means.")
        generator = torch.Generator().manual_seed(seed)

        def draw(part: Tensor, means: Tensor) -> Tensor:
            noise = torch.randn(len(part), self.shape.channels, *part.shape[1:], generator=generator).to(part.device)
            return self.denoiser.solve(noise, self.solver_steps, None, self.condition(part, means)).clamp(-1, 1)

        given = torch.zeros(len(labels), 0) if means is None else means
        return self.in_batches(draw, labels, given, batch_size=batch_size)


def region_means(images: Tensor, labels: Tensor, n_labels: int) -> Tensor:
    """Mean intensity of every label in every channel, [N, K, C], of images [N, C, H, W] and labels [N, H, W].

    Of label 0, only the foreground counts. 0 where an image has no pixel of the label.
    """
    regions = one_hot(labels, n_labels) > 0
    regions[:, 0] &= (images > BACKGROUND).any(dim=1)
    weights = regions.to(images)
    sums = torch.einsum("bkhw,bchw->bkc", weights, images)
    return sums / weights.sum(dim=(2, 3)).clamp(min=1)[:, :, None]
