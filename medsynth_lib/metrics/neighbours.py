"""Nearest neighbours between large sets of features, block by block, on the GPU where there is one."""

from __future__ import annotations

import numpy as np
import torch

from ..core.portions import spans
from .device import exact_products, search_device

BLOCK = 4096  # rows of either set at once: 64 MiB of distances


@exact_products()
def nearest(queries: np.ndarray, references: np.ndarray, apart=None) -> tuple[np.ndarray, np.ndarray]:
    """Euclidean distance of each query [N, D] to its nearest reference [M, D], and which one: [N], [N].

    apart   two arrays of names [N] and [M]: references of the query's own name do not count (slices of one person; a
            point and itself). A query whose every reference bears its name is infinitely far away, at -1.
    Raises ValueError for tables that do not fit or hold no rows.
    """
    queries, references = (torch.as_tensor(np.asarray(x, np.float32)) for x in (queries, references))
    if queries.dim() != 2 or references.dim() != 2 or queries.shape[1] != references.shape[1] or not len(references):
        raise ValueError(
            f"queries {tuple(queries.shape)} and references {tuple(references.shape)} do not fit; give tables [N, D]."
        )
    if apart is not None:
        _, codes = np.unique(np.concatenate([np.asarray(names, dtype=str) for names in apart]), return_inverse=True)
        own, others = torch.from_numpy(codes).split([len(queries), len(references)])
    shift = references.mean(0)  # small numbers keep their digits in |x|^2 - 2 x y + |y|^2
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
            if apart is not None:
                same = own[rows].to(device)[:, None] == others[columns].to(device)
                squares.masked_fill_(same, torch.inf)
            least, at = squares.min(1)
            nearer = least < best
            best, where = torch.where(nearer, least, best), torch.where(nearer, at + columns.start, where)
        index[rows] = where.cpu()
    # Once more, exactly: the difference of squares loses the digits of a distance near zero.
    distance = (queries - references[index]).square().sum(1).sqrt()
    return torch.where(index < 0, torch.inf, distance).numpy().astype(np.float64), index.numpy()
