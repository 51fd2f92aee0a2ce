"""Anatomy in numbers: how large lesions are, where they sit, how much of which tissue there is; and how far off.

Per measure the 1-Wasserstein distance between two sets, in units of the real spread (0.1: one would have to move every
value by a tenth of a standard deviation, on average). Hou et al. 2025 (WASABI, arXiv 2504.21771) show that volumes
compared in this way notice what Frechet distances and MS-SSIM overlook. Labels count as drawn: a generator here draws
them, too; whether picture and label fit together is what the segmenters of notebook 06 judge.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import wasserstein_distance

from ..core.portions import length, portions, spans
from ..data.slices import SliceSet
from .features import shown

THIRDS = ("dark", "middle", "bright")
SLICES = 2000  # of 64 pixels at most, by which grey values are cut into thirds


def tissue_cuts(training: SliceSet) -> np.ndarray:
    """Grey values [C, 2] that part what each channel shows into thirds; of training people.

    Of more than SLICES slices (a quarter of it at 128 pixels) so many are drawn, always the same ones, and at random:
    every k-th one might always lie at the same level. All sets are measured by these cuts, so they need not be sharp.
    """
    rows, most = np.arange(len(training)), length(training.images, SLICES)
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
    grey = [some.swapaxes(0, 1)[:, shown(some)] for some in portions(training.images, rows)]
    channels = (np.concatenate([part[k] for part in grey]) for k in range(len(grey[0])))
    return np.array([np.quantile(channel, [1 / 3, 2 / 3]) for channel in channels])


def measures(slices: SliceSet, cuts: np.ndarray, rows: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """{measure: one value per slice that has it}; `cuts` from `tissue_cuts`; of the slices at `rows`, by default all.

    "area of ..." in mm^2 and "lesion, row / column" (-0.5 to 0.5) of slices with such a label; "slices with lesion" is
    0 or 1; "foreground" and "<third> <channel>" are shares of the picture and of the foreground.
    """
    rows = np.arange(len(slices)) if rows is None else rows
    parts = [_of_portion(slices, cuts, rows[span]) for span in spans(len(rows), length(slices.images))]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _of_portion(slices: SliceSet, cuts: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """`measures` of the slices at `rows`, all at once."""
    images = slices.images[rows]
    inside, (h, w) = shown(images), images.shape[-2:]
    found = {"foreground": inside.mean((1, 2))}
    low, high = (cut[None, :, None, None] for cut in cuts.T)
    parts = (images <= low, (images > low) & (images <= high), images > high)
    for name, part in zip(THIRDS, parts, strict=True):
        shares = (part & inside[:, None]).sum((2, 3)) / np.maximum(inside.sum((1, 2)), 1)[:, None]
        found |= {f"{name} {channel}": shares[:, k] for k, channel in enumerate(slices.channels)}
    if slices.labels is None:
        return found
    pixel, labels = slices.spacing[0] * slices.spacing[1], slices.labels[rows]
    lesion = labels > 0
    there = lesion.any((1, 2))
    found["slices with lesion"] = there.astype(float)
    found["area of lesion"] = pixel * lesion.sum((1, 2))[there]
    for value, name in list(enumerate(slices.label_names))[1:]:
        area = (labels == value).sum((1, 2))
        found[f"area of {name}"] = pixel * area[area > 0]
    down, across = np.mgrid[:h, :w] / max(h, w) - 0.5
    for name, axis in (("row", down), ("column", across)):
        found[f"lesion, {name}"] = (lesion * axis).sum((1, 2))[there] / lesion.sum((1, 2))[there]
    return found


def wasserstein(first: dict, second: dict) -> dict[str, float]:
    """Distance per measure in standard deviations of `second` (the real people); NaN where one set never has it.

    A measure that does not vary in `second` is compared in its own unit.
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
    """{"synthetic": distances to the holdout, "real": those of the training people, the floor}, at the same n."""
    cuts = tissue_cuts(training)
    n = min(map(len, (synthetic, training, holdout)))
    spread = {
        name: measures(slices, cuts, np.linspace(0, len(slices) - 1, n).astype(int))
        for name, slices in (("synthetic", synthetic), ("training", training), ("holdout", holdout))
    }
    return {
        "synthetic": wasserstein(spread["synthetic"], spread["holdout"]),
        "real": wasserstein(spread["training"], spread["holdout"]),
    }


def by_lesion(slices: SliceSet, reference: SliceSet) -> dict[str, np.ndarray]:
    """Subgroups by lesion size, {name: bool [N]}: none, and thirds of the reference's lesions; {} without labels."""
    if slices.labels is None:
        return {}
    size, known = (
        np.concatenate([(s.labels[span] > 0).mean((1, 2)) for span in spans(len(s), length(s.labels))])
        for s in (slices, reference)
    )
    low, high = np.quantile(known[known > 0], [1 / 3, 2 / 3]) if (known > 0).any() else (np.inf, np.inf)
    return {
        "no lesion": size == 0,
        "small lesion": (size > 0) & (size <= low),
        "middle lesion": (size > low) & (size <= high),
        "large lesion": size > high,
    }


def subgroups(synthetic: SliceSet, training: SliceSet, holdout: SliceSet, covered: np.ndarray) -> dict[str, dict]:
    """Per group: its share of held-out and of synthetic slices, and which share of its held-out slices is covered.

    covered  bool, one per held-out slice: whether a synthetic slice lies in its neighbourhood
    Groups are by lesion size and by the slice's level in its volume (thirds), which a drawn slice does not know: None.
    NaN where the holdout has nobody of a group.
    """
    real, drawn = by_lesion(holdout, training), by_lesion(synthetic, training)
    low, high = np.quantile(holdout.levels, [1 / 3, 2 / 3])
    real["low slices"] = holdout.levels <= low
    real["middle slices"] = (holdout.levels > low) & (holdout.levels <= high)
    real["high slices"] = holdout.levels > high
    return {
        name: {
            "share of real slices": float(group.mean()),
            "share of drawn slices": float(drawn[name].mean()) if name in drawn else None,
            "covered": float(covered[group].mean()) if group.any() else float("nan"),
        }
        for name, group in real.items()
    }
