"""Uncertainty: bootstrap over subjects, paired tests with Holm's correction, binomial intervals.

The subject is the unit everywhere: slices of one person are not independent, so average or stack them first.
NaN means "no value for this subject" (both masks empty): it is left out and counted, never read as 0.
"""

from __future__ import annotations

import numpy as np
from scipy import stats


def _resampled_means(values: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Means of `resamples` draws with replacement along the last axis of [..., S]: [..., resamples]."""
    draws = np.random.default_rng(seed).integers(0, values.shape[-1], (resamples, values.shape[-1]))
    return values[..., draws].mean(-1)


def _interval(samples: np.ndarray) -> list[float]:
    return [float(x) for x in np.percentile(samples, [2.5, 97.5])]


def _complete(*arrays) -> tuple[list[np.ndarray], int]:
    """The arrays [S] without the subjects where any is NaN, and how many were left out.

    Raises ValueError for arrays of different length, infinite values, or fewer than two subjects.
    """
    arrays = [np.asarray(a, dtype=float) for a in arrays]
    if any(a.ndim != 1 or len(a) != len(arrays[0]) for a in arrays):
        raise ValueError(f"arrays of shape {[a.shape for a in arrays]} are not paired; give one value per subject.")
    # An infinite distance marks a missed structure: leaving it out would reward the miss.
    if any(np.isinf(a).any() for a in arrays):
        raise ValueError("a value is infinite; give a missed structure a finite penalty, or NaN to leave it out.")
    keep = ~np.any([np.isnan(a) for a in arrays], axis=0)
    if keep.sum() < 2:
        raise ValueError(f"{keep.sum()} subject(s) with a value; an interval over subjects needs at least two.")
    return [a[keep] for a in arrays], int((~keep).sum())


def per_subject(values, subjects) -> np.ndarray:
    """Means [S, ...] of the values [N, ...] of each subject in `subjects` [N], in order of first appearance."""
    values, subjects = np.asarray(values), np.asarray(subjects)
    return np.array([values[subjects == name].mean(axis=0) for name in dict.fromkeys(subjects)])


def bootstrap_mean(values, seed: int, resamples: int = 2000) -> dict:
    """Mean over subjects [S] with its 95 % percentile bootstrap interval (Efron & Tibshirani 1993).

    Returns {"mean", "ci95": [low, high], "n", "left_out"}. The percentile interval of a MEAN holds its level
    from about 50 subjects and is a little short below; that of a median may fail badly, so there is none here.
    """
    (kept,), left_out = _complete(values)
    return {
        "mean": float(kept.mean()),
        "ci95": _interval(_resampled_means(kept, seed, resamples)),
        "n": len(kept),
        "left_out": left_out,
    }


def paired_ratio(numerator, denominator, seed: int, resamples: int = 2000) -> dict:
    """mean(numerator) / mean(denominator) over the same subjects [S]; each resample draws once for both.

    Returns bootstrap_mean's keys and "undefined_resamples": those in which the denominator's mean is 0 (few
    subjects, or an arm that found nothing); they cannot enter the interval. ValueError for a zero denominator.
    """
    (top, bottom), left_out = _complete(numerator, denominator)
    if bottom.mean() == 0:
        raise ValueError("the denominator's mean is 0, so there is no ratio; look at the arm it stems from.")
    over, under = _resampled_means(np.stack([top, bottom]), seed, resamples)
    defined = under != 0
    return {
        "mean": float(top.mean() / bottom.mean()),
        "ci95": _interval(over[defined] / under[defined]),
        "n": len(top),
        "left_out": left_out,
        "undefined_resamples": int((~defined).sum()),
    }


def paired_difference(first, second, seed: int, resamples: int = 2000) -> dict:
    """Mean of first - second over the same subjects [S] with its bootstrap interval; keys as bootstrap_mean."""
    (a, b), left_out = _complete(first, second)
    return {**bootstrap_mean(a - b, seed, resamples), "left_out": left_out}


def wilcoxon_holm(pairs: dict[str, tuple]) -> dict[str, dict]:
    """Two-sided Wilcoxon (1945) signed-rank test of each pair of arrays [S], Holm's (1979) correction beside it.

    Holm: sort the m p values p_(1) <= ... <= p_(m); p_(k) becomes max over j <= k of min(1, (m - j + 1) p_(j)),
    which keeps the chance of any false claim among the m below the level. Returns {name: {"p", "p_holm", "n"}}.
    """
    raw = {}
    for name, (first, second) in pairs.items():
        (a, b), _ = _complete(first, second)
        # scipy's test is undefined when no pair differs; identical arms are no evidence of a difference.
        raw[name] = (float(stats.wilcoxon(a, b).pvalue) if np.any(a != b) else 1.0, len(a))
    out, floor = {}, 0.0
    for rank, (name, (p, n)) in enumerate(sorted(raw.items(), key=lambda item: item[1][0])):
        floor = max(floor, min(1.0, (len(raw) - rank) * p))
        out[name] = {"p": p, "p_holm": floor, "n": n}
    return {name: out[name] for name in pairs}


def binomial_interval(successes: int, n: int) -> list[float]:
    """Clopper & Pearson's (1934) exact 95 % interval of a share, as two numbers in [0, 1].

    The limits are beta quantiles: B(0.025; x, n - x + 1) and B(0.975; x + 1, n - x). It never covers less than
    95 %, also for the rare events counted here, where the normal and Wilson intervals may.
    """
    if n == 0 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is not a share; count again.")
    result = stats.binomtest(int(successes), int(n)).proportion_ci(0.95, method="exact")
    return [float(result.low), float(result.high)]


def spearman_interval(first, second) -> dict:
    """Spearman's rank correlation of two arrays [N] with its 95 % interval by Fisher's z: {"rho", "ci95", "n"}.

    The variance of z is (1 + rho^2 / 2) / (n - 3) (Bonett & Wright 2000). ValueError for fewer than four pairs.
    """
    (a, b), _ = _complete(first, second)
    if len(a) < 4:
        raise ValueError(f"{len(a)} pairs; an interval of a rank correlation needs at least four.")
    rho = float(stats.spearmanr(a, b).statistic)
    half = 1.96 * np.sqrt((1 + rho**2 / 2) / (len(a) - 3))
    z = np.arctanh(np.clip(rho, -0.999999, 0.999999))
    return {"rho": rho, "ci95": [float(np.tanh(z - half)), float(np.tanh(z + half))], "n": len(a)}
