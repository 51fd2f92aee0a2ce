"""pix2pix (Isola et al. 2017): from a mask to an image, learned from pairs.

    D:  least squares on pairs (mask, image):  1/2 E[(D(y, x) - 1)^2] + 1/2 E[D(y, G(y))^2]
    G:  E[(D(y, G(y)) - 1)^2] + weight E|| x - G(y) ||_1

The L1 term alone gives the median image of a mask, which is blurred; D sees *pairs*, so it also detects a sharp image
that does not fit its mask. Dropout is the only randomness, in training and in sampling, as in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...core.method import BATCH
from ...data.joint import Shape, encode
from ..generator import GeneratorConfig
from .patchgan import PatchGAN, least_squares_d, least_squares_g
from .translator import Translator


def one_hot(labels: Tensor, n_labels: int) -> Tensor:
    """Condition [B, K, H, W] in {-1, 1} from labels [B, H, W], the label channels of a joint image."""
    return encode(torch.zeros(len(labels), 0, *labels.shape[1:], device=labels.device), labels, n_labels)


class UNetGenerator(nn.Module):
    """Condition [B, K, H, W] -> image [B, C, H, W] in (-1, 1), with skip connections at every level.

    `levels` halvings; the width doubles at each, up to 8 times. Dropout in the two lowest levels of the decoder.
    """

    def __init__(self, inputs: int, outputs: int, width: int, levels: int):
        super().__init__()
        widths = [min(width * 2**k, 8 * width) for k in range(levels)]
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for k, w in enumerate(widths):
            before = inputs if k == 0 else widths[k - 1]
            norm = nn.InstanceNorm2d(w) if 0 < k < levels - 1 else nn.Identity()
            self.downs.append(nn.Sequential(nn.Conv2d(before, w, 4, stride=2, padding=1), norm, nn.LeakyReLU(0.2)))
        for k in range(levels - 1, 0, -1):
            below = widths[k] * (1 if k == levels - 1 else 2)
            layers = [nn.Upsample(scale_factor=2), nn.Conv2d(below, widths[k - 1], 3, padding=1)]
            layers += [nn.InstanceNorm2d(widths[k - 1]), nn.ReLU()]
            self.ups.append(nn.Sequential(*layers, *([LastingDropout(0.5)] if k >= levels - 2 else [])))
        self.last = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(2 * widths[0], outputs, 3, padding=1))

    def forward(self, condition: Tensor) -> Tensor:
        x, across = condition, []
        for down in self.downs:
            x = down(x)
            across.append(x)
        across.pop()
        for up in self.ups:
            x = torch.cat([up(x), across.pop()], dim=1)
        return self.last(x).float().tanh()


class LastingDropout(nn.Module):
    """Dropout that stays on in evaluation mode, as this generator's only noise."""

    def __init__(self, share: float):
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.share, training=True)


@dataclass(frozen=True)
class Pix2PixConfig(GeneratorConfig):
    width: int = 16  # channels of the first level
    levels: int = 5  # halvings of the generator
    learning_rate: float = 2e-4
    weight: float = 100.0  # of the L1 term (the paper: 100)

    def check(self) -> None:
        if self.size % 2**self.levels:
            raise ValueError(f"pix2pix: {self.size} pixels cannot be halved {self.levels} times; use fewer levels.")


class Pix2Pix(Translator):
    """Mask -> image. Batches are {"images" [B, C, H, W], "labels" [B, H, W]}, as for segmenters."""

    Config = Pix2PixConfig
    name = "pix2pix"
    networks = ("generator", "discriminator")
    averaged = ("generator",)
    compiled = networks

    @property
    def shape(self) -> Shape:
        """channels, labels and size."""
        return Shape(self.channels, self.labels, self.size)

    def build(self) -> None:
        self.generator = self.new_generator()
        self.discriminator = PatchGAN(self.labels + self.channels, self.width)

    def new_generator(self) -> nn.Module:
        """The network that `draw` calls."""
        return UNetGenerator(self.labels, self.channels, self.width, self.levels)

    def draw(self, condition: Tensor) -> Tensor:
        """An image [B, C, H, W] for every condition [B, K, H, W], random by torch's global generator."""
        return self.generator(condition)

    def optimisers(self) -> dict:
        return {name: self.adam(net) for name, net in self.modules().items()}

    def discriminator_loss(self, condition: Tensor, real: Tensor, fake: Tensor) -> Tensor:
        """Least squares on pairs of condition [B, K, H, W] with real and with generated images [B, C, H, W]: 0-dim."""
        pairs = torch.cat([torch.cat([condition, condition]), torch.cat([real, fake])], dim=1)
        return least_squares_d(*self.discriminator(pairs).chunk(2))

    def step(self, batch: dict[str, Tensor], optimisers: dict, fraction: float) -> dict[str, Tensor]:
        condition, real = one_hot(batch["labels"], self.shape.labels), batch["images"]
        fake = self.draw(condition)
        losses = {"d": self.discriminator_loss(condition, real, fake.detach())}
        optimisers["discriminator"].zero_grad()
        self.backward(losses["d"])
        optimisers["discriminator"].step()

        with self.frozen(self.discriminator):
            losses["g"] = least_squares_g(self.discriminator(torch.cat([condition, fake], dim=1)))
            losses["l1"] = F.l1_loss(fake, real)
            optimisers["generator"].zero_grad()
            self.backward(losses["g"] + self.weight * losses["l1"])
            optimisers["generator"].step()
        return losses

    def translate(self, labels: Tensor, seed: int, batch_size: int = BATCH) -> Tensor:
        """An image [N, C, H, W] for every mask [N, H, W], on the CPU; other seeds give other images."""
        self.generator.eval()

        def draw(part: Tensor) -> Tensor:
            return self.draw(one_hot(part, self.shape.labels))

        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return self.in_batches(draw, labels, batch_size=batch_size)
