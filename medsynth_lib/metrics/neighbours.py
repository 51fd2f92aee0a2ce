"""Nearest neighbours between large sets of features, block by block: memory does not grow with their product."""

from __future__ import annotations

import numpy as np
import torch

BLOCK = 4096  # rows of either set at once: 64 MiB of distances


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
    best, index = torch.full((len(queries),), torch.inf), torch.full((len(queries),), -1)
    for rows in torch.arange(len(queries)).split(BLOCK):
        x = queries[rows]
        for columns in torch.arange(len(references)).split(BLOCK):
            squares = torch.addmm(lengths[columns], x, references[columns].T, alpha=-2)
            if apart is not None:
                squares.masked_fill_(own[rows][:, None] == others[columns], torch.inf)
            least, at = squares.min(1)
            nearer = least < best[rows]
            best[rows] = torch.where(nearer, least, best[rows])
            index[rows] = torch.where(nearer & least.isfinite(), columns[at], index[rows])
    found = index >= 0
    # Once more, exactly: the difference of squares loses the digits of a distance near zero.
    best[found] = (queries[found] - references[index[found]]).square().sum(1).sqrt()
    return best.numpy().astype(np.float64), index.numpy()
