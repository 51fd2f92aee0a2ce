"""diffusers' U-Net on folded images: the network of every diffusion model of images here."""

from __future__ import annotations

import torch
from diffusers import UNet2DModel
from torch import Tensor, nn
from torch.nn import functional as F


class FoldedUNet(nn.Module):
    """Images [B, C, H, W], a noise level [B] and conditions -> images [B, C, H, W].

    patch x patch pixels are folded into channels, so that the U-Net works on a (H / patch)^2 grid: most of the cost of
    a U-Net lies at full size. `widths` are the channels per level, `layers` the residual blocks in each; attention at
    the lowest level only.
    `classes` and `given` are for conditions: the number of classes (int64 [B]), and of the channels of a conditioning
    image ([B, given, H, W]).
    """

    def __init__(
        self,
        channels: int,
        size: int,
        patch: int,
        widths: tuple[int, ...],
        layers: int,
        attention: bool,
        classes: int = 0,
        given: int = 0,
    ):
        super().__init__()
        self.patch = patch
        depth = len(widths)
        self.unet = UNet2DModel(
            sample_size=size // patch,
            in_channels=(channels + given) * patch**2,
            out_channels=channels * patch**2,
            block_out_channels=tuple(widths),
            layers_per_block=layers,
            down_block_types=("DownBlock2D",) * (depth - 1) + ("AttnDownBlock2D" if attention else "DownBlock2D",),
            up_block_types=("AttnUpBlock2D" if attention else "UpBlock2D",) + ("UpBlock2D",) * (depth - 1),
            mid_block_type="UNetMidBlock2D",
            add_attention=attention,
            attention_head_dim=32,
            norm_num_groups=8,
            num_class_embeds=classes or None,
        )

    def forward(self, x: Tensor, level: Tensor, kinds: Tensor | None = None, image: Tensor | None = None) -> Tensor:
        condition = {} if kinds is None else {"class_labels": kinds}
        x = x if image is None else torch.cat([x, image], dim=1)
        drawn = self.unet(F.pixel_unshuffle(x, self.patch), level, **condition).sample
        return F.pixel_shuffle(drawn, self.patch)
