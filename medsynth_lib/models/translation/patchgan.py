"""What the translators share: their optimiser, a discriminator of patches, least-squares losses, a pool of fakes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...core.method import Method
from ...core.optim import adam


class Translator(Method):
    """How CycleGAN and pix2pix are optimised; a subclass sets `learning_rate`."""

    def adam(self, *nets: nn.Module) -> torch.optim.Optimizer:
        """One optimiser for the weights of `nets`, with half the usual momentum (Radford et al. 2015)."""
        return adam(*nets, lr=self.learning_rate, betas=(0.5, 0.999))

    def lr_lambda(self, fraction: float) -> float:
        """Constant for the first half, then linearly to 0 (Zhu et al. 2017, section 4)."""
        return min(1.0, 2 * (1 - fraction))


def normalised(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    """4 x 4 convolution, instance norm, leaky ReLU."""
    convolution = nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1)
    return [convolution, nn.InstanceNorm2d(outputs), nn.LeakyReLU(0.2)]


class PatchGAN(nn.Module):
    """Images [B, C, H, W] -> a score for every patch [B, 1, h, w] (Isola et al. 2017, section 3.2.2).

    Whether texture is right is asked everywhere and answered locally; whether the whole is right, the other losses
    ask. `levels` strided convolutions: 3 see patches of 70 pixels, 2 of 34, 1 of 16.
    """

    def __init__(self, channels: int, width: int, levels: int = 2):
        super().__init__()
        layers = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for level in range(1, levels):
            layers += normalised(width * 2 ** (level - 1), width * 2**level, stride=2)
        layers += normalised(width * 2 ** (levels - 1), width * 2**levels, stride=1)
        self.net = nn.Sequential(*layers, nn.Conv2d(width * 2**levels, 1, 4, padding=1))

    def forward(self, pictures: Tensor) -> Tensor:
        return self.net(pictures)


def least_squares_d(on_real: Tensor, on_fake: Tensor) -> Tensor:
    """1/2 E[(D(x) - 1)^2] + 1/2 E[D(G(z))^2]  (Mao et al. 2017; Zhu et al. 2017, section 4, halve it)."""
    return ((on_real.float() - 1).square().mean() + on_fake.float().square().mean()) / 2


def least_squares_g(on_fake: Tensor) -> Tensor:
    """E[(D(G(z)) - 1)^2]."""
    return (on_fake.float() - 1).square().mean()


class ReplayPool(nn.Module):
    """The last fakes, half of which D meets again: it must not forget what G drew earlier (Shrivastava et al. 2017).

    While the pool is not full, fakes are kept and passed on. Then each fake is passed on with probability 1/2;
    otherwise it takes the place of a random one, which D sees instead. The pool lies on the device, and in the saved
    state, so a resumed training goes on with it.
    """

    def __init__(self, pictures: tuple[int, int, int], size: int = 50):
        super().__init__()
        self.register_buffer("held", torch.zeros(size, *pictures))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def exchange(self, fakes: Tensor) -> Tensor:
        """What D sees instead of `fakes` [B, C, H, W]; the host never waits for the device.

        Raises ValueError for a batch of more than half the pool.
        """
        size, b, device = len(self.held), len(fakes), fakes.device
        if 2 * b > size:
            raise ValueError(f"a batch of {b} is more than half of the replay pool of {size}; make the pool larger.")
        room = self.filled + b <= size
        # Distinct places among the filled ones, so that the order of writing does not matter.
        chance = torch.rand(size, device=device).masked_fill(torch.arange(size, device=device) >= self.filled, 2.0)
        place = torch.where(room, self.filled + torch.arange(b, device=device), chance.argsort()[:b])
        swap = (~room & (torch.rand(b, device=device) < 0.5))[:, None, None, None]
        former = self.held[place % size].to(fakes.dtype)
        self.held[place % size] = torch.where(room | swap, fakes, former).to(self.held.dtype)
        self.filled.copy_(torch.where(room, self.filled + b, self.filled))
        return torch.where(swap, former, fakes)
