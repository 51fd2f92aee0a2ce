"""A Swin transformer as segmenter: MONAI's SwinUNETR in two dimensions (Hatamizadeh et al. 2022; Liu et al. 2021)."""

from __future__ import annotations

from monai.networks.nets import SwinUNETR
from torch import nn

from .segmenter import Segmenter


class SwinSegmenter(Segmenter):
    """Self-attention within windows of 7 x 7 patches, shifted in every other layer; a U-Net's decoder predicts labels.

    widths   one number: the channels of the first level, a multiple of 12 (so not Swin-B's 128; SwinUNETR has 48)
    """

    name = "swin"

    def network(self) -> nn.Module:
        return SwinUNETR(self.channels, self.n_labels, feature_size=self.widths[0], spatial_dims=2)
