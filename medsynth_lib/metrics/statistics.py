"""Uncertainty: bootstrap over subjects, paired tests with Holm's correction, binomial intervals."""

from __future__ import annotations

import numpy as np
from scipy import stats


def _resampled_means(values: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Means of `resamples` draws with replacement along the last axis of [..., S]: [..., resamples]."""
    draws = np.random.default_rng(seed).integers(0, values.shape[-1], (resamples, values.shape[-1]))
    return values[..., draws].mean(-1)


def _interval(samples: np.ndarray) -> list[float]:
    return [float(x) for x in np.percentile(samples, [2.5, 97.5])]


def _finite(*arrays) -> list[np.ndarray]:
    """The arrays [S] without the subjects where any of them is NaN; ValueError when fewer than two are left."""
    arrays = np.broadcast_arrays(*[np.asarray(a, float) for a in arrays])
    keep = np.all([np.isfinite(a) for a in arrays], axis=0)
    if keep.sum() < 2:
        raise ValueError(f"{int(keep.sum())} subject(s) with a value; an interval over subjects needs at least two.")
    return [a[keep] for a in arrays]


def bootstrap_mean(values, seed: int, resamples: int = 2000) -> dict:
    """Mean over subjects [S] with its percentile bootstrap interval (Efron & Tibshirani 1993); NaN left out, counted.

    The percentile interval of a mean holds its level from about 50 cases; with fewer it is a little too short.
    """
    (kept,) = _finite(values)
    return {
        "mean": float(kept.mean()),
        "ci95": _interval(_resampled_means(kept, seed, resamples)),
        "n": len(kept),
        "left_out": len(np.asarray(values)) - len(kept),
    }


def paired_ratio(numerator, denominator, seed: int, resamples: int = 2000) -> dict:
    """Ratio of the two means over the same subjects; each resample draws subjects once for both."""
    top, bottom = _finite(numerator, denominator)
    if bottom.mean() == 0:
        raise ValueError("the denominator's mean is 0, so there is no ratio; look at the arm it stems from.")
    means = _resampled_means(np.stack([top, bottom]), seed, resamples)
    with np.errstate(divide="ignore"):
        return {
            "mean": float(top.mean() / bottom.mean()),
            "ci95": _interval(means[0] / means[1]),
            "n": len(top),
        }


def paired_difference(first, second, seed: int, resamples: int = 2000) -> dict:
    """Mean of first - second over the same subjects with its bootstrap interval."""
    a, b = _finite(first, second)
    return bootstrap_mean(a - b, seed, resamples)


def wilcoxon_holm(pairs: dict[str, tuple]) -> dict[str, dict]:
    """Wilcoxon signed-rank p value of each pair of arrays [S], and the same after Holm's step-down correction.

    Holm (1979): sort the m p values; the k-th smallest is multiplied by m - k + 1, and none falls below the one before.
    """
    raw = {}
    for name, (first, second) in pairs.items():
        a, b = _finite(first, second)
        raw[name] = float(stats.wilcoxon(a, b).pvalue) if np.any(a != b) else 1.0
    out, floor = {}, 0.0
    for rank, (name, p) in enumerate(sorted(raw.items(), key=lambda item: item[1])):
        floor = max(floor, min(1.0, (len(raw) - rank) * p))
        out[name] = {"p": p, "p_holm": floor}
    return {name: out[name] for name in pairs}


def binomial_interval(successes: int, n: int) -> list[float]:
    """Clopper & Pearson's (1934) exact 95 % interval of a share, as two numbers in [0, 1]."""
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} of {n} is not a share; count again.")
    result = stats.binomtest(successes, n).proportion_ci(0.95, method="exact")
    return [float(result.low), float(result.high)]
