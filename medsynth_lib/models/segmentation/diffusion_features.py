"""Segmentation from the features of a diffusion model (after Wu et al. 2023, DatasetDM). Taught in 11.

A model that generates images must represent the appearance of lesions, even if it was trained without labels. It is
frozen; a slice with a little noise passes through it once per noise level, and a decoder of three convolutions learns
from very few labelled slices to predict labels from the outputs of its layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...core.method import Config
from ...core.training_key import data_hash
from ..diffusion.edm import EDM
from .segmenter import Segmenter

SIGMAS = (0.1, 0.4)  # noise in units of the data's deviation: for fine and for coarse structure


class Decoder(nn.Module):
    """Feature maps [B, c, h, w] of several sizes -> logits [B, n_labels, H, W] at the size of the first.

    Each map passes a 1 x 1 convolution and is then enlarged: the two commute, and this order is cheaper.
    """

    def __init__(self, channels: list[int], width: int, n_labels: int):
        super().__init__()
        self.read = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        self.decide = nn.Sequential(
            nn.InstanceNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.InstanceNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, n_labels, 3, padding=1),
        )

    def forward(self, maps: list[Tensor]) -> Tensor:
        read = [layer(x) for layer, x in zip(self.read, maps, strict=True)]
        return self.decide(sum(F.interpolate(x, maps[0].shape[-2:], mode="bilinear") for x in read))


@dataclass(frozen=True)
class DiffusionFeaturesConfig(Config):
    features_of: str  # hash of the diffusion model's weights
    n_labels: int  # label values, background included
    width: int = 64  # channels of the decoder
    learning_rate: float = 2e-3
    sigmas: tuple[float, ...] = SIGMAS


class DiffusionFeatures(Segmenter):
    """Images [B, C, H, W] -> labels, by a decoder of the feature maps of `model`, an EDM of images only.

    Trained and used like any segmenter; the diffusion model is neither changed nor saved.
    """

    name = "diffusion_features"
    Config = DiffusionFeaturesConfig

    def __init__(self, model: EDM, n_labels: int, **config: Any):
        if model.shape.labels:
            raise ValueError("the diffusion model has labels of its own; train one of images only (labels=0).")
        self.model = model
        shape = (model.shape.channels, model.shape.size, model.shape.size)
        self.noise = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(model.device)
        super().__init__(features_of=data_hash(model.weights()), n_labels=n_labels, **config)

    def network(self) -> nn.Module:
        size, channels = self.model.shape.size, self.model.shape.channels
        found = self.features(torch.zeros(1, channels, size, size, device=self.model.device))
        return Decoder([x.shape[1] for x in found], self.width, self.n_labels)

    def untrained(self) -> list[nn.Module]:
        return [*self.model.modules().values()]

    def to(self, device: torch.device | str) -> DiffusionFeatures:
        self.noise = self.noise.to(device)
        return super().to(device)

    @torch.no_grad()
    def features(self, images: Tensor) -> list[Tensor]:
        """Maps [B, c, h, w]: the images and, per noise level, the outputs of the middle and all up blocks and of D.

        The noise is the same for every image, so that the features of an image do not vary.
        """
        denoiser, answers = self.model.denoiser, []
        unet = denoiser.net.unet
        asked = [unet.mid_block, *unet.up_blocks]
        hooks = [block.register_forward_hook(lambda _, __, answer: answers.append(answer)) for block in asked]
        for sigma in self.sigmas:
            level = torch.full((len(images),), sigma * denoiser.deviation, device=images.device)
            answers.append(denoiser(images + level.view(-1, 1, 1, 1) * self.noise, level))
        for hook in hooks:
            hook.remove()
        return [images, *(x.float() for x in answers)]

    def logits(self, images: Tensor) -> Tensor:
        return self.net(self.features(images))
