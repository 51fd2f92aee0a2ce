"""Where searches run: on the GPU when there is one, and there in full float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def search_device() -> torch.device:
    """The GPU when torch sees one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def exact_products() -> Iterator[None]:
    """Matrix products in full float32, also while a training lets them be shorter: TF32 has three digits.

    The distance of a copy is a small difference of large products, and would drown in them. Also a decorator.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
