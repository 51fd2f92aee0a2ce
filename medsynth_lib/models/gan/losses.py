"""The losses of generators and discriminators, and the penalties that keep adversarial training stable.

D(x) below is the discriminator's logit or score [B]; every loss is a mean over the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...core.method import full_precision


def logistic_d(on_real: Tensor, on_fake: Tensor) -> Tensor:
    """-E[log sigmoid D(x)] - E[log(1 - sigmoid D(G(z)))]  (Goodfellow et al. 2014)."""
    return F.softplus(-on_real).mean() + F.softplus(on_fake).mean()


def logistic_g(on_fake: Tensor) -> Tensor:
    """-E[log sigmoid D(G(z))], the non-saturating form."""
    return F.softplus(-on_fake).mean()


def relativistic(on_better: Tensor, on_worse: Tensor) -> Tensor:
    """E[softplus(-(D(better) - D(worse)))] over pairs: D wants real above fake, G fake above real.

    With R1 and R2 it is the loss of R3GAN (Huang et al. 2024): shifting all scores does not change it, and the paired
    real images still penalise a generator that drops modes.
    """
    return F.softplus(on_worse - on_better).mean()


def squared_gradient(score: Tensor, images: Tensor) -> Tensor:
    """|| d D / d x ||^2 per image, [B], in fp32, itself differentiable: R1 on real images (Mescheder et al. 2018),
    R2 on generated ones."""
    (gradient,) = torch.autograd.grad(score.sum(), images, create_graph=True)
    return gradient.float().square().sum(dim=(1, 2, 3))


def wasserstein_d(on_real: Tensor, on_fake: Tensor, drift: float = 1e-3) -> Tensor:
    """E[D(G(z))] - E[D(x)] + drift E[D(x)^2]: minus the critic's estimate of the distance, and a penalty on drift."""
    return on_fake.mean() - on_real.mean() + drift * on_real.square().mean()


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """E[(|| dD / dx || - 1)^2] at random points between real and fake (Gulrajani et al. 2017): D stays 1-Lipschitz."""
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (share * real.detach() + (1 - share) * fake.detach()).requires_grad_(True)
    with full_precision(between):
        return ((squared_gradient(critic(between), between) + 1e-12).sqrt() - 1).square().mean()


def path_lengths(images: Tensor, ws: Tensor) -> Tensor:
    """|| J^T y || per image, [B], y ~ N(0, 1 / pixels): how much the image changes with w [B, L, D].

    StyleGAN 2 regularises these lengths towards their running mean (Karras et al. 2020, section 3.2).
    """
    y = torch.randn_like(images) / (images.shape[2] * images.shape[3]) ** 0.5
    (gradient,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)
    return gradient.float().square().sum(dim=2).mean(dim=1).sqrt()
