"""A Swin transformer as segmenter: MONAI's SwinUNETR in two dimensions (Hatamizadeh et al. 2022; Liu et al. 2021)."""

from __future__ import annotations

from monai.networks.nets import SwinUNETR
from torch import nn

from .segmenter import Segmenter


class SwinSegmenter(Segmenter):
    """Windows of 7 x 7 patches attend to themselves, every other layer shifted; a U-Net's decoder gives the labels.

    widths   one number: the channels of the first level, a multiple of 12 (Swin-B has 128, which is none; 48 is
             SwinUNETR's own)
    """

    name = "swin"

    def network(self) -> nn.Module:
        return SwinUNETR(self.channels, self.n_labels, feature_size=self.widths[0], spatial_dims=2)
