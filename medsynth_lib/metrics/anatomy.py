"""Anatomical measures of slices (lesion size and position, amounts of tissue), compared between two sets.

Per measure the 1-Wasserstein distance between two sets, in standard deviations of the real one (0.1: every value would
have to move by a tenth of a standard deviation, on average). Hou et al. 2025 (WASABI, arXiv 2504.21771) show that
volumes compared in this way reveal differences that Frechet distances and MS-SSIM miss. Synthetic slices are measured
by their generated labels; whether image and label agree is tested by the segmenters of notebook 06.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import wasserstein_distance

from ..core.portions import length, portions, spans
from ..data.slices import SliceSet
from .features import tissue_mask

THIRDS = ("dark", "middle", "bright")
SLICES = 2000  # largest number of slices of 64 x 64 pixels from which the tertiles of intensity are estimated


def intensity_tertiles(training: SliceSet) -> np.ndarray:
    """Tertiles [C, 2] of the foreground intensities of each channel, of the training subjects.

    They are estimated from at most SLICES slices (a quarter of that at 128 pixels), a random subset with a fixed seed:
    every k-th slice might always be at the same position. An estimate suffices, because the same tertiles are used for
    all sets.
    """
    rows, most = np.arange(len(training)), length(training.images, SLICES)
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
    intensities = [part.swapaxes(0, 1)[:, tissue_mask(part)] for part in portions(training.images, rows)]
    channels = (np.concatenate([part[k] for part in intensities]) for k in range(len(intensities[0])))
    return np.array([np.quantile(channel, [1 / 3, 2 / 3]) for channel in channels])


def measures(slices: SliceSet, tertiles: np.ndarray, rows: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """{measure: one value per slice that has it} of the slices at `rows` (default: all).

    tertiles  intensities [C, 2] from `intensity_tertiles`
    "area of ..." in mm^2 and the centre of mass "lesion, row / column" (-0.5 to 0.5) of slices with such a label;
    "slices with lesion" is 0 or 1; "foreground" is a fraction of the image, "<third> <channel>" of the foreground.
    """
    rows = np.arange(len(slices)) if rows is None else rows
    parts = [_of_portion(slices, tertiles, rows[span]) for span in spans(len(rows), length(slices.images))]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _of_portion(slices: SliceSet, tertiles: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """`measures` of the slices at `rows`, all at once."""
    images = slices.images[rows]
    inside, (h, w) = tissue_mask(images), images.shape[-2:]
    found = {"foreground": inside.mean((1, 2))}
    low, high = (tertile[None, :, None, None] for tertile in tertiles.T)
    parts = (images <= low, (images > low) & (images <= high), images > high)
    for name, part in zip(THIRDS, parts, strict=True):
        shares = (part & inside[:, None]).sum((2, 3)) / np.maximum(inside.sum((1, 2)), 1)[:, None]
        found |= {f"{name} {channel}": shares[:, k] for k, channel in enumerate(slices.channels)}
    if slices.labels is None:
        return found
    pixel, labels = slices.spacing[0] * slices.spacing[1], slices.labels[rows]
    lesion = labels > 0
    has_lesion = lesion.any((1, 2))
    found["slices with lesion"] = has_lesion.astype(float)
    found["area of lesion"] = pixel * lesion.sum((1, 2))[has_lesion]
    for value, name in list(enumerate(slices.label_names))[1:]:
        area = (labels == value).sum((1, 2))
        found[f"area of {name}"] = pixel * area[area > 0]
    row, column = np.mgrid[:h, :w] / max(h, w) - 0.5
    for name, axis in (("row", row), ("column", column)):
        found[f"lesion, {name}"] = (lesion * axis).sum((1, 2))[has_lesion] / lesion.sum((1, 2))[has_lesion]
    return found


def wasserstein(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> dict[str, float]:
    """1-Wasserstein distance per measure (see `measures`), in standard deviations of `second`, the real set.

    NaN where a set has no value of the measure; in the measure's own unit where it does not vary in `second`.
    """
    out = {}
    for name, real in second.items():
        if len(first[name]) and len(real):
            spread = float(np.std(real))
            out[name] = float(wasserstein_distance(first[name], real)) / (spread if spread > 1e-9 else 1.0)
        else:
            out[name] = float("nan")
    return out


def with_floor(synthetic: SliceSet, training: SliceSet, holdout: SliceSet) -> dict[str, dict[str, float]]:
    """{"synthetic": distances to the holdout, "real": the floor, distances of training to holdout}, at the same n."""
    tertiles = intensity_tertiles(training)
    n = min(map(len, (synthetic, training, holdout)))
    found = {
        name: measures(slices, tertiles, np.linspace(0, len(slices) - 1, n).astype(int))
        for name, slices in (("synthetic", synthetic), ("training", training), ("holdout", holdout))
    }
    return {
        "synthetic": wasserstein(found["synthetic"], found["holdout"]),
        "real": wasserstein(found["training"], found["holdout"]),
    }


def lesion_size_groups(slices: SliceSet, reference: SliceSet) -> dict[str, np.ndarray]:
    """Slices grouped by lesion size, {name: bool [N]}: no lesion, or between tertiles of the reference's lesion sizes.

    {} without labels.
    """
    if slices.labels is None:
        return {}
    size, sizes = (
        np.concatenate([(s.labels[span] > 0).mean((1, 2)) for span in spans(len(s), length(s.labels))])
        for s in (slices, reference)
    )
    low, high = np.quantile(sizes[sizes > 0], [1 / 3, 2 / 3]) if (sizes > 0).any() else (np.inf, np.inf)
    return {
        "no lesion": size == 0,
        "small lesion": (size > 0) & (size <= low),
        "middle lesion": (size > low) & (size <= high),
        "large lesion": size > high,
    }


def subgroups(synthetic: SliceSet, training: SliceSet, holdout: SliceSet, covered: np.ndarray) -> dict[str, dict]:
    """Per subgroup: its share of held-out and of synthetic slices, and the covered share of its held-out slices.

    covered  bool [N of holdout]: whether a synthetic slice lies in the neighbourhood (see `diversity.covered`)
    Subgroups are by lesion size and by slice position (tertiles). Synthetic slices have no position: their share is
    None there. The covered share is NaN for a subgroup without held-out slices.
    """
    real, generated = lesion_size_groups(holdout, training), lesion_size_groups(synthetic, training)
    low, high = np.quantile(holdout.levels, [1 / 3, 2 / 3])
    real["low slices"] = holdout.levels <= low
    real["middle slices"] = (holdout.levels > low) & (holdout.levels <= high)
    real["high slices"] = holdout.levels > high
    return {
        name: {
            "share of real slices": float(group.mean()),
            "share of synthetic slices": float(generated[name].mean()) if name in generated else None,
            "covered": float(covered[group].mean()) if group.any() else float("nan"),
        }
        for name, group in real.items()
    }
