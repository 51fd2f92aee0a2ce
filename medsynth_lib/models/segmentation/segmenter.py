"""What all segmenters share: loss, step, schedule, prediction. The networks are MONAI's, the loop is `fit`."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn

from ...core.method import BATCH, Config, Method
from ...core.optim import adamw, cosine

WARM_UP = 0.1  # share of the training over which the learning rate rises


def criterion() -> DiceCELoss:
    """Dice + cross-entropy. The Dice term leaves out the background, which would hide missed lesions by its size."""
    return DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)


@dataclass(frozen=True)
class SegmenterConfig(Config):
    channels: int  # of the images
    n_labels: int  # label values, background included
    widths: tuple[int, ...] = (16, 32, 64, 128)  # channels per level
    learning_rate: float = 2e-3


class Segmenter(Method):
    """Images [B, C, H, W] in [-1, 1] -> labels uint8 [B, H, W] with values 0 .. n_labels - 1, by `network()`."""

    Config = SegmenterConfig
    networks = ("net",)
    compiled = networks

    def build(self) -> None:
        self.net = self.network()
        self.criterion = criterion()

    @abstractmethod
    def network(self) -> nn.Module:
        """A new network [B, channels, H, W] -> [B, n_labels, H, W]."""

    def optimisers(self) -> dict:
        return {"net": adamw(self.net, lr=self.learning_rate, weight_decay=1e-4)}

    def lr_lambda(self, fraction: float) -> float:
        if fraction < WARM_UP:
            return 0.1 + 0.9 * fraction / WARM_UP
        return cosine((fraction - WARM_UP) / (1 - WARM_UP))

    def logits(self, images: Tensor) -> Tensor:
        """[B, n_labels, H, W] for images [B, C, H, W]."""
        return self.net(images)

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Dice + cross-entropy of images [B, C, H, W] and labels [B, 1, H, W]."""
        return self.criterion(self.logits(images).float(), labels)

    def step(self, batch: dict[str, Tensor], optimisers: dict, fraction: float) -> dict[str, Tensor]:
        loss = self.loss(batch["images"], batch["labels"][:, None])
        optimiser = optimisers["net"]
        optimiser.zero_grad()
        self.backward(loss)
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)  # without it, some trainings never learn the small labels
        optimiser.step()
        return {"dice_ce": loss}

    def predict(self, images: Tensor, batch_size: int = BATCH) -> Tensor:
        """Label maps uint8 [N, H, W] on the CPU."""
        self.net.eval()
        return self.in_batches(lambda part: self.logits(part).argmax(1).to(torch.uint8), images, batch_size=batch_size)
