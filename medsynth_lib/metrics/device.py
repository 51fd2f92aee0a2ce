"""The device of nearest-neighbour searches: the GPU if there is one, in full float32 precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def search_device() -> torch.device:
    """The GPU if torch finds one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def exact_products() -> Iterator[None]:
    """Context manager or decorator: matrix products in full float32, even if training has enabled TF32.

    The distance of a copy is a small difference of large products, for which TF32 (about three digits) is too coarse.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
