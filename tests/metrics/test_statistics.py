"""Intervals and tests against closed forms, scipy and simulation."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from medsynth_lib.metrics.statistics import (
    binomial_interval,
    bootstrap_mean,
    paired_difference,
    paired_ratio,
    per_subject,
    spearman_interval,
    wilcoxon_holm,
)


def test_bootstrap_interval_agrees_with_the_normal_one_and_with_scipy():
    values = np.random.default_rng(0).normal(3, 2, 200)
    ours = bootstrap_mean(values, seed=1)
    half = 1.96 * values.std(ddof=1) / np.sqrt(200)
    assert ours["mean"] == pytest.approx(values.mean())
    assert ours["ci95"] == pytest.approx([values.mean() - half, values.mean() + half], abs=0.05)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", rng=2).confidence_interval
    assert ours["ci95"] == pytest.approx([theirs.low, theirs.high], abs=0.05)


def test_bootstrap_holds_its_level():
    """Of 200 intervals for a known mean about 95 % must hold it."""
    rng = np.random.default_rng(3)
    hits = 0
    for k in range(200):
        low, high = bootstrap_mean(rng.exponential(1.0, 60), seed=k, resamples=400)["ci95"]
        hits += low <= 1.0 <= high
    assert 178 <= hits <= 198


def test_nan_subjects_are_left_out_and_counted():
    result = bootstrap_mean([1.0, np.nan, 3.0], seed=0)
    assert (result["mean"], result["n"], result["left_out"]) == (2.0, 2, 1)
    with pytest.raises(ValueError, match="needs at least two"):
        bootstrap_mean([1.0, np.nan], seed=0)


def test_paired_ratio_of_proportional_arms_has_no_width():
    """If one arm is 0.8 times the other for every subject, drawing subjects in pairs leaves no uncertainty."""
    real = np.random.default_rng(0).uniform(0.2, 1, 30)
    result = paired_ratio(0.8 * real, real, seed=0)
    assert result["mean"] == pytest.approx(0.8) and result["ci95"] == pytest.approx([0.8, 0.8])
    with pytest.raises(ValueError, match="denominator"):
        paired_ratio(real, np.zeros(30), seed=0)


def test_paired_difference_uses_common_subjects():
    result = paired_difference([1.0, 2.0, np.nan, 4.0], [0.5, 1.5, 1.0, np.nan], seed=0)
    assert result["mean"] == pytest.approx(0.5) and result["n"] == 2


def test_holm_against_a_hand_example(monkeypatch):
    from medsynth_lib.metrics import statistics

    p = iter([0.01, 0.04, 0.03])
    monkeypatch.setattr(statistics.stats, "wilcoxon", lambda a, b: type("R", (), {"pvalue": next(p)}))
    pairs = {name: ([1.0, 2.0], [0.0, 0.0]) for name in "abc"}
    adjusted = {name: r["p_holm"] for name, r in wilcoxon_holm(pairs).items()}
    assert adjusted == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})


def test_holm_agrees_with_statsmodels():
    rng = np.random.default_rng(5)
    pairs = {f"arm{k}": (rng.normal(0.15 * k, 1, 30), rng.normal(0, 1, 30)) for k in range(8)}
    found = wilcoxon_holm(pairs)
    raw = [found[name]["p"] for name in pairs]
    assert 0 < min(raw) < 0.01 < 0.3 < max(raw), "some arms differ and some do not"
    theirs = multipletests(raw, method="holm")[1]
    assert [found[name]["p_holm"] for name in pairs] == pytest.approx(theirs.tolist())


def test_binomial_interval_is_clopper_pearson():
    low, high = binomial_interval(3, 50)
    assert low == pytest.approx(stats.beta.ppf(0.025, 3, 48)) and high == pytest.approx(stats.beta.ppf(0.975, 4, 47))
    assert binomial_interval(0, 10)[0] == 0
    with pytest.raises(ValueError, match="not a proportion"):
        binomial_interval(5, 3)


def test_pairs_count_the_subjects_left_out():
    first, second = np.array([1, 2, np.nan, 4.0]), np.array([1, np.nan, 3, 2.0])
    for result in (paired_ratio(first, second, 0), paired_difference(first, second, 0)):
        assert (result["n"], result["left_out"]) == (2, 2)


def test_pairing_removes_what_both_arms_share():
    rng = np.random.default_rng(2)
    difficulty = rng.uniform(0.3, 0.9, 50)  # differs much more between subjects than the arms do
    low, high = paired_ratio(0.9 * difficulty + rng.normal(0, 0.005, 50), difficulty, 0)["ci95"]
    assert low < 0.9 < high and high - low < 0.01


def test_a_ratio_counts_resamples_without_a_denominator():
    ratio = paired_ratio([0.1, 0.2, 0.3], [0, 0, 0.5], 0, resamples=1000)
    assert 230 < ratio["undefined_resamples"] < 360  # (2/3)^3 = 0.30
    assert np.isfinite(ratio["ci95"]).all()


def test_an_infinite_value_is_refused_because_leaving_it_out_would_reward_a_miss():
    with pytest.raises(ValueError, match="infinite"):
        bootstrap_mean([1.0, 2.0, np.inf], 0)
    with pytest.raises(ValueError, match="not paired"):
        paired_difference([1.0, 2.0], [1.0, 2.0, 3.0], 0)


def test_wilcoxon_by_hand_and_identical_arms():
    first = np.arange(1.0, 7)
    out = wilcoxon_holm({"better": (first, np.zeros(6)), "same": (first, first)})
    assert out["better"] == {"p": 2 / 2**6, "p_holm": 4 / 2**6, "n": 6}  # all six signs alike, exact
    assert out["same"]["p"] == 1.0


@pytest.mark.parametrize("successes, n", [(0, 20), (3, 200), (20, 20)])
def test_the_binomial_interval_solves_its_defining_equations(successes, n):
    low, high = binomial_interval(successes, n)
    assert low == 0 if successes == 0 else np.isclose(stats.binom.sf(successes - 1, n, low), 0.025)
    assert high == 1 if successes == n else np.isclose(stats.binom.cdf(successes, n, high), 0.025)


def test_each_subject_counts_once_in_order_of_appearance():
    assert per_subject([1.0, 5.0, 3.0], ["b", "a", "b"]).tolist() == [2.0, 5.0]
    assert per_subject(np.arange(6.0).reshape(3, 2), ["a", "a", "b"]).tolist() == [[1.0, 2.0], [4.0, 5.0]]


def test_spearman_with_an_interval_that_covers():
    """Of 300 pairs of ten correlated normals, about 95 % of the intervals hold the rank correlation of the law."""
    rng, rho = np.random.default_rng(0), 0.6
    truth = 6 / np.pi * np.arcsin(rho / 2)
    hits = 0
    for _ in range(300):
        a = rng.normal(0, 1, 10)
        found = spearman_interval(a, rho * a + np.sqrt(1 - rho**2) * rng.normal(0, 1, 10))
        hits += found["ci95"][0] < truth < found["ci95"][1]
    assert 270 <= hits <= 297
    assert spearman_interval(range(6), range(6))["rho"] == pytest.approx(1)
    with pytest.raises(ValueError, match="at least four"):
        spearman_interval([1, 2, 3], [1, 2, 3])
