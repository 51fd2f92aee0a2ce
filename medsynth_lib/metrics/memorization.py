"""Memorization audit by correlation: largest correlation of each synthetic image with any training image.

The correlation alone proves nothing, because brains of different subjects correlate at 0.9. The threshold is therefore
the 99th percentile of the correlations of HELD-OUT real images with the same training images, the null distribution,
so that 1 % of new real images would be flagged. Smooth images correlate better with all others, so blur can be mistaken
for memorization: a second null uses held-out images filtered to the high-frequency energy of the synthetic ones. The
training images are not filtered in either null, because the synthetic images are compared with unfiltered ones. Noise
can hide copies, which no null corrects.
Method: Akbar et al. 2025 (MLST 6(1), arXiv 2305.07644), with mask, shifts, mirroring and nulls added. It misses rotated
and locally deformed copies, as the positive control shows. An audit finds what it searches for; it does not prove
anonymity.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from scipy.fft import dctn, idctn
from scipy.ndimage import rotate
from torch import Tensor
from torch.nn import functional as F

from ..core.portions import finite, length, mean_image, portions, spans
from ..data.foreground import LENIENT_BACKGROUND
from ..data.slices import SliceSet
from .device import exact_products, search_device
from .features import shrink
from .statistics import binomial_interval

SEARCH_SIDE = 32  # pixels: images are reduced to this side for the search
QUERIES, BLOCK = 500, 32768  # queries and training images at once: 512 MiB of the latter, with four channels
QUANTILE = 0.99
HALVES = 50  # random splits of the held-out subjects in the negative control
KINDS = ("exact", "noise", "shift+gain", "rotation")


def standardise(vectors: Tensor) -> Tensor:
    """Rows [N, P] with mean 0 and length 1: their products are Pearson correlations (0 for constant rows)."""
    centred = vectors - vectors.mean(1, keepdim=True)
    return centred / centred.norm(dim=1, keepdim=True).clamp_min(1e-6)


def shifted(images: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """Images [N, C, H, W] shifted down and right by whole pixels; border pixels are repeated."""
    h, w = images.shape[-2:]
    rows, columns = np.clip(np.arange(h) - dy, 0, h - 1), np.clip(np.arange(w) - dx, 0, w - 1)
    return images[..., rows[:, None], columns]


@exact_products()
def best_correlation(
    queries: np.ndarray, training: np.ndarray, shift: int = 1, sigma: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Highest Pearson r of each query [N, C, H, W] with any training image [M, C, H, W], and its index: [N], [N].

    All channels together, over the pixels that are not background in the mean training image, after reduction to
    SEARCH_SIDE pixels. The highest r over both mirror images and all shifts of the query by up to `shift` of these
    pixels; the best training image is then compared in half steps, if the image's resolution allows.
    sigma   in pixels of the image: the queries are smoothed with this Gaussian first (see `filtered`)
    Raises ValueError for images that are not finite or differ in shape.
    """
    if queries.shape[1:] != training.shape[1:]:
        raise ValueError(f"queries {queries.shape} and training {training.shape} differ; compare images of one shape.")
    device, factor = search_device(), -(-queries.shape[-1] // SEARCH_SIDE)
    mean = mean_image(shrink(part, SEARCH_SIDE) for part in portions(training))
    bright = np.flatnonzero(mean > LENIENT_BACKGROUND)
    foreground = bright if len(bright) > 8 else np.arange(mean.size)
    inside = torch.from_numpy(foreground).to(device)
    reach = factor * shift
    whole = range(-reach, reach + 1, factor)
    fine = np.unique(np.rint(np.linspace(-reach, reach, 4 * shift + 1)).astype(int)).tolist()

    def vectors(images: Tensor) -> Tensor:
        return standardise(images.flatten(2)[..., inside].flatten(1))

    def of_training(images: np.ndarray) -> Tensor:
        return vectors(torch.from_numpy(shrink(images, SEARCH_SIDE)).to(device))

    def shifted_vectors(images: np.ndarray, steps: Iterable[int]) -> Iterator[Tensor]:
        """Vectors of a portion of queries for each shift (pairs of `steps`, in pixels), original and mirrored."""
        portion = torch.from_numpy(filtered(finite(images), sigma)).to(device)
        # All block means at once; a shift then selects which of them, at intervals of `factor`, are compared.
        means = F.avg_pool2d(F.pad(portion, (reach,) * 4, mode="replicate"), factor, stride=1)
        for view, dy, dx in itertools.product((means, means.flip(-1)), steps, steps):
            reduced = view[..., reach - dy :: factor, reach - dx :: factor]
            yield vectors(reduced[..., : mean.shape[0], : mean.shape[1]])

    top, at = torch.full((len(queries),), -2.0), torch.zeros(len(queries), dtype=torch.long)
    rows = spans(len(queries), length(queries, QUERIES))
    for block in spans(len(training), BLOCK):
        train = torch.empty(block.stop - block.start, training.shape[1] * len(inside), device=device)
        for span in spans(len(train), length(training)):
            train[span] = of_training(finite(training[block][span]))
        for row in rows:
            best, where = top[row].to(device), at[row].to(device)
            for query in shifted_vectors(queries[row], whole):
                r, k = (query @ train.T).max(1)
                where = torch.where(r > best, k + block.start, where)
                best = torch.maximum(best, r)
            top[row], at[row] = best.cpu(), where.cpu()
    for row in rows if len(fine) > len(whole) else ():
        nearest = of_training(finite(training[at[row].numpy()]))
        r = [(query * nearest).sum(1) for query in shifted_vectors(queries[row], fine)]
        top[row] = torch.maximum(top[row], torch.stack(r).max(0).values.cpu())
    return top.numpy(), at.numpy()


def _frequency(h: int, w: int) -> np.ndarray:
    """Cycles per pixel of each entry of a cosine transform: [h, w]."""
    return np.hypot(np.arange(h)[:, None] / (2 * h), np.arange(w) / (2 * w))


def filtered(images: np.ndarray, sigma: float) -> np.ndarray:
    """Images [N, C, H, W] smoothed with a Gaussian of `sigma` pixels.

    The cosine transform is multiplied by exp(-2 (pi sigma f)^2), which is accurate even for sigma below one pixel,
    where sampled kernels (scipy.ndimage.gaussian_filter) are not.
    """
    if sigma == 0:
        return images
    transfer = np.exp(-2 * (np.pi * sigma * _frequency(*images.shape[-2:])) ** 2)
    return idctn(dctn(images, axes=(-2, -1)) * transfer, axes=(-2, -1)).astype(np.float32)


def roughness(images: np.ndarray, sigma: float = 0.0) -> float:
    """Share of the power of images [N, C, H, W] at high frequencies, which blur reduces; independent of contrast.

    High frequencies are those above 1/4 cycle per pixel, after smoothing with `filtered` (sigma in pixels of the
    image) and reduction to SEARCH_SIDE. By the cosine transform, which has no discontinuity at the borders, without
    the mean of each image.
    """
    small = (shrink(filtered(part, sigma), SEARCH_SIDE) for part in portions(images))
    power = mean_image(dctn(x, axes=(-2, -1), norm="ortho") ** 2 for x in small)
    power[0, 0] = 0
    return float(power[_frequency(*power.shape) > 0.25].sum() / max(power.sum(), 1e-12))


def matching_sigma(images: np.ndarray, goal: float) -> float:
    """Sigma in pixels of the Gaussian that reduces the roughness of `images` [N, C, H, W] to `goal`, by bisection.

    0 if their roughness is not above `goal`.
    """
    if roughness(images) <= goal:
        return 0.0
    # About 300 images are enough to estimate sigma.
    subset = images[:: -(-len(images) // 300)]
    low, high = 0.0, images.shape[-1] / 8
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (middle, high) if roughness(subset, middle) > goal else (low, middle)
    return high


def flagged(r: np.ndarray, threshold: float) -> dict:
    """Slices flagged by a threshold: {"percent" of r [N] above it, "ci95" (exact binomial, in percent), "n"}."""
    count = int((r > threshold).sum())
    return {"percent": 100 * count / len(r), "ci95": [100 * x for x in binomial_interval(count, len(r))], "n": len(r)}


def audit_against_null(r: np.ndarray, null: np.ndarray, subjects: np.ndarray, seed: int) -> dict:
    """Share of similarities r [N] above the QUANTILE of a null distribution [M]; `subjects` [M] of the null's slices.

    Returns "cut", the threshold, with "cut_ci95", its bootstrap interval over subjects; the keys of `flagged`; and
    "percent_at_cut_ci95", the percent flagged at the ends of that interval.
    """
    rng, names = np.random.default_rng(seed), np.unique(subjects)
    null_of = [null[subjects == name] for name in names]
    resamples = rng.integers(0, len(names), (200, len(names)))
    thresholds = [np.quantile(np.concatenate([null_of[i] for i in chosen]), QUANTILE) for chosen in resamples]
    interval = np.percentile(thresholds, [2.5, 97.5])
    threshold = float(np.quantile(null, QUANTILE))
    return {
        "cut": threshold,
        "cut_ci95": [float(end) for end in interval],
        **flagged(r, threshold),
        "percent_at_cut_ci95": [100 * float((r > end).mean()) for end in interval[::-1]],
    }


def negative_control(null: np.ndarray, subjects: np.ndarray, seed: int) -> dict:
    """Percent of held-out slices flagged when half of the held-out subjects are audited with the other half as null.

    null [N] best correlations, subjects [N]. "percent" is the mean over HALVES random halves and should be near 1 % (a
    little above, because a 99th percentile of few subjects is too low), "ci95" 2.5 to 97.5 % over the halves. A
    binomial interval would be much too short, because slices of one subject are not independent. Raises ValueError for
    fewer than two subjects.
    """
    rng, names = np.random.default_rng(seed), np.unique(subjects)
    if len(names) < 2:
        raise ValueError("the holdout has one subject; a control by subject needs at least two.")
    shares = []
    for _ in range(HALVES):
        audited = np.isin(subjects, rng.permutation(names)[: len(names) // 2])
        shares.append(100 * (null[audited] > np.quantile(null[~audited], QUANTILE)).mean())
    return {
        "percent": float(np.mean(shares)),
        "ci95": [float(x) for x in np.percentile(shares, [2.5, 97.5])],
        "n": len(null),
    }


def copy_audit(
    synthetic: np.ndarray,
    training: SliceSet,
    holdout: SliceSet,
    seed: int = 0,
    top: int = 8,
    reconstructed: np.ndarray | None = None,
) -> dict:
    """Share of synthetic images [N, C, H, W] that correlate more with a training image than 99 % of held-out ones do.

    Two null distributions, each with the keys of `audit_against_null`:
    "plain"   the held-out real images
    "smooth"  (the main result) the held-out images smoothed by "sigma_pixels" to the roughness of the synthetic ones;
              or `reconstructed` [M, C, H, W], the held-out images after the generator's own autoencoder, whose blur is
              of another kind ("sigma_pixels" is None then)
    "expected_percent" is what a threshold flags by construction. "roughness_ratio" is synthetic to held-out: well above
    1, the samples are noisier than real images and noise may hide copies. "nearest_pairs" are the `top` most similar
    pairs. Arrays: "r", "r_null", "r_null_smooth", "nearest" (index of the training image).
    Raises ValueError when a held-out subject is also a training subject, or when there is only one.
    """
    both = set(training.subjects) & set(holdout.subjects)
    if both:
        raise ValueError(
            f"{len(both)} subject(s) are in training and holdout ({min(both)}); the null needs unseen subjects."
        )
    r, nearest = best_correlation(synthetic, training.images)
    null, _ = best_correlation(holdout.images, training.images)
    rough = roughness(synthetic)
    sigma = matching_sigma(holdout.images, rough) if reconstructed is None else None
    unseen = holdout.images if reconstructed is None else reconstructed
    smooth = null if sigma == 0 else best_correlation(unseen, training.images, sigma=sigma or 0.0)[0]
    # Noise is only reported: a null as noisy as the samples of an untrained network would have so low a threshold that
    # any vague shape is flagged as a copy.
    ratio = rough / max(roughness(holdout.images), 1e-12)
    order = np.argsort(r)[::-1][:top]
    return {
        "plain": audit_against_null(r, null, holdout.subjects, seed),
        "smooth": {"sigma_pixels": sigma, **audit_against_null(r, smooth, holdout.subjects, seed)},
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
    """n random training images [n, C, H, W], modified by `kind`: the positive control, which an audit should find.

    kind  "exact"; "noise" (standard deviation 0.05); "shift+gain" (one pixel to the right, contrast 0.9); "rotation" (5
          degrees). ValueError for any other.
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
