"""Progressive GAN (Karras et al. 2018): grown from 4 x 4 pixels, each new level faded in. Taught in 03_stylegan.

    output = (1 - alpha) up(image of the level before) + alpha (image of the new level)

D sees real images of the same resolution, blended by the same alpha, and mirrors G. The paper's loss is WGAN-GP:

    D:  E[D(G(z))] - E[D(x)] + 10 E[(|| grad D || - 1)^2] + 0.001 E[D(x)^2]        G:  -E[D(G(z))]

The default here is that of its successors, logistic with lazy R1: a step takes two thirds of the time, and in a short
training it keeps lesions and diversity that WGAN-GP loses.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...core.method import full_precision
from ...core.optim import adam
from ...data import joint
from ..generator import GeneratorConfig, GeneratorMethod
from . import blocks, losses

PENALTY = 10.0
R1_EVERY = 16


def double(x: Tensor) -> Tensor:
    """Every pixel repeated: [B, C, H, W] -> [B, C, 2H, 2W]."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def halve(x: Tensor) -> Tensor:
    """Means of 2 x 2 pixels."""
    return F.avg_pool2d(x, 2)


class Growth(nn.Module):
    """Base class of the two networks: how far they have grown.

    stage  index of the current resolution (0 = 4 pixels)
    alpha  0-dim tensor: how far the newest level is faded in
    grown  both as whole numbers (alpha in millionths), so that they are saved and yet not averaged
    """

    def __init__(self, grid: int):
        super().__init__()
        self.stages = int(math.log2(grid)) - 1
        self.register_buffer("alpha", torch.ones(()), persistent=False)
        self.register_buffer("grown", torch.zeros(2, dtype=torch.long))
        self.grow(self.stages - 1, 1.0)

    def grow(self, stage: int, alpha: float) -> None:
        """Set stage and alpha."""
        millionths = round(1e6 * alpha)
        self.stage = stage
        self.alpha.fill_(millionths / 1e6)  # rounded as it is saved, so that resuming is exact
        self.grown[0].fill_(stage)
        self.grown[1].fill_(millionths)

    def restore(self) -> None:
        """Set stage and alpha from `grown`."""
        stage, millionths = self.grown.tolist()
        self.grow(stage, millionths / 1e6)


