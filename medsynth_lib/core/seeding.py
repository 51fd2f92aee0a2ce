"""Seeds and the order of the data, as functions of their arguments only, so that training resumes bit for bit."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import torch
from torch import Tensor


def step_seed(seed: int, step: int, rank: int = 0, purpose: str = "step") -> int:
    """A seed in [0, 2^63) that depends only on the arguments."""
    digest = hashlib.sha256(f"{purpose}/{seed}/{rank}/{step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@lru_cache(maxsize=4)
def permutation(n: int, seed: int, epoch: int, device: torch.device | str) -> Tensor:
    """The order of the n images in one epoch: int64 [n] on `device`, cached."""
    generator = torch.Generator().manual_seed(step_seed(seed, epoch, purpose="epoch"))
    return torch.randperm(n, generator=generator).to(device)


def batch_indices(first: int, count: int, n: int, seed: int, device: torch.device | str = "cpu") -> Tensor:
    """Indices int64 [count] of the images of one step, when `first` images were seen before it.

    Steps go through one seeded permutation of the n images after another, so every image is seen equally often.
    """
    parts = []
    while count:
        epoch, at = divmod(first, n)
        parts.append(permutation(n, seed, epoch, device)[at : at + count])
        first, count = first + len(parts[-1]), count - len(parts[-1])
    return parts[0] if len(parts) == 1 else torch.cat(parts)
