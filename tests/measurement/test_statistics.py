from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from policypress.measurement import statistics
from policypress.measurement.statistics import (
    Interval,
    Missing,
    lu_90_percent_rule,
    mean_return,
    percentile_interval,
    retention,
    return_ratio,
    standard_error,
    t_quantile,
    t_tails,
)
from policypress_runtime.contract import Quantity

RNG = np.random.default_rng(7)
GOOD = RNG.normal(9400, 80, 30).tolist()
LESS = RNG.normal(8500, 300, 30).tolist()
FLOOR = RNG.normal(-280, 80, 30).tolist()


def test_worked_examples() -> None:
    assert return_ratio([100.0, 100.0], [90.0, 90.0]) == Interval(0.9, 0.9, 0.9, 0.95, "exact: no variance")
    kept = retention([-100.0, -100.0], [-190.0, -190.0], [-1000.0, -1000.0])
    assert isinstance(kept, Interval)
    assert kept.estimate == pytest.approx(0.9)
    found = mean_return([1.0, 3.0, 2.0])
    assert isinstance(found, Quantity)
    assert (found.mean, found.count) == (2.0, 3)
    assert (found.lower, found.upper) == pytest.approx((-0.4841377, 4.4841377))


@pytest.mark.parametrize("probability", [0.05, 0.6, 0.975, 0.9995])
@pytest.mark.parametrize("degrees", [1.0, 2.0, 3.0, 4.0, 7.0, 30.0, 501.0, 20_000.0, 200_000.0])
def test_t_quantile_equals_scipy(probability: float, degrees: float) -> None:
    tolerance = 1e-4 if degrees > 100_000 else 1e-8
    assert t_quantile(probability, degrees) == pytest.approx(scipy.stats.t.ppf(probability, degrees), rel=tolerance)


@pytest.mark.parametrize("t", [-3.0, 0.0, 0.5, 2.0, 7.0])
@pytest.mark.parametrize("degrees", [1.0, 2.0, 3.0, 10.0, 36.0, 500.0])
def test_p_values_of_t_equal_scipy(t: float, degrees: float) -> None:
    assert t_tails(t, degrees) == pytest.approx(2 * scipy.stats.t.sf(abs(t), degrees), abs=1e-12)


def test_mean_return_equals_scipy() -> None:
    found = mean_return(GOOD, confidence=0.9)
    assert isinstance(found, Quantity)
    expected = scipy.stats.ttest_1samp(GOOD, 0).confidence_interval(0.9)
    assert (found.lower, found.upper) == pytest.approx((expected.low, expected.high))
    assert standard_error(GOOD) == pytest.approx(scipy.stats.sem(GOOD))


def test_percentiles_equal_scipy() -> None:
    """Skewed samples of different sizes; without the expansion for small samples, which only widens."""
    base, other = np.random.default_rng(0).gamma(2, 50, 80), np.random.default_rng(1).gamma(2, 45, 60)

    def ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return b / a

    reference = scipy.stats.bootstrap(
        (base, other),
        lambda a, b, axis: ratio(a.mean(axis), b.mean(axis)),
        n_resamples=9999,
        method="percentile",
        rng=np.random.default_rng(2),
        vectorized=True,
    )
    estimate = float(other.mean() / base.mean())
    replicates = reference.bootstrap_distribution
    ours = percentile_interval([base, other], ratio, replicates, estimate, 0.95, expanded=False)
    assert ours.lower == pytest.approx(reference.confidence_interval.low)
    assert ours.upper == pytest.approx(reference.confidence_interval.high)
    whole = return_ratio(base.tolist(), other.tolist())
    assert isinstance(whole, Interval)
    assert whole.upper - whole.lower == pytest.approx(ours.upper - ours.lower, rel=0.06)
    assert whole.upper - whole.lower > ours.upper - ours.lower


