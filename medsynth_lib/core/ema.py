"""Exponential moving average of network weights, used for sampling and published."""

from __future__ import annotations

import torch
from torch import nn

RAMP = 0.05  # share of the images seen


class EMA:
    """Averages parameters and floating-point buffers (batch-norm statistics) of several networks in fp32.

    The decay ramps up with the images seen (Karras et al. 2020, StyleGAN2-ADA): the half-life is `half_life` images,
    but at most the share `ramp` of the images seen so far, so that early samples are not dominated by the random start.
    """

    def __init__(self, networks: dict[str, nn.Module], half_life: float):
        self.half_life, self.ramp = half_life, RAMP
        self.live = {f"{n}.{k}": v for n, net in networks.items() for k, v in net.state_dict(keep_vars=True).items()}
        self.live = {k: v for k, v in self.live.items() if v.is_floating_point()}
        self.average = {k: v.detach().float().clone() for k, v in self.live.items()}
        self._live = [v.detach() for v in self.live.values()]  # shares the memory of the weights
        self._average = list(self.average.values())

    @torch.no_grad()
    def update(self, images_seen: int, batch_size: int) -> None:
        """Update the averages after a step on `batch_size` images, `images_seen` in total."""
        half_life = max(min(self.half_life, self.ramp * images_seen), 1e-8)
        decay = 0.5 ** (batch_size / half_life)
        torch._foreach_lerp_(self._average, [v.float() for v in self._live], 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange live and averaged weights (call again to swap back)."""
        for name, value in self.live.items():
            kept = value.detach().clone()
            value.data.copy_(self.average[name])
            self.average[name].copy_(kept)
