"""A discriminator of patches, and the least-squares losses that go with it."""

from __future__ import annotations

from torch import Tensor, nn


def normalised(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    """4 x 4 convolution, instance norm, leaky ReLU."""
    convolution = nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1)
    return [convolution, nn.InstanceNorm2d(outputs), nn.LeakyReLU(0.2)]


class PatchGAN(nn.Module):
    """Images [B, C, H, W] -> a score for every patch [B, 1, h, w] (Isola et al. 2017, section 3.2.2).

    It scores the texture of every patch; the whole image is left to the other losses. The side of a patch is 70 pixels
    with 3 strided convolutions (`levels`), 34 with 2, 16 with 1.
    """

    def __init__(self, channels: int, width: int, levels: int = 2):
        super().__init__()
        layers = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for level in range(1, levels):
            layers += normalised(width * 2 ** (level - 1), width * 2**level, stride=2)
        layers += normalised(width * 2 ** (levels - 1), width * 2**levels, stride=1)
        self.net = nn.Sequential(*layers, nn.Conv2d(width * 2**levels, 1, 4, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)


def least_squares_d(on_real: Tensor, on_fake: Tensor) -> Tensor:
    """1/2 E[(D(x) - 1)^2] + 1/2 E[D(G(z))^2]  (Mao et al. 2017; Zhu et al. 2017, section 4, halve it)."""
    return ((on_real.float() - 1).square().mean() + on_fake.float().square().mean()) / 2


def least_squares_g(on_fake: Tensor) -> Tensor:
    """E[(D(G(z)) - 1)^2]."""
    return (on_fake.float() - 1).square().mean()
