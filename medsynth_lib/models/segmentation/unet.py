"""Two U-Nets of MONAI: a small one that a laptop trains in half a minute, and nnU-Net's with deep supervision."""

from __future__ import annotations

from monai.networks.nets import DynUNet, UNet
from torch import Tensor, nn

from .segmenter import Segmenter


class UNetSegmenter(Segmenter):
    """A U-Net whose first convolution halves the size already, which makes it cheap. Taught in 06."""

    name = "unet"

    def network(self) -> nn.Module:
        return UNet(
            spatial_dims=2,
            in_channels=self.channels,
            out_channels=self.n_labels,
            channels=self.widths,
            strides=(2,) * (len(self.widths) - 1),
            num_res_units=1,
            norm="INSTANCE",
        )


class DynUNetSegmenter(Segmenter):
    """nnU-Net's plain U-Net, as in Akbar et al.: two convolutions per level, instance norm, deep supervision."""

    name = "dynunet"

    def network(self) -> nn.Module:
        levels = len(self.widths)
        net = DynUNet(
            spatial_dims=2,
            in_channels=self.channels,
            out_channels=self.n_labels,
            kernel_size=[3] * levels,
            strides=[1] + [2] * (levels - 1),
            upsample_kernel_size=[2] * (levels - 1),
            filters=self.widths,
            norm_name="instance",
            deep_supervision=levels > 2,
            deep_supr_num=max(1, levels - 2),  # all scales but the coarsest
        )
        # MONAI registers these layers twice, and uses `skip_layers`. Without the others, weights are saved once.
        for twice in ("input_block", "downsamples", "bottleneck", "upsamples", "deep_supervision_heads"):
            if hasattr(net, twice):
                delattr(net, twice)
        return net

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Weighted mean over scales; a scale of half the size counts half as much (Isensee et al. 2021)."""
        scales = self.logits(images).float()
        if scales.ndim == 4:  # two levels only: no deep supervision
            return self.criterion(scales, labels)
        weights = [0.5**i for i in range(scales.shape[1])]  # MONAI enlarges every scale to the full size
        return sum(w * self.criterion(scales[:, i], labels) for i, w in enumerate(weights)) / sum(weights)
