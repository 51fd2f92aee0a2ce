"""How translators are optimised."""

from __future__ import annotations

import torch
from torch import nn

from ...core.method import Method
from ...core.optim import adam


class Translator(Method):
    """How CycleGAN and pix2pix are optimised; a subclass sets `learning_rate`."""

    def adam(self, *nets: nn.Module) -> torch.optim.Optimizer:
        """One optimiser for the weights of `nets`, with momentum beta_1 = 0.5 (Radford et al. 2015)."""
        return adam(*nets, lr=self.learning_rate, betas=(0.5, 0.999))

    def lr_lambda(self, fraction: float) -> float:
        """Constant for the first half, then linearly to 0 (Zhu et al. 2017, section 4)."""
        return min(1.0, 2 * (1 - fraction))