@pytest.mark.parametrize("count", [10, 30])
def test_intervals_cover_the_truth(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At nominal 95 %, with 300 experiments: 0.91 is three standard errors below."""
    monkeypatch.setattr(statistics, "RESAMPLES", 999)
    rng = np.random.default_rng(count)
    covered = {"ratio": 0, "retention": 0}
    for trial in range(300):
        base, other = rng.gamma(4, 25, count), rng.normal(90, 15, count)
        floor = rng.normal(-50, 20, count)
        found = return_ratio(base.tolist(), other.tolist(), seed=trial)
        kept = retention(base.tolist(), other.tolist(), floor.tolist(), seed=trial)
        assert isinstance(found, Interval)
        assert isinstance(kept, Interval)
        covered["ratio"] += found.lower <= 0.9 <= found.upper
        covered["retention"] += kept.lower <= 140 / 150 <= kept.upper
    assert min(covered.values()) >= 0.91 * 300


def test_results_repeat_and_order_does_not_matter_for_the_estimate() -> None:
    first, again = return_ratio(GOOD, LESS, seed=3), return_ratio(GOOD, LESS, seed=3)
    assert first == again
    assert first != return_ratio(GOOD, LESS, seed=4)
    assert isinstance(first, Interval)
    assert first.estimate == pytest.approx(np.mean(LESS) / np.mean(GOOD))
    assert first.lower < first.estimate < first.upper


def test_the_baselines_own_uncertainty_is_included() -> None:
    sharp = return_ratio([9400.0] * 30, LESS)
    wide = return_ratio(RNG.normal(9400, 2000, 30).tolist(), LESS)
    assert isinstance(sharp, Interval)
    assert isinstance(wide, Interval)
    assert wide.upper - wide.lower > 2 * (sharp.upper - sharp.lower)


@pytest.mark.parametrize("baseline", [[-100.0, -120.0, -90.0], [0.0, 0.0], [-50.0, 60.0, -40.0, 45.0]])
def test_a_ratio_of_returns_that_are_not_positive_is_absent(baseline: list[float]) -> None:
    found = return_ratio(baseline, [-50.0, -60.0])
    assert isinstance(found, Missing)
    assert "positive" in found.reason
    assert isinstance(lu_90_percent_rule([-100.0, -120.0], [-50.0]), Missing)


def test_retention_is_defined_for_negative_returns_and_absent_without_learning() -> None:
    pendulum = retention([-150.0, -140.0, -160.0], [-170.0, -150.0, -160.0], [-1200.0, -1300.0, -1100.0])
    assert isinstance(pendulum, Interval)
    assert 0.95 < pendulum.estimate < 1
    unlearned = retention(FLOOR, LESS, FLOOR)
    assert isinstance(unlearned, Missing)
    assert "nothing that could be kept" in unlearned.reason


@pytest.mark.parametrize("bad", [[], [1.0], [1.0, float("nan")], [1.0, float("inf")]])
def test_samples_that_say_nothing_are_named(bad: list[float]) -> None:
    for found in (return_ratio(GOOD, bad), retention(GOOD, bad, FLOOR), mean_return(bad)):
        assert isinstance(found, Missing)
    reason = return_ratio(GOOD, bad)
    assert isinstance(reason, Missing)
    assert "variant" in reason.reason


def test_a_constant_variant_of_a_varying_baseline_has_an_interval() -> None:
    found = return_ratio(GOOD, [9400.0, 9400.0])
    assert isinstance(found, Interval)
    assert found.lower < found.estimate < found.upper


def test_the_rule_of_lu() -> None:
    assert lu_90_percent_rule([100.0], [90.0]) is True
    assert lu_90_percent_rule([100.0], [89.9]) is False


@given(st.floats(0.5, 3.0), st.integers(0, 20))
def test_the_ratio_scales_with_the_variant(scale: float, seed: int) -> None:
    one, scaled = return_ratio(GOOD, LESS, seed=seed), return_ratio(GOOD, [scale * x for x in LESS], seed=seed)
    assert isinstance(one, Interval)
    assert isinstance(scaled, Interval)
    assert (scaled.estimate, scaled.lower, scaled.upper) == pytest.approx(
        (scale * one.estimate, scale * one.lower, scale * one.upper), rel=1e-6
    )
