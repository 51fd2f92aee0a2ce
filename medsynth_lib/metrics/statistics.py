"""Uncertainty: bootstrap over subjects, paired tests with Holm's correction, binomial intervals.

The unit is the subject: slices of one subject are not independent, so combine them into one value first. NaN means "no
value for this subject" (no true mask): such subjects are left out and counted, never taken as 0.

The bootstrap is not scipy.stats.bootstrap, because it counts NaN subjects and resamples without a denominator.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


def _resampled_means(values: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Means of `resamples` bootstrap samples of the last axis of [..., S]: [..., resamples]."""
    rows = np.random.default_rng(seed).integers(0, values.shape[-1], (resamples, values.shape[-1]))
    return values[..., rows].mean(-1)


def _interval(samples: np.ndarray) -> list[float]:
    """The 2.5th and 97.5th percentile of bootstrap samples [resamples]."""
    return [float(x) for x in np.percentile(samples, [2.5, 97.5])]


def _complete(*arrays: ArrayLike) -> tuple[list[np.ndarray], int]:
    """The arrays [S] without the subjects for which any is NaN, and the number of these subjects.

    Raises ValueError for arrays of different length, infinite values, or fewer than two subjects.
    """
    arrays = [np.asarray(a, dtype=float) for a in arrays]
    if any(a.ndim != 1 or len(a) != len(arrays[0]) for a in arrays):
        raise ValueError(f"arrays of shape {[a.shape for a in arrays]} are not paired; give one value per subject.")
    # An infinite distance stands for a missed structure; leaving it out would improve the mean.
    if any(np.isinf(a).any() for a in arrays):
        raise ValueError("a value is infinite; give a missed structure a finite penalty, or NaN to leave it out.")
    keep = ~np.any([np.isnan(a) for a in arrays], axis=0)
    if keep.sum() < 2:
        raise ValueError(f"{keep.sum()} subject(s) with a value; an interval over subjects needs at least two.")
    return [a[keep] for a in arrays], int((~keep).sum())


def per_subject(values: ArrayLike, subjects: ArrayLike) -> np.ndarray:
    """Mean of the values [N, ...] of each subject in `subjects` [N]: [S, ...], in order of first appearance."""
    values, subjects = np.asarray(values), np.asarray(subjects)
    return np.array([values[subjects == name].mean(axis=0) for name in dict.fromkeys(subjects)])


def bootstrap_mean(values: ArrayLike, seed: int, resamples: int = 2000) -> dict:
    """Mean over subjects [S] with its 95 % percentile bootstrap interval (Efron & Tibshirani 1993).

    Returns {"mean", "ci95": [low, high], "n", "left_out"}. The percentile interval of a MEAN has about 95 % coverage
    from about 50 subjects on and slightly less with fewer; that of a median may be far off, so there is none here.
    """
    (kept,), left_out = _complete(values)
    return {
        "mean": float(kept.mean()),
        "ci95": _interval(_resampled_means(kept, seed, resamples)),
        "n": len(kept),
        "left_out": left_out,
    }


def paired_ratio(numerator: ArrayLike, denominator: ArrayLike, seed: int, resamples: int = 2000) -> dict:
    """mean(numerator) / mean(denominator) over the same subjects [S], with the interval of `bootstrap_mean`.

    Each resample uses the same subjects for both. Returns the keys of `bootstrap_mean` and "undefined_resamples", the
    number of resamples in which the denominator's mean is 0 and which the interval leaves out. ValueError when the
    denominator's mean is 0.
    """
    (top, bottom), left_out = _complete(numerator, denominator)
    if bottom.mean() == 0:
        raise ValueError("the denominator's mean is 0, so there is no ratio; check the results it comes from.")
    over, under = _resampled_means(np.stack([top, bottom]), seed, resamples)
    defined = under != 0
    return {
        "mean": float(top.mean() / bottom.mean()),
        "ci95": _interval(over[defined] / under[defined]),
        "n": len(top),
        "left_out": left_out,
        "undefined_resamples": int((~defined).sum()),
    }


def paired_difference(first: ArrayLike, second: ArrayLike, seed: int, resamples: int = 2000) -> dict:
    """Mean of first - second over the same subjects [S], with the interval and the keys of `bootstrap_mean`."""
    (a, b), left_out = _complete(first, second)
    return {**bootstrap_mean(a - b, seed, resamples), "left_out": left_out}


def wilcoxon_holm(pairs: dict[str, tuple[ArrayLike, ArrayLike]]) -> dict[str, dict]:
    """Two-sided Wilcoxon (1945) signed-rank test of each pair of arrays [S], also with Holm's (1979) correction.

    Holm: with sorted p values p_(1) <= ... <= p_(m), p_(k) becomes max over j <= k of min(1, (m - j + 1) p_(j)), which
    controls the probability of any false positive among the m tests. Returns {name: {"p", "p_holm", "n"}}.
    """
    raw = {}
    for name, (first, second) in pairs.items():
        (a, b), _ = _complete(first, second)
        # scipy's test is undefined when no pair differs, which is no evidence of a difference.
        raw[name] = (float(stats.wilcoxon(a, b).pvalue) if np.any(a != b) else 1.0, len(a))
    # As multipletests(method="holm") of statsmodels, which is a dependency of the tests only.
    out, adjusted = {}, 0.0
    for rank, (name, (p, n)) in enumerate(sorted(raw.items(), key=lambda item: item[1][0])):
        adjusted = max(adjusted, min(1.0, (len(raw) - rank) * p))
        out[name] = {"p": p, "p_holm": adjusted, "n": n}
    return {name: out[name] for name in pairs}


def binomial_interval(successes: int, n: int) -> list[float]:
    """Clopper & Pearson's (1934) exact 95 % interval of a proportion, as two numbers in [0, 1].

    The limits are beta quantiles: B(0.025; x, n - x + 1) and B(0.975; x + 1, n - x). Its coverage is at least 95 %,
    even for rare events, for which normal and Wilson intervals may have less.
    """
    if n == 0 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is not a proportion; check the counts.")
    result = stats.binomtest(int(successes), int(n)).proportion_ci(0.95, method="exact")
    return [float(result.low), float(result.high)]


def spearman_interval(first: ArrayLike, second: ArrayLike) -> dict:
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
