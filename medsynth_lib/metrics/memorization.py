"""Did the generator copy its patients? Best correlation with any training image, against nulls of unseen real people.

A raw correlation proves nothing: two brains of different people correlate at 0.9. So the cut is the 99th percentile of
what HELD-OUT real subjects reach against the same training images, by which 1 % of honest pictures are flagged.
Smooth pictures correlate better with everything, so blur passes for memorization; a second null therefore filters the
held-out images until they are as smooth as the synthetic ones.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, rotate

from ..data.slices import SliceSet
from .fidelity import shrink
from .statistics import binomial_interval

SEARCH_SIDE = 32  # pixels: images are averaged down to this side for the search
QUANTILE = 0.99
KINDS = ("exact", "noise", "shift+gain", "rotation")


def standardise(vectors: torch.Tensor) -> torch.Tensor:
    """Rows [N, P] with mean 0 and length 1: their products are Pearson correlations (0 for constant rows)."""
    centred = vectors - vectors.mean(1, keepdim=True)
    return centred / centred.norm(dim=1, keepdim=True).clamp_min(1e-6)


def best_correlation(queries: np.ndarray, training: np.ndarray, shift: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Highest Pearson r of each query [N, C, H, W] with any training image [M, C, H, W], and which one: [N], [N].

    All channels together, over the pixels that are not background in the mean training image, after shrinking to
    SEARCH_SIDE pixels; the query is moved by up to `shift` of these pixels and mirrored left-right.
    """
    queries, training = (shrink(np.asarray(x, np.float32), SEARCH_SIDE) for x in (queries, training))
    inside = training.mean((0, 1)) > -0.9
    if inside.sum() < 9:
        inside = np.ones_like(inside)
    train = standardise(torch.from_numpy(training[:, :, inside]).flatten(1))
    best = torch.full((len(queries),), -2.0)
    index = torch.zeros(len(queries), dtype=torch.long)
    for mirrored in (queries, queries[..., ::-1]):
        for dy in range(-shift, shift + 1):
            for dx in range(-shift, shift + 1):
                moved = np.roll(mirrored, (dy, dx), axis=(2, 3))[:, :, inside]
                r, at = (standardise(torch.from_numpy(moved).flatten(1)) @ train.T).max(1)
                index = torch.where(r > best, at, index)
                best = torch.maximum(best, r)
    return best.numpy(), index.numpy()


def roughness(images: np.ndarray) -> float:
    """Mean squared difference of neighbouring pixels after shrinking: the high-frequency energy that a blur removes."""
    small = shrink(np.asarray(images, np.float32), SEARCH_SIDE)
    return float((np.diff(small, axis=-1) ** 2).mean() + (np.diff(small, axis=-2) ** 2).mean())


def as_smooth_as(images: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """`images` blurred by the Gaussian (sigma in pixels, found by bisection) that makes them as rough as `target`."""
    goal = roughness(target)
    if roughness(images) <= goal:
        return images, 0.0
    low, high = 0.0, images.shape[-1] / 16
    for _ in range(8):
        middle = (low + high) / 2
        rougher = roughness(gaussian_filter(images, (0, 0, middle, middle))) > goal
        low, high = (middle, high) if rougher else (low, middle)
    return gaussian_filter(images, (0, 0, high, high)), high


def flagged(r: np.ndarray, cut: float) -> dict:
    count = int((r > cut).sum())
    return {"percent": 100 * count / len(r), "ci95": [100 * x for x in binomial_interval(count, len(r))], "n": len(r)}


def copy_audit(synthetic: np.ndarray, training: SliceSet, holdout: SliceSet) -> dict:
    """Share of synthetic images [N, C, H, W] above the cut, beside the 1 % that the cut flags by construction.

    Two cuts: "plain" (held-out real images) and "smooth" (the same, as smooth as the synthetic ones). The headline
    number is the one of the smooth null. Also returns the negative control: held-out subjects of one half judged by the
    cut of the other half. Arrays: "r", "r_null", "r_null_smooth", "nearest" (index into training).
    """
    r, nearest = best_correlation(synthetic, training.images)
    null, _ = best_correlation(holdout.images, training.images)
    blurred, sigma = as_smooth_as(np.asarray(holdout.images), synthetic)
    smooth, _ = best_correlation(blurred, training.images)
    people = np.array(holdout.unique_subjects())
    first = np.isin(holdout.subjects, people[::2])
    cuts = {name: float(np.quantile(x, QUANTILE)) for name, x in (("plain", null), ("smooth", smooth))}
    return {
        "plain": {"cut": cuts["plain"], **flagged(r, cuts["plain"])},
        "smooth": {"cut": cuts["smooth"], "sigma_pixels": sigma, **flagged(r, cuts["smooth"])},
        "negative_control": flagged(null[first], float(np.quantile(null[~first], QUANTILE))),
        "expected_percent": 100 * (1 - QUANTILE),
        "null_subjects": len(people),
        "r": r,
        "r_null": null,
        "r_null_smooth": smooth,
        "nearest": nearest,
    }


def planted_copies(training: np.ndarray, n: int, kind: str, seed: int) -> np.ndarray:
    """n training images [n, C, H, W], copied as `kind` says: the positive control that an audit must find.

    exact; noise (N(0, 0.05)); shift+gain (one pixel, contrast 0.9); rotation (5 degrees). ValueError for another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of copy {kind!r}; known kinds: {', '.join(KINDS)}.")
    rng = np.random.default_rng(seed)
    copies = np.array(training[rng.choice(len(training), n, replace=n > len(training))])
    if kind == "noise":
        copies = copies + 0.05 * rng.standard_normal(copies.shape)
    if kind == "shift+gain":
        copies = np.roll(0.9 * (copies + 1) - 1, 1, axis=-1)
    if kind == "rotation":
        copies = rotate(copies, 5, axes=(2, 3), reshape=False, order=1, mode="constant", cval=-1.0)
    return np.clip(copies, -1, 1).astype(np.float32)
