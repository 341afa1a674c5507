"""Intervals over training seeds: against a bootstrap that really resamples, Student's t, and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from policypress.measurement.seed_statistics import (
    Interaction,
    Shares,
    interaction,
    lower_bound_over_seeds,
    mean_over_seeds,
    share_over_seeds,
)
from policypress.measurement.statistics import Interval, Missing

SEEDS = [[10.0, 12.0, 11.0, 15.0], [20.0, 18.0, 19.0, 25.0], [14.0, 13.0, 16.0, 9.0], [17.0, 11.0, 12.0, 14.0]]


def interval_of(value: Interval | Missing) -> Interval:
    assert isinstance(value, Interval)
    return value


def test_without_noise_of_episodes_it_is_students_interval() -> None:
    found = interval_of(mean_over_seeds([[3.0], [4.0], [8.0]]))
    expected = scipy.stats.ttest_1samp([3.0, 4.0, 8.0], 0).confidence_interval(0.95)
    assert (found.lower, found.upper) == pytest.approx((expected.low, expected.high))
    assert lower_bound_over_seeds([[3.0], [4.0], [8.0]]) == pytest.approx(
        scipy.stats.ttest_1samp([3.0, 4.0, 8.0], 0, alternative="greater").confidence_interval(0.95).low
    )


def test_the_variance_is_that_of_resampled_seeds_and_episodes() -> None:
    rng = np.random.default_rng(0)
    values = np.array(SEEDS)
    n, episodes = values.shape
    chosen = rng.integers(n, size=(200_000, n))
    drawn = values[chosen[..., None], rng.integers(episodes, size=(200_000, n, episodes))]
    # Resampling n seeds makes their variance too small by (n - 1) / n; the rest is the same.
    means = values.mean(axis=1)
    missing = means.var(ddof=1) / n - means.var() / n
    found = interval_of(mean_over_seeds(SEEDS))
    half = (found.upper - found.lower) / 2
    variance = (half / scipy.stats.t.ppf(0.975, n - 1)) ** 2
    assert variance == pytest.approx(drawn.mean(axis=(1, 2)).var() + missing, rel=0.02)


def test_a_share_of_paired_seeds_is_sharper_than_of_independent_ones() -> None:
    less = [[0.9 * value for value in seed] for seed in SEEDS]
    paired = interval_of(share_over_seeds(less, SEEDS, paired=True))
    apart = interval_of(share_over_seeds(less, SEEDS, paired=False))
    assert paired.estimate == pytest.approx(0.9)
    assert apart.estimate == pytest.approx(0.9)
    assert paired.upper - paired.lower < apart.upper - apart.lower


def test_random_actions_are_subtracted() -> None:
    found = interval_of(share_over_seeds([[-190.0], [-190.0]], [[-100.0], [-100.0]], (-1000.0, -1000.0), paired=True))
    assert (found.estimate, found.lower, found.upper) == pytest.approx((0.9, 0.9, 0.9))


def test_seeds_that_differ_are_no_doubt_about_the_sign() -> None:
    found = interval_of(share_over_seeds([[4700.0], [890.0]], [[4800.0], [900.0]], paired=True))
    assert found.estimate == pytest.approx(5590 / 5700)


@pytest.mark.parametrize(
    ("numerators", "denominators"),
    [
        ([[1.0]], [[1.0]]),
        ([[1.0], []], [[1.0], [2.0]]),
        ([[1.0], [float("nan")]], [[1.0], [2.0]]),
        ([[1.0], [2.0]], [[-1.0], [1.0]]),
        ([[1.0], [2.0]], [[1.0], [2.0], [3.0]]),
    ],
    ids=["one seed", "no episodes", "not finite", "baseline near zero", "not pairs"],
)
def test_what_cannot_be_said_has_a_reason(numerators: list[list[float]], denominators: list[list[float]]) -> None:
    assert isinstance(share_over_seeds(numerators, denominators, paired=True), Missing)


@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_the_interval_covers_the_share_that_is_true(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    inside, trials = 0, 300
    for _ in range(trials):
        ability = rng.normal(100.0, 15.0, seeds)
        base = [rng.normal(level, 10.0, 20).tolist() for level in ability]
        variant = [rng.normal(0.9 * level, 10.0, 20).tolist() for level in ability]
        found = share_over_seeds(variant, base, paired=True)
        # With two seeds the baseline is now and then not clearly positive: nothing is said then.
        inside += isinstance(found, Missing) or found.lower <= 0.9 <= found.upper
    assert inside / trials > 0.93


@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5), min_size=2, max_size=6), st.floats(0.1, 10))
def test_scaling_scales(groups: list[list[float]], factor: float) -> None:
    one = interval_of(mean_over_seeds(groups))
    other = interval_of(mean_over_seeds([[factor * value for value in group] for group in groups]))
    assert (other.lower, other.upper) == pytest.approx((factor * one.lower, factor * one.upper), rel=1e-6, abs=1e-3)
    assert one.lower <= one.estimate <= one.upper


def test_an_interaction_is_welch_s_test_of_two_shares() -> None:
    """With denominators that do not vary the shares are means, and Welch's test of those is known."""
    ones = [[1.0], [1.0], [1.0]]
    first, second = [[0.5], [0.7], [0.9]], [[1.1], [1.0], [1.5], [1.2]]
    found = interaction(Shares(first, ones), Shares(second, [*ones, [1.0]]))
    assert isinstance(found, Interaction)
    means = [[value for (value,) in groups] for groups in (second, first)]
    expected = scipy.stats.ttest_ind(*means, equal_var=False)
    degrees = int(expected.df)  # rounded down: the wider interval
    assert found.p == pytest.approx(2 * scipy.stats.t.sf(abs(expected.statistic), degrees))
    assert found.difference.estimate == pytest.approx(np.mean(means[0]) - np.mean(means[1]))
    assert (found.difference.lower > 0) == (found.p < 0.05)


def test_intervals_that_overlap_may_differ_all_the_same() -> None:
    ones = [[1.0]] * 8
    spread = np.linspace(-0.3, 0.3, 8)
    samples = [Shares([[middle + value] for value in spread], ones) for middle in (0.8, 1.08)]
    lower, upper = (interval_of(share_over_seeds(s.numerators, s.denominators, paired=False)) for s in samples)
    assert lower.upper > upper.lower
    found = interaction(*samples)
    assert isinstance(found, Interaction)
    assert found.p < 0.05


def test_no_interaction_is_said_of_a_share_that_is_undefined() -> None:
    good = Shares([[1.0], [2.0], [3.0]], [[1.0], [2.0], [3.0]])
    assert isinstance(interaction(good, Shares([[1.0], [2.0]], [[-1.0], [1.0]])), Missing)
    assert isinstance(interaction(Shares([[1.0]], [[1.0]]), good), Missing)
    same = Shares([[1.0], [1.0]], [[1.0], [1.0]])
    found = interaction(same, same)
    assert isinstance(found, Interaction)
    assert found.p == 1.0
