"""How StyleGAN 1, 2 and 3 are trained: one training, three generators (stylegan1.py, stylegan2.py, stylegan3.py).

    D:  logistic loss + lazy R1 (gamma / 2 E || dD / dx ||^2, every 16th step at 16 times the weight)
    G:  non-saturating loss, optionally lazy path-length regularisation
    D sees all images augmented by `views` (ADA or DiffAugment); samples come from G's moving average.

`loss="relativistic"` is an ablation: R3GAN's loss (relativistic pairs, R1 and R2 in every step), the same networks.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...core.method import full_precision
from ...core.optim import adam
from ...data import joint
from ..generator import GeneratorConfig, GeneratorMethod
from . import losses, views

R1_EVERY = 16
PATH_EVERY = 4
STEER_EVERY = 4
MIXING = 0.9  # share of images made from two styles


@dataclass(frozen=True)
class StyleGANConfig(GeneratorConfig):
    width: int = 16  # channels at full size; they double per halving
    fmap_max: int = 64  # channels at most
    latent: int = 64  # dimensions of z and w
    mapping_layers: int = 2  # dense layers from z to w
    learning_rate: float = 2.5e-3
    gamma: float | None = None  # weight of R1; None = 0.0002 size^2 / batch (Karras et al. 2020, ADA, "auto")
    loss: str = "logistic"  # or "relativistic" (R3GAN, Huang et al. 2024)
    view: str = "ada"  # or "diffaugment" or "none"
    ada_images: float = 500_000  # real images in which ADA's p may go from 0 to 1
    path_length: bool = False  # regularise G's path lengths (StyleGAN 2; not worth its cost at 64 px and below)
    background: float = 0.95  # share of label 0 that G starts from
    patch: int = 1  # G's finest feature maps are 1 / patch of the image's side
    d_patch: int = 1  # the same of D's

    def check(self) -> None:
        if self.loss not in ("logistic", "relativistic") or self.view not in ("ada", "diffaugment", "none"):
            raise ValueError(
                f"StyleGAN: loss {self.loss!r} or view {self.view!r} is unknown; known losses: logistic, relativistic; "
                "known views: ada, diffaugment, none."
            )


class StyleGAN(GeneratorMethod):
    """The training common to the three; a subclass sets `name` and makes both networks in `players`."""

    Config = StyleGANConfig
    networks = ("generator", "discriminator")
    averaged = ("generator",)

    def build(self) -> None:
        self.generator, self.discriminator = self.new_networks()
        # ADA's state: saved with D, and under several processes broadcast with it.
        self.discriminator.register_buffer("p", torch.zeros(()))
        self.discriminator.register_buffer("sign_sum", torch.zeros(()))
        self.generator.register_buffer("path_mean", torch.zeros(()))

    @property
    def compiled(self) -> tuple[str, ...]:
        """G unless its path lengths are regularised; never D, because R1 needs second derivatives."""
        return () if self.path_length else ("generator.synthesis",)

    @abstractmethod
    def new_networks(self) -> tuple[nn.Module, nn.Module]:
        """(generator, discriminator). The generator has `mapping`, `layers` and `synthesis`: ws [B, layers, D] to
        joint images."""

    def optimisers(self) -> dict:
        # Lazy regularisation adds a step every 16 (or 4), so rates and betas are adjusted (Karras et al. 2020, app. B).
        lazy = R1_EVERY / (R1_EVERY + 1) if self.loss == "logistic" else 1.0

        every = {"generator": PATH_EVERY / (PATH_EVERY + 1) if self.path_length else 1.0, "discriminator": lazy}
        return {
            name: adam(getattr(self, name), lr=self.learning_rate * c, betas=(0.0, 0.99**c))
            for name, c in every.items()
        }

    def seen(self, images: Tensor) -> Tensor:
        """Joint images, augmented for D. In full precision: positions in bfloat16 are accurate to half a pixel only."""
        with full_precision(images):
            if self.view == "ada":
                return views.adaptive(images, self.shape.channels, self.discriminator.p)
            return views.diff_augment(images, self.shape.channels) if self.view == "diffaugment" else images

    def r1_weight(self, batch: int) -> float:
        """gamma / 2 for a batch of this many images."""
        return (0.0002 * self.shape.size**2 / batch if self.gamma is None else self.gamma) / 2

    def step(self, batch: dict[str, Tensor], optimisers: dict, fraction: float) -> dict[str, Tensor]:
        real = joint.encode(batch["images"], batch["labels"], self.shape.labels)
        z = torch.randn(2, len(real), self.latent, device=real.device)
        fake = self.generator(z[0], z[1])
        found = self.discriminator_step(real, fake.detach(), optimisers["discriminator"])
        with self.frozen(self.discriminator):
            on_fake = self.discriminator(self.seen(fake)).float()
            if self.loss == "relativistic":
                loss = losses.relativistic(on_fake, self.discriminator(self.seen(real)).float())
            else:
                loss = losses.logistic_g(on_fake)
            found["g"] = loss
            if self.path_length and self.global_step % PATH_EVERY == 0:
                found["path"] = self.path_penalty(z[0, : max(1, len(real) // 2)])
                loss = loss + PATH_EVERY * found["path"]
            optimisers["generator"].zero_grad()
            self.backward(loss)
            optimisers["generator"].step()
        return found

    def discriminator_step(self, real: Tensor, fake: Tensor, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
        """One step of D; penalties are taken at the images as D sees them."""
        relativistic = self.loss == "relativistic"
        lazy = 1 if relativistic else R1_EVERY
        penalise = self.global_step % lazy == 0
        images = self.seen(torch.cat([real, fake])).detach().requires_grad_(penalise)
        with full_precision(images) if penalise else nullcontext():  # second derivatives need full precision
            scores = self.discriminator(images).float()
        on_real, on_fake = scores.chunk(2)
        loss = losses.relativistic(on_real, on_fake) if relativistic else losses.logistic_d(on_real, on_fake)
        found = {"d": loss, "d_sign_real": on_real.sign().mean()}
        if penalise:
            weight = self.r1_weight(len(real)) * lazy
            if relativistic:
                r1, r2 = losses.squared_gradient(scores, images).chunk(2)
                found |= {"r1": r1.mean(), "r2": r2.mean()}
            else:
                found["r1"] = losses.squared_gradient(on_real, images).chunk(2)[0].mean()
            loss = loss + weight * (found["r1"] + found.get("r2", 0))
        optimiser.zero_grad()
        self.backward(loss)
        optimiser.step()
        if self.view == "ada":
            found["p"] = self.steer(self.mean_of_processes(found["d_sign_real"].detach().clone()), len(real))
        return found

    @torch.no_grad()
    def steer(self, sign: Tensor, batch: int) -> Tensor:
        """Every STEER_EVERY steps, move ADA's p by the mean sign of D on real images since; returns p."""
        d = self.discriminator
        d.sign_sum.add_(sign)
        if (self.global_step + 1) % STEER_EVERY == 0:
            views.steer(d.p, d.sign_sum / STEER_EVERY, STEER_EVERY * batch, self.ada_images)
            d.sign_sum.zero_()
        return d.p.clone()

    def path_penalty(self, z: Tensor) -> Tensor:
        """2 (length - running mean)^2 over a half batch (Karras et al. 2020, section 3.2), in full precision."""
        with full_precision(z):
            lengths = self.generator(z, z, path_lengths=True)
        self.generator.path_mean.lerp_(lengths.detach().mean(), 0.01)
        return 2 * (lengths - self.generator.path_mean).square().mean()

    def styles(self, n: int, seed: int, psi: float = 1.0) -> Tensor:
        """n styles w [n, D] of one seed, truncated by psi."""
        mapping = self.generator.mapping
        z = torch.randn(n, self.latent, generator=torch.Generator().manual_seed(seed))
        return self.in_batches(lambda z: mapping.truncate(mapping(z), psi), z)

    def render(self, ws: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Images and labels of styles [B, D] or [B, layers, D]; `seed` fixes the noise of the layers."""
        ws = ws if ws.dim() == 3 else ws[:, None].expand(-1, self.generator.layers, -1)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return self.in_batches(lambda ws: joint.decode(self.generator.synthesis(ws), self.shape.channels), ws)

    def cross(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Style mixing as a table: ws [(A + 1) (B + 1), layers, D] of coarse [A, D] and fine styles [B, D], row by row.

        The first row shows the fine styles alone (its corner the mean style), the first column the coarse ones; inside,
        the first half of the layers has the row's style and the second half the column's.
        """
        layers = self.generator.layers
        mean = self.generator.mapping.mean[None].to(coarse.device)
        left, top = (torch.cat([mean, styles]) for styles in (coarse, fine))
        ws = left[:, None, None].repeat(1, len(top), layers, 1)
        ws[1:, 1:, layers // 2 :] = top[1:, None]
        ws[0] = top[:, None]
        return ws.flatten(0, 1)

    def project(self, images: Tensor, labels: Tensor, steps: int = 200, rate: float = 0.1) -> tuple[Tensor, Tensor]:
        """Styles w [B, D] whose images are closest to the given ones, and the mean squared error per step [steps, B].

        Adam on w, from the mean style; it minimises the error of the joint image, at full size and averaged over 4 x 4
        pixels, so that a fold that is one pixel off costs little. The error of a *held-out* slice shows what the
        generator can represent; a much smaller error of a training slice would show that it was memorized.
        """
        target = joint.encode(images.to(self.device), labels.to(self.device), self.shape.labels)
        w = self.generator.mapping.mean.expand(len(target), -1).clone().requires_grad_(True)
        optimiser, errors = torch.optim.Adam([w], lr=rate), []
        self.generator.requires_grad_(False)
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = rate * (1 - step / steps)
            with torch.random.fork_rng():
                torch.manual_seed(0)  # the same noise in every step
                image = self.generator.synthesis(w[:, None].expand(-1, self.generator.layers, -1))
            difference = image - target
            error = difference.square().mean((1, 2, 3))
            (error + F.avg_pool2d(difference, 4).square().mean((1, 2, 3))).sum().backward()
            optimiser.step()
            optimiser.zero_grad()
            errors.append(error.detach())
        self.generator.requires_grad_(True)
        return w.detach().cpu(), torch.stack(errors).cpu()

    def sample(self, n: int, seed: int, psi: float = 1.0) -> tuple[Tensor, Tensor]:
        """n images [n, C, H, W] and labels [n, H, W] from z ~ N(0, I), styles truncated by psi (1: not)."""
        return self.render(self.styles(n, seed, psi), seed)