class Generator(Growth):
    """z [B, D] -> joint image [B, C + K, h, h] of the current resolution h."""

    def __init__(self, shape: joint.Shape, width: int, fmap_max: int, latent: int, background: float, patch: int):
        super().__init__(shape.size // patch)
        channels = list(blocks.levels(shape.size, width, fmap_max, patch).values())
        self.dense = blocks.EqualLinear(latent, 16 * channels[0])
        pairs = [(channels[0], channels[0]), *zip(channels, channels[1:], strict=False)]
        self.first = nn.ModuleList(blocks.EqualConv(i, o) for i, o in pairs[1:])
        self.second = nn.ModuleList(blocks.EqualConv(o, o) for _, o in pairs)
        self.to_rgbs = nn.ModuleList(blocks.ToRGB(c, shape.joint, patch) for c in channels)
        self.output = blocks.JointOutput(shape, background)

    def forward(self, z: Tensor) -> Tensor:
        def act(x: Tensor) -> Tensor:
            return blocks.pixel_norm(blocks.leaky(x))

        x = act(self.dense(blocks.pixel_norm(z)).view(len(z), -1, 4, 4))
        x = before = act(self.second[0](x))
        for stage in range(1, self.stage + 1):
            before = x
            x = act(self.second[stage](act(self.first[stage - 1](double(x)))))
        image = self.to_rgbs[self.stage](x)
        if self.stage:
            coarse = double(self.to_rgbs[self.stage - 1](before))
            image = torch.lerp(coarse.to(image.dtype), image, self.alpha)  # autocast on CUDA upsamples in float32
        return self.output(image)


class Discriminator(Growth):
    """Joint image [B, C + K, h, h] of the current resolution -> score [B]; StyleGAN 1 uses it fully grown."""

    def __init__(self, shape: joint.Shape, width: int, fmap_max: int, patch: int):
        super().__init__(shape.size // patch)
        channels = list(blocks.levels(shape.size, width, fmap_max, patch).values())
        self.from_rgbs = nn.ModuleList(blocks.FromRGB(shape.joint, c, patch) for c in channels)
        self.first = nn.ModuleList(blocks.EqualConv(c, c) for c in channels[1:])
        self.second = nn.ModuleList(blocks.EqualConv(o, i) for i, o in zip(channels, channels[1:], strict=False))
        self.last = blocks.EqualConv(channels[0] + 1, channels[0])
        self.dense = blocks.EqualLinear(16 * channels[0], channels[0])
        self.score = blocks.EqualLinear(channels[0], 1)

    def forward(self, image: Tensor) -> Tensor:
        x = blocks.leaky(self.from_rgbs[self.stage](image))
        for stage in range(self.stage, 0, -1):
            x = halve(blocks.leaky(self.second[stage - 1](blocks.leaky(self.first[stage - 1](x)))))
            if stage == self.stage:  # the newest level, faded in
                x = torch.lerp(blocks.leaky(self.from_rgbs[stage - 1](halve(image))), x, self.alpha)
        x = blocks.leaky(self.last(blocks.minibatch_deviation(x)))
        return self.score(blocks.leaky(self.dense(x.flatten(1)))).squeeze(1)


@dataclass(frozen=True)
class ProGANConfig(GeneratorConfig):
    width: int = 16  # channels at full size; they double per halving
    fmap_max: int = 64  # channels at most
    latent: int = 64  # dimensions of z
    learning_rate: float = 2e-3
    loss: str = "r1"  # logistic with R1 (gamma in proportion to the pixels below full size), or "wgan-gp"
    gamma: float = 10.0  # weight of R1 at full size
    full_size: float = 0.6  # share of the images spent on the last resolution; the others have equal parts of the rest
    most_batches: int = 1  # at low resolution a step takes up to this many times the batch
    background: float = 0.95  # share of label 0 that G starts from
    patch: int = 1  # feature maps are 1 / patch of the image's side: growing starts at 4 patch x 4 patch pixels

    def check(self) -> None:
        if self.loss not in ("r1", "wgan-gp"):
            raise ValueError(f"progan: loss {self.loss!r} is unknown; known: r1, wgan-gp.")


class ProGAN(GeneratorMethod):
    """Progressive GAN over image and label."""

    Config = ProGANConfig
    name = "progan"
    networks = ("generator", "discriminator")
    averaged = ("generator",)

    def build(self) -> None:
        sizes = (self.shape, self.width, self.fmap_max)
        self.generator = Generator(*sizes, self.latent, self.background, self.patch)
        self.discriminator = Discriminator(*sizes, self.patch)
        self.stages = self.generator.stages

    def optimisers(self) -> dict:
        new_networks = {"generator": self.generator, "discriminator": self.discriminator}
        return {name: adam(net, lr=self.learning_rate, betas=(0.0, 0.99)) for name, net in new_networks.items()}

    def load(self, weights: dict[str, Tensor]) -> ProGAN:
        super().load(weights)
        for net in self.modules().values():
            net.restore()
        return self

    def stage_at(self, fraction: float) -> tuple[int, float]:
        """(stage, alpha) at a share of the training: every stage but the first fades in during its first half."""
        starts = self.starts()
        stage = max(k for k in range(self.stages) if fraction >= starts[k])
        within = (fraction - starts[stage]) / (starts[stage + 1] - starts[stage])
        return stage, 1.0 if stage == 0 else min(1.0, 2 * within)

    def publishable(self) -> bool:
        """Only at full size: enlarged images may reach a small distance by chance."""
        return self.generator.grown.tolist() == [self.stages - 1, 1_000_000]

    def starts(self) -> list[float]:
        """Shares of the training at which the stages begin, and 1."""
        return [(1 - self.full_size) * k / (self.stages - 1) for k in range(self.stages)] + [1.0]

    def batch_size(self, base: int, seen: int, total: int) -> int:
        """A step at low resolution costs little, so it takes more images: twice as many per halving.

        Never more than the stage has left, so that a short training also reaches full size.
        """
        stage, _ = self.stage_at(seen / total)
        left = math.ceil((self.starts()[stage + 1] * total - seen) / base)
        return base * max(1, min(2 ** (self.stages - 1 - stage), self.most_batches, left))

    def real_at(self, x: Tensor, stage: int, alpha: float) -> Tensor:
        """Real images [B, C + K, size, size] at the stage's resolution, blended with the one below by alpha."""
        for _ in range(self.stages - 1 - stage):
            x = halve(x)
        return torch.lerp(double(halve(x)), x, alpha) if stage else x

    def step(self, batch: dict[str, Tensor], optimisers: dict, fraction: float) -> dict[str, Tensor]:
        stage, alpha = self.stage_at(fraction)
        self.generator.grow(stage, alpha)
        self.discriminator.grow(stage, alpha)
        real = self.real_at(joint.encode(batch["images"], batch["labels"], self.shape.labels), stage, alpha)
        fake = self.generator(torch.randn(len(real), self.latent, device=real.device))

        loss_of = self.critic_loss if self.loss == "wgan-gp" else self.logistic_loss
        loss, found = loss_of(real, fake.detach())
        optimisers["discriminator"].zero_grad()
        self.backward(loss)
        optimisers["discriminator"].step()

        with self.frozen(self.discriminator):
            on_fake = self.discriminator(fake).float()
            found["g"] = -on_fake.mean() if self.loss == "wgan-gp" else losses.logistic_g(on_fake)
            optimisers["generator"].zero_grad()
            self.backward(found["g"])
            optimisers["generator"].step()
        return found

    def critic_loss(self, real: Tensor, fake: Tensor) -> tuple[Tensor, dict]:
        """D's WGAN-GP loss (0-dim), and its terms by name."""
        on_real, on_fake = self.discriminator(torch.cat([real, fake])).float().chunk(2)
        penalty = losses.gradient_penalty(self.discriminator, real, fake)
        loss = losses.wasserstein_d(on_real, on_fake)
        return loss + PENALTY * penalty, {"d": loss, "gp": penalty}

    def logistic_loss(self, real: Tensor, fake: Tensor) -> tuple[Tensor, dict]:
        """D's logistic loss (0-dim) with R1 in every R1_EVERY-th step, and its terms by name."""
        penalise = self.global_step % R1_EVERY == 0
        real = real.requires_grad_(penalise)
        with full_precision(real) if penalise else nullcontext():  # second derivatives need full precision
            scores = self.discriminator(torch.cat([real, fake])).float()
        on_real, on_fake = scores.chunk(2)
        loss = losses.logistic_d(on_real, on_fake)
        found = {"d": loss, "d_sign_real": on_real.detach().sign().mean()}
        if penalise:
            found["r1"] = losses.squared_gradient(on_real, real).mean()
            gamma = self.gamma * (real.shape[-1] / self.shape.size) ** 2
            loss = loss + R1_EVERY * gamma / 2 * found["r1"]
        return loss, found

    def sample(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """n images [n, C, H, W] and labels [n, H, W] at full size; enlarged before the networks have fully grown."""

        def draw(z: Tensor) -> tuple[Tensor, Tensor]:
            image = F.interpolate(self.generator(z), size=(self.shape.size,) * 2, mode="nearest")
            return joint.decode(image, self.shape.channels)

        return self.in_batches(draw, torch.randn(n, self.latent, generator=torch.Generator().manual_seed(seed)))
