"""Did the generator copy its patients? Best correlation with any training image, against nulls of unseen real people.

A raw correlation proves nothing: two brains of different people correlate at 0.9. So the cut is the 99th percentile
of what HELD-OUT real subjects reach against the same training images, by which 1 % of honest pictures are flagged.
Smooth pictures correlate better with everything, so blur passes for memorization: a second null therefore filters the
held-out images down to the high-frequency energy of the synthetic ones. The training images stay as they are in both
nulls, because they are so where the synthetic images meet them. Noise hides copies; no null mends that.
Method: Akbar et al. 2025 (MLST 6(1), arXiv 2305.07644), with mask, shifts, mirror and nulls added. Blind to rotated
and locally deformed copies: read the positive control. An audit bounds what this search finds; it proves no anonymity.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from scipy.fft import dctn, idctn
from scipy.ndimage import rotate
from torch import Tensor
from torch.nn import functional as F

from ..core.portions import finite, length, mean_picture, portions, spans
from ..data.slices import SliceSet
from .device import exact_products, search_device
from .features import shrink
from .statistics import binomial_interval

SEARCH_SIDE = 32  # pixels: images are averaged down to this side for the search
QUERIES, BLOCK = 500, 32768  # queries and training images at once: 512 MiB of the latter, of four channels
BACKGROUND = -0.9  # of the mean training image: what nearly every subject leaves empty
QUANTILE = 0.99
HALVES = 50  # random splits of the held-out subjects in the negative control
KINDS = ("exact", "noise", "shift+gain", "rotation")


def standardise(vectors: Tensor) -> Tensor:
    """Rows [N, P] with mean 0 and length 1: their products are Pearson correlations (0 for constant rows)."""
    centred = vectors - vectors.mean(1, keepdim=True)
    return centred / centred.norm(dim=1, keepdim=True).clamp_min(1e-6)


def shifted(images: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """Images [N, C, H, W] moved by whole pixels; border pixels are repeated, not wrapped around."""
    h, w = images.shape[-2:]
    rows, columns = np.clip(np.arange(h) - dy, 0, h - 1), np.clip(np.arange(w) - dx, 0, w - 1)
    return images[..., rows[:, None], columns]


@exact_products()
def best_correlation(
    queries: np.ndarray, training: np.ndarray, shift: int = 1, sigma: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Highest Pearson r of each query [N, C, H, W] with any training image [M, C, H, W], and which one: [N], [N].

    All channels together, over the pixels that are not background in the mean training image, after averaging down to
    SEARCH_SIDE pixels. Every query is mirrored left-right and moved by up to `shift` of these pixels against every
    training image; then in half steps, where its own resolution allows, against the best one only.
    sigma   in pixels: the queries pass through this Gaussian first (see `filtered`)
    Raises ValueError for images that are not finite or differ in shape.
    """
    if queries.shape[1:] != training.shape[1:]:
        raise ValueError(f"queries {queries.shape} and training {training.shape} differ; compare images of one shape.")
    device, factor = search_device(), -(-queries.shape[-1] // SEARCH_SIDE)
    mean = mean_picture(shrink(some, SEARCH_SIDE) for some in portions(training))
    shown = np.flatnonzero(mean > BACKGROUND) if (mean > BACKGROUND).sum() > 8 else np.arange(mean.size)
    inside = torch.from_numpy(shown).to(device)
    reach = factor * shift
    whole = range(-reach, reach + 1, factor)
    fine = np.unique(np.rint(np.linspace(-reach, reach, 4 * shift + 1)).astype(int)).tolist()

    def vectors(images: Tensor) -> Tensor:
        return standardise(images.flatten(2)[..., inside].flatten(1))

    def of_training(images: np.ndarray) -> Tensor:
        return vectors(torch.from_numpy(shrink(images, SEARCH_SIDE)).to(device))

    def moved(images: np.ndarray, steps) -> Iterator[Tensor]:
        """Vectors of a portion of queries at every place, as they are and mirrored."""
        portion = torch.from_numpy(filtered(finite(images), sigma)).to(device)
        # All block means at once; a move is then another choice of every factor-th of them.
        means = F.avg_pool2d(F.pad(portion, (reach,) * 4, mode="replicate"), factor, stride=1)
        for either, dy, dx in itertools.product((means, means.flip(-1)), steps, steps):
            there = either[..., reach - dy :: factor, reach - dx :: factor]
            yield vectors(there[..., : mean.shape[0], : mean.shape[1]])

    top, at = torch.full((len(queries),), -2.0), torch.zeros(len(queries), dtype=torch.long)
    rows = spans(len(queries), length(queries, QUERIES))
    for block in spans(len(training), BLOCK):
        train = torch.empty(block.stop - block.start, training.shape[1] * len(inside), device=device)
        for span in spans(len(train), length(training)):
            train[span] = of_training(finite(training[block][span]))
        for row in rows:
            best, where = top[row].to(device), at[row].to(device)
            for place in moved(queries[row], whole):
                r, k = (place @ train.T).max(1)
                where = torch.where(r > best, k + block.start, where)
                best = torch.maximum(best, r)
            top[row], at[row] = best.cpu(), where.cpu()
    for row in rows if len(fine) > len(whole) else ():
        nearest = of_training(finite(training[at[row].numpy()]))
        r = [(place * nearest).sum(1) for place in moved(queries[row], fine)]
        top[row] = torch.maximum(top[row], torch.stack(r).max(0).values.cpu())
    return top.numpy(), at.numpy()


def _frequency(h: int, w: int) -> np.ndarray:
    """Cycles per pixel of each entry of a cosine transform: [h, w]."""
    return np.hypot(np.arange(h)[:, None] / (2 * h), np.arange(w) / (2 * w))


def filtered(images: np.ndarray, sigma: float) -> np.ndarray:
    """Images [N, C, H, W] through a Gaussian of `sigma` pixels.

    exp(-2 (pi sigma f)^2) acts on the cosine transform: exact also for a sigma below one pixel, where sampled kernels
    are not.
    """
    if sigma == 0:
        return images
    transfer = np.exp(-2 * (np.pi * sigma * _frequency(*images.shape[-2:])) ** 2)
    return idctn(dctn(images, axes=(-2, -1)) * transfer, axes=(-2, -1)).astype(np.float32)


def roughness(images: np.ndarray, sigma: float = 0.0) -> float:
    """Share of the power of [N, C, H, W] in high frequencies: what blur removes, whatever the contrast.

    By the cosine transform, which sees no jump at the border, after averaging down to SEARCH_SIDE; without the mean of
    each image. High: above a quarter cycle per search pixel. `sigma`: of the images through `filtered`.
    """
    small = (shrink(filtered(some, sigma), SEARCH_SIDE) for some in portions(images))
    power = mean_picture(dctn(x, axes=(-2, -1), norm="ortho") ** 2 for x in small)
    power[0, 0] = 0
    return float(power[_frequency(*power.shape) > 0.25].sum() / max(power.sum(), 1e-12))


def matching_sigma(images: np.ndarray, goal: float) -> float:
    """Sigma in pixels of the Gaussian that brings `images` down to the roughness `goal` (by bisection); 0 if none."""
    if roughness(images) <= goal:
        return 0.0
    # A few hundred images fix the one number sigma.
    some = images[:: -(-len(images) // 300)]
    low, high = 0.0, images.shape[-1] / 8
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (middle, high) if roughness(some, middle) > goal else (low, middle)
    return high


def as_smooth_as(images: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """`images` through the Gaussian that makes them as rough as `target`, and its sigma in pixels.

    Images that are not rougher come back as they are, with 0.
    """
    sigma = matching_sigma(images, roughness(target))
    return np.concatenate([filtered(some, sigma) for some in portions(images)]), sigma


def flagged(r: np.ndarray, cut: float) -> dict:
    """Percent of r [N] above the cut, with the exact binomial interval given that cut, and n."""
    count = int((r > cut).sum())
    return {"percent": 100 * count / len(r), "ci95": [100 * x for x in binomial_interval(count, len(r))], "n": len(r)}


def judge(r: np.ndarray, null: np.ndarray, subjects: np.ndarray, seed: int) -> dict:
    """Cut of one null, what it flags, and how much both depend on which subjects were held out (bootstrap)."""
    rng, people = np.random.default_rng(seed), np.unique(subjects)
    own = [null[subjects == person] for person in people]
    drawn = rng.integers(0, len(people), (200, len(people)))
    cuts = np.percentile([np.quantile(np.concatenate([own[i] for i in d]), QUANTILE) for d in drawn], [2.5, 97.5])
    cut = float(np.quantile(null, QUANTILE))
    across = [100 * float((r > c).mean()) for c in cuts[::-1]]
    return {"cut": cut, "cut_ci95": [float(c) for c in cuts], **flagged(r, cut), "percent_at_cut_ci95": across}


def negative_control(null: np.ndarray, subjects: np.ndarray, seed: int) -> dict:
    """Held-out subjects posing as synthetic: half of them judged by the cut of the other half, over random halves.

    null [N] best correlations, subjects [N]. The mean should be near 1 % (a little above: a 99th percentile of few
    subjects is too low); "ci95" is the spread over the halves. Slices of one subject pass or fail together, so a
    binomial interval of one half would be far too short. Raises ValueError for fewer than two subjects.
    """
    rng, people = np.random.default_rng(seed), np.unique(subjects)
    if len(people) < 2:
        raise ValueError("the holdout has one subject; a control by subject needs at least two.")
    shares = []
    for _ in range(HALVES):
        judged = np.isin(subjects, rng.permutation(people)[: len(people) // 2])
        shares.append(100 * (null[judged] > np.quantile(null[~judged], QUANTILE)).mean())
    return {
        "percent": float(np.mean(shares)),
        "ci95": [float(x) for x in np.percentile(shares, [2.5, 97.5])],
        "n": len(null),
    }


def copy_audit(
    synthetic: np.ndarray, training: SliceSet, holdout: SliceSet, seed: int = 0, top: int = 8, softened=None
) -> dict:
    """Share of synthetic images [N, C, H, W] above the cut, beside the 1 % that the cut flags by construction.

    Two cuts: "plain" (held-out real images) and "smooth", the headline: the same, blurred by "sigma_pixels" until they
    are no rougher than the synthetic ones; or `softened`, the held-out images through the generator's own decoder,
    whose blur is of another kind ("sigma_pixels" is None then). Each with its binomial interval, the cut's interval
    over held-out subjects and what is flagged at its ends. "roughness_ratio", synthetic to held-out: well above 1 the
    samples are noisier than real images, noise may hide copies, and few flags say little. "nearest_pairs": the `top`
    closest pairs. Arrays: "r", "r_null", "r_null_smooth", "nearest" (index into training).
    Raises ValueError when a held-out subject is also a training subject, or when there is only one.
    """
    both = set(training.subjects) & set(holdout.subjects)
    if both:
        raise ValueError(
            f"{len(both)} subject(s) are in training and holdout ({min(both)}); the null needs new people."
        )
    r, nearest = best_correlation(synthetic, training.images)
    null, _ = best_correlation(holdout.images, training.images)
    rough = roughness(synthetic)
    sigma = matching_sigma(holdout.images, rough) if softened is None else None
    unseen = holdout.images if softened is None else softened
    smooth = null if sigma == 0 else best_correlation(unseen, training.images, sigma=sigma or 0.0)[0]
    # The opposite, a null as noisy as the samples, would call the noise of an untrained network a copy: its cut sinks
    # to where any vague shape passes. So noise is only reported.
    ratio = rough / max(roughness(holdout.images), 1e-12)
    order = np.argsort(r)[::-1][:top]
    return {
        "plain": judge(r, null, holdout.subjects, seed),
        "smooth": {"sigma_pixels": sigma, **judge(r, smooth, holdout.subjects, seed)},
        "negative_control": negative_control(null, holdout.subjects, seed),
        "expected_percent": 100 * (1 - QUANTILE),
        "roughness_ratio": ratio,
        "null_subjects": len(np.unique(holdout.subjects)),
        "nearest_pairs": [
            {"synthetic": int(i), "training": int(k), "subject": str(training.subjects[k]), "r": float(r[i])}
            for i, k in zip(order, nearest[order], strict=True)
        ],
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
        copies = shifted(0.9 * (copies + 1) - 1, 0, 1)
    if kind == "rotation":
        copies = rotate(copies, 5, axes=(2, 3), reshape=False, order=1, mode="nearest")
    return np.clip(copies, -1, 1).astype(np.float32)
