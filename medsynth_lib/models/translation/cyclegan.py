"""CycleGAN (Zhu et al. 2017): two domains, no pairs.

    G_B : A -> B,  G_A : B -> A
    G:  E[(D_B(G_B(a)) - 1)^2] + E[(D_A(G_A(b)) - 1)^2]                        resemble the other domain
        + cycle    (E|| G_A(G_B(a)) - a ||_1 + E|| G_B(G_A(b)) - b ||_1)       translating back restores the image
        + identity (E|| G_B(b) - b ||_1 + E|| G_A(a) - a ||_1)                 images of the domain stay as they are
    D:  least squares, on real images and on current and earlier fakes (`ReplayPool`)

The usual step calls the generators six times. Instance norm treats every image separately, so G_B's fakes and its
identities come from ONE call on [a, b], and G_A's from one on [b, a]: four calls, the same gradients.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...core.method import BATCH, Config, full_precision
from ..gan.blocks import ToRGB
from .patchgan import PatchGAN, least_squares_d, least_squares_g
from .replay_pool import ReplayPool
from .translator import Translator

WARM_UP = 0.2  # share of the training in which only the intensity curves learn, from D only
KNOTS = 17  # of the intensity curves
CURVE_RATE = 32.0  # factor on the curves' learning: they must change more than convolutions, and earlier


def block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """Convolution over mirrored borders, instance norm, ReLU."""
    padding = (kernel - stride + 1) // 2
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, padding_mode="reflect")
    return [convolution, nn.InstanceNorm2d(outputs), nn.ReLU()]


class Residual(nn.Module):
    """x + two convolutions of x (He et al. 2016)."""

    def __init__(self, width: int):
        super().__init__()
        second = nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect")
        self.net = nn.Sequential(*block(width, width), second, nn.InstanceNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.net(x)


class IntensityCurve(nn.Module):
    """A learned piecewise linear function of intensity: [B, C, H, W] in [-1, 1] -> [B, C', H, W], for a tanh to follow.

    It is a sum of hat functions at KNOTS intensities and can rise and fall: in T1 a ventricle is hardly brighter than
    air, in T2 it is the brightest region. After the tanh, it starts as 0.96 x.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.register_buffer("knots", torch.linspace(-1, 1, KNOTS).view(1, 1, -1, 1, 1))
        self.heights = nn.Conv2d(inputs * KNOTS, outputs, 1)
        nn.init.zeros_(self.heights.bias)
        unchanged = torch.atanh(0.96 * torch.linspace(-1, 1, KNOTS)) / CURVE_RATE
        with torch.no_grad():
            self.heights.weight.copy_(torch.kron(torch.eye(outputs, inputs), unchanged)[:, :, None, None])

    def forward(self, images: Tensor) -> Tensor:
        with full_precision(images):  # bfloat16 would leave about 256 intensities
            hats = F.relu(1 - (images[:, :, None] - self.knots).abs() * ((KNOTS - 1) / 2))
            return CURVE_RATE * self.heights(hats.flatten(1, 2))


class ResNetGenerator(nn.Module):
    """Images [B, C, H, W] -> images [B, C', H, W] in (-1, 1): residual blocks at a quarter of the side.

    With `patch` 1 as in the paper: a 7 x 7 convolution, halved twice, doubled twice, a 7 x 7 convolution; pixels are
    repeated and convolved instead of the paper's transposed convolutions (Odena et al. 2016). With `patch` 2 or 4 the
    levels at full (and half) size are left out: windows of twice the patch are read and written instead.

    Not in the paper: an `IntensityCurve`. It covers most of the difference between two contrasts and is learned in a
    few hundred cheap steps (`curve_only`); then the convolutions, the last of which starts at 0, learn the rest.
    Without the curve, or with all losses from the start, most of our short trainings left dark ventricles dark and
    made something else bright: a translation that is invertible, but wrong.
    """

    def __init__(self, inputs: int, outputs: int, width: int, blocks: int, patch: int):
        super().__init__()
        widths = [width * k for k in (1, 2, 4) if k >= patch]
        layers = block(inputs, widths[0], kernel=7) if patch == 1 else block(inputs, widths[0], 2 * patch, patch)
        for w in widths[1:]:
            layers += block(w // 2, w, stride=2)
        layers += [Residual(widths[-1]) for _ in range(blocks)]
        for w in widths[:0:-1]:
            layers += [nn.Upsample(scale_factor=2), *block(w, w // 2)]
        if patch == 1:
            last = nn.Conv2d(width, outputs, 7, padding=3, padding_mode="reflect")
        else:
            last = ToRGB(widths[0], outputs, patch)
        nn.init.zeros_(last.weight)
        self.net = nn.Sequential(*layers, last)
        self.curve = IntensityCurve(inputs, outputs)
        self.curve_only = False

    def forward(self, images: Tensor) -> Tensor:
        intensity_mapped = self.curve(images)
        return (intensity_mapped if self.curve_only else intensity_mapped + self.net(images).float()).tanh()


@dataclass(frozen=True)
class CycleGANConfig(Config):
    channels: int  # of the images, equal in both domains, so that an identity exists
    size: int  # pixels, height = width
    width: int = 16  # channels of the generators and the discriminators
    blocks: int = 4  # residual blocks of the generators
    patch: int = 1  # of the generators: 1, or 2 or 4 to leave out the finest levels
    discriminator_layers: int = 2  # strided convolutions of the discriminators (see PatchGAN)
    learning_rate: float = 2e-4
    cycle_weight: float = 10.0  # weight of the cycle loss
    identity_weight: float = 5.0  # weight of the identity loss (the paper: 0, or half of cycle's)
    pool_size: int = 50  # fakes kept for the discriminators

    def check(self) -> None:
        if self.patch not in (1, 2, 4) or self.size % 4:
            raise ValueError(
                f"CycleGAN: patch {self.patch} for {self.size} pixels; patch is 1, 2 or 4, size a multiple of 4."
            )


class CycleGAN(Translator):
    """CycleGAN between two domains."""

    Config = CycleGANConfig
    name = "cyclegan"
    networks = ("generator_a", "generator_b", "discriminator_a", "discriminator_b")
    averaged = ("generator_a", "generator_b")
    compiled = networks

    def build(self) -> None:
        self.generator_a, self.generator_b = self.new_generator(), self.new_generator()
        self.discriminator_a, self.discriminator_b = self.new_discriminator(), self.new_discriminator()

    def new_generator(self) -> nn.Module:
        """Images [B, C, H, W] -> images of the same shape."""
        return ResNetGenerator(self.channels, self.channels, self.width, self.blocks, self.patch)

    def new_discriminator(self) -> nn.Module:
        """Images [B, C, H, W] -> scores [B, 1, h, w]. Its replay pool is part of it and saved with it."""
        discriminator = PatchGAN(self.channels, self.width, self.discriminator_layers)
        discriminator.pool = ReplayPool((self.channels, self.size, self.size), self.pool_size)
        return discriminator

    def optimisers(self) -> dict:
        return {
            "generators": self.adam(self.generator_a, self.generator_b),
            "discriminators": self.adam(self.discriminator_a, self.discriminator_b),
        }

    def forward(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """Fakes, cycles ("back_") and, if they have a weight, identities ("same_") in four calls of the generators.

        a [B, C, H, W], b [B', C, H, W]; a result has the shape of the domain in its name.
        """
        fake_b, same_b = self.draw(self.generator_b, a, b)
        fake_a, same_a = self.draw(self.generator_a, b, a)
        drawn = {"fake_a": fake_a, "fake_b": fake_b}
        drawn |= {"back_a": self.generator_a(fake_b), "back_b": self.generator_b(fake_a)}
        return drawn | ({"same_a": same_a, "same_b": same_b} if self.identity_weight else {})

    def draw(self, net: nn.Module, images: Tensor, like: Tensor) -> tuple[Tensor, Tensor | None]:
        """`net` of `images` [B, C, H, W] and, for the identity loss, of its domain's `like` [B', C, H, W]: one call."""
        if not self.identity_weight:
            return net(images), None
        return net(torch.cat([images, like])).split([len(images), len(like)])

    def generator_losses(self, a: Tensor, b: Tensor, drawn: dict[str, Tensor]) -> dict[str, Tensor]:
        """Both domains' terms, unweighted, 0-dim: {"g" (adversarial), "cycle", and "identity" if it has a weight}."""
        losses = {
            "g": least_squares_g(self.discriminator_a(drawn["fake_a"]))
            + least_squares_g(self.discriminator_b(drawn["fake_b"])),
            "cycle": F.l1_loss(drawn["back_a"], a) + F.l1_loss(drawn["back_b"], b),
        }
        if self.identity_weight:
            losses["identity"] = F.l1_loss(drawn["same_a"], a) + F.l1_loss(drawn["same_b"], b)
        return losses

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        """The generators' loss (0-dim), from the unweighted terms of `generator_losses`."""
        return losses["g"] + self.cycle_weight * losses["cycle"] + self.identity_weight * losses.get("identity", 0)

    def discriminator_loss(self, net: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        """Least squares of the discriminator `net` on real and generated images [B, C, H, W], in one call: 0-dim."""
        return least_squares_d(*net(torch.cat([real, fake])).split([len(real), len(fake)]))

    def step(self, batch: dict[str, Tensor], optimisers: dict, fraction: float) -> dict[str, Tensor]:
        """Batches are {"a": [B, C, H, W], "b": [B, C, H, W]} of different subjects (`unpaired`)."""
        a, b = batch["a"], batch["b"]
        warming_up = fraction < WARM_UP
        for part in (*self.generator_a.modules(), *self.generator_b.modules()):
            if isinstance(part, ResNetGenerator):
                part.curve_only = warming_up
        drawn = self.forward(a, b)
        with self.frozen(self.discriminator_a), self.frozen(self.discriminator_b):
            losses = self.generator_losses(a, b, drawn)
            optimisers["generators"].zero_grad()
            self.backward(losses["g"] if warming_up else self.total(losses))
            optimisers["generators"].step()

        opponents = ((self.discriminator_a, a, drawn["fake_a"]), (self.discriminator_b, b, drawn["fake_b"]))
        losses["d"] = sum(
            self.discriminator_loss(d, real, d.pool.exchange(fake.detach())) for d, real, fake in opponents
        )
        optimisers["discriminators"].zero_grad()
        self.backward(losses["d"])
        optimisers["discriminators"].step()
        return losses

    def weights(self) -> dict[str, Tensor]:
        """All weights, without the replay pools, which hold images."""
        return {name: value for name, value in super().weights().items() if ".pool." not in name}

    def load(self, weights: dict[str, Tensor]) -> CycleGAN:
        return super().load(super().weights() | weights)

    def translate(self, images: Tensor, to: str, batch_size: int = BATCH) -> Tensor:
        """Images [N, C, H, W] of one domain, translated to the other; `to` is "a" or "b". On the CPU."""
        net = {"a": self.generator_a, "b": self.generator_b}[to].eval()
        return self.in_batches(net, images, batch_size=batch_size)

    def intensity_mapped(self, images: Tensor, to: str) -> Tensor:
        """Images [N, C, H, W], translated by the intensity curve alone; `to` is "a" or "b". On the CPU."""
        net = {"a": self.generator_a, "b": self.generator_b}[to]
        return self.in_batches(lambda part: net.curve(part).tanh(), images)
