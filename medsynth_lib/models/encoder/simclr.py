"""A small SimCLR (Chen et al. 2020, arXiv 2002.05709): features learned without labels or downloads.

Two random views of one slice must resemble each other more than views of other subjects' slices (NT-Xent, eq. 1):

    L_i = - log exp(z_i z_j / tau) / sum_k exp(z_i z_k / tau),   z of length 1, j the other view of i's slice,

where k runs over j and all views of other subjects: other slices of the same subject are not negatives. Features become
invariant to the augmentations (rotation, scale, intensity, slight noise) and keep what identifies a subject: they find
altered copies, and are insensitive to noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...core.method import Config, Method, full_precision
from ...core.optim import adamw, cosine
from ...core.portions import finite, portions, spans
from ...data.augment import augment
from ...data.slices import SliceSet
from ...metrics.features import shrink

SIDE = 64  # pixels: larger images are averaged down


def stage(before: int, after: int) -> nn.Sequential:
    """3 x 3 convolution of stride 2, group norm, SiLU."""
    return nn.Sequential(nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(8, after), nn.SiLU())


@dataclass(frozen=True)
class SimCLRConfig(Config):
    channels: int  # of the images
    size: int  # pixels, height = width: a multiple of 16
    width: int = 16  # channels of the first stage; doubled by each of the three that follow
    features: int = 64
    temperature: float = 0.2  # tau
    learning_rate: float = 2e-3


class SimCLR(Method):
    """Images [B, C, H, W] in [-1, 1] -> features [B, features]."""

    Config = SimCLRConfig
    name = "simclr"
    networks = ("encoder", "head")
    compiled = networks

    def build(self) -> None:
        widths = [self.channels, *(self.width * 2**level for level in range(4))]
        features = self.features
        side = self.size // 16  # positions are kept: where a lesion lies distinguishes subjects
        self.encoder = nn.Sequential(
            *(stage(before, after) for before, after in zip(widths, widths[1:], strict=False)),
            nn.Flatten(),
            nn.Linear(widths[-1] * side**2, features),
        )
        self.head = nn.Sequential(nn.SiLU(), nn.Linear(features, features), nn.SiLU(), nn.Linear(features, features))

    def optimisers(self) -> dict:
        return {"both": adamw(self.encoder, self.head, lr=self.learning_rate, weight_decay=1e-4)}

    def lr_lambda(self, fraction: float) -> float:
        return min(1.0, 20 * (fraction + 0.005)) * cosine(fraction)

    def step(self, batch: dict[str, Tensor], optimisers: dict, fraction: float) -> dict[str, Tensor]:
        own = {"images": batch["images"], "labels": batch["labels"]}
        with full_precision(own["images"]):
            views = torch.cat([augment(own)["images"], augment(own)["images"]])
        loss = nt_xent(self.head(self.encoder(views)).float(), batch["subjects"].repeat(2), self.temperature)
        optimisers["both"].zero_grad()
        self.backward(loss)
        optimisers["both"].step()
        return {"nt_xent": loss}

    @torch.no_grad()
    def embed(self, images: np.ndarray, batch_size: int = 256) -> np.ndarray:
        """Features of length 1 of images [N, C, H, W]: float64 [N, features]; dot products are cosine similarities."""
        parts = (shrink(finite(images[span]), SIDE) for span in spans(len(images), batch_size))
        tables = [F.normalize(self.encoder(torch.from_numpy(x).to(self.device)).float()).cpu() for x in parts]
        return torch.cat(tables).double().numpy()


def nt_xent(z: Tensor, subjects: Tensor, temperature: float) -> Tensor:
    """The loss (eq. 1) of views z [2 B, D], where row i + B is the other view of row i; subjects int64 [2 B]."""
    z = F.normalize(z)
    n = len(z) // 2
    logits = z @ z.T / temperature
    other = torch.arange(2 * n, device=z.device).roll(n)
    related = subjects[:, None] == subjects
    related[torch.arange(2 * n, device=z.device), other] = False
    return F.cross_entropy(logits.masked_fill(related, -torch.inf), other)


def tensors_for(slices: SliceSet) -> dict[str, Tensor]:
    """Tensors for `fit`: images (averaged down to SIDE), labels (all 0) and int64 subject indices, one per slice."""
    images = torch.from_numpy(np.concatenate([shrink(some, SIDE) for some in portions(slices.images)]))
    _, subjects = np.unique(slices.subjects, return_inverse=True)
    # `augment` needs labels, but does not use them; the real ones do not have the size of the reduced images.
    return {"images": images, "labels": torch.zeros_like(images[:, 0]).byte(), "subjects": torch.from_numpy(subjects)}
