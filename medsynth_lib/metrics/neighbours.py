"""Nearest neighbours between large sets of features, in blocks, on the GPU if there is one."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike

from ..core.portions import spans
from .device import exact_products, search_device

BLOCK = 4096  # rows of either set at once: 64 MiB of distances


@exact_products()
def nearest(
    queries: ArrayLike, references: ArrayLike, exclude_same: tuple[ArrayLike, ArrayLike] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Euclidean distance of each query [N, D] to its nearest reference [M, D], and its index: [N], [N].

    exclude_same  names [N] of the queries and [M] of the references: references with the query's own name are left out
                  (slices of one subject; a point itself). Distance infinity and index -1 where that leaves none.
    Raises ValueError when the tables differ in D or there is no reference.
    """
    queries, references = (torch.as_tensor(np.asarray(x, np.float32)) for x in (queries, references))
    if queries.dim() != 2 or references.dim() != 2 or queries.shape[1] != references.shape[1] or not len(references):
        raise ValueError(
            f"queries {tuple(queries.shape)} and references {tuple(references.shape)} do not fit; give tables [N, D]."
        )
    if exclude_same is not None:
        names = np.concatenate([np.asarray(names, dtype=str) for names in exclude_same])
        _, numbers = np.unique(names, return_inverse=True)
        own, others = torch.from_numpy(numbers).split([len(queries), len(references)])
    shift = references.mean(0)  # centred, |x|^2 - 2 x y + |y|^2 has smaller rounding errors
    queries, references = queries - shift, references - shift
    lengths = references.square().sum(1)
    device, index = search_device(), torch.full((len(queries),), -1)
    for rows in spans(len(queries), BLOCK):
        x = queries[rows].to(device)
        best = torch.full((len(x),), torch.inf, device=device)
        where = torch.full((len(x),), -1, device=device)
        for columns in spans(len(references), BLOCK):
            y = references[columns].to(device)
            squares = torch.addmm(lengths[columns].to(device), x, y.T, alpha=-2)
            if exclude_same is not None:
                same = own[rows].to(device)[:, None] == others[columns].to(device)
                squares.masked_fill_(same, torch.inf)
            least, at = squares.min(1)
            nearer = least < best
            best, where = torch.where(nearer, least, best), torch.where(nearer, at + columns.start, where)
        index[rows] = where.cpu()
    # The distance is computed again from the difference, because |x|^2 - 2 x y + |y|^2 is inexact near zero.
    distance = (queries - references[index]).square().sum(1).sqrt()
    return torch.where(index < 0, torch.inf, distance).numpy().astype(np.float64), index.numpy()
