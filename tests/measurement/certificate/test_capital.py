"""Bets on means: fair games under the null, whatever depends on what, and in whatever order episodes come."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policypress.measurement.certificate.capital import (
    INDEPENDENT,
    STAKES,
    Seeds,
    evidence,
    log_capital,
    running_capital,
    running_evidence,
)
from policypress.measurement.certificate.limits import Limits

LIMITS = Limits(0.0, 1.0)


def test_the_capital_starts_with_one_and_is_what_the_bets_say() -> None:
    assert sum(share for _, share in STAKES) == pytest.approx(1.0)
    assert log_capital(np.array([]), 0.5, 0.0) == pytest.approx(0.0)
    by_hand = sum(share * (1 + stake * (0.8 / 0.5 - 1)) * (1 + stake * (0.2 / 0.5 - 1)) for stake, share in STAKES)
    assert log_capital(np.array([0.8, 0.2]), 0.5, 0.0) == pytest.approx(math.log(by_hand))


def test_an_episode_of_null_mean_is_a_fair_game_for_every_distribution_on_two_points() -> None:
    """What Ville's inequality needs: the mean of the factor is 1 where that of the value is the one bet against."""
    for stake, _ in STAKES:
        for low, high in ((0.0, 1.0), (0.3, 0.9), (0.0, 7.0)):
            mean = 0.4 * low + 0.6 * high
            factors = [1 + stake * (value / mean - 1) for value in (low, high)]
            assert 0.4 * factors[0] + 0.6 * factors[1] == pytest.approx(1.0)
            assert min(factors) >= 0


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=30), st.randoms())
def test_the_order_of_episodes_does_not_matter_and_the_last_of_the_running_ones_is_all(
    values: list[float], random
) -> None:  # type: ignore[no-untyped-def]
    own = np.array(values)
    base = own[::-1].copy()
    floor = own / 10
    found = evidence(own, base, floor, 0.9, LIMITS)
    order = list(range(len(values)))
    random.shuffle(order)
    assert evidence(own[order], base[order], floor, 0.9, LIMITS) == pytest.approx(found)
    assert running_evidence(own, base, floor, 0.9, LIMITS)[-1] == pytest.approx(found)
    assert running_capital(own, 0.5, 0.0)[-1] == pytest.approx(log_capital(own, 0.5, 0.0))


@given(st.lists(st.floats(0.0, 1.0), min_size=3, max_size=20), st.floats(0.05, 0.95))
def test_what_is_known_of_random_actions_is_never_more_than_at_any_mean_they_might_have(
    values: list[float], keep: float
) -> None:
    """The parts that the unknown mean's range is cut into bound the least within them from below."""
    own, base, floor = np.array(values), np.array(values)[::-1].copy(), np.array(values) ** 2
    found = evidence(own, base, floor, keep, LIMITS)
    for mean in np.linspace(0.001, 0.999, 37):
        bets = log_capital(own - keep * base, (1 - keep) * mean, -keep)
        against = np.logaddexp(math.log(0.9), math.log(0.1) + log_capital(-floor, -mean, -1.0))
        assert found <= bets + against + 1e-9
    apart = evidence(own, base, floor, keep, LIMITS, INDEPENDENT)
    assert apart <= max(found, 0.0) + 50  # finite whatever the samples
    assert math.isfinite(apart)


def test_returns_in_other_units_say_the_same() -> None:
    rng = np.random.default_rng(0)
    own, base, floor = rng.normal(0.9, 0.05, 100), rng.normal(0.9, 0.05, 100), rng.normal(0.2, 0.05, 50)
    limits = Limits(-0.5, 1.5)
    plain = evidence(own, base, floor, 0.9, limits)
    scaled = evidence(
        5 * own - 900, 5 * base - 900, 5 * floor - 900, 0.9, Limits(5 * limits.low - 900, 5 * limits.high - 900)
    )
    assert scaled == pytest.approx(plain)


def test_pairs_that_agree_are_worth_more_than_samples_that_do_not_know_of_each_other() -> None:
    rng = np.random.default_rng(1)
    base = (rng.random(200) < 0.9).astype(float)
    needed = math.log(40)
    assert evidence(base, base, None, 0.95, LIMITS) > needed
    assert evidence(base, rng.permutation(base), None, 0.95, LIMITS, INDEPENDENT) < needed


def test_a_longer_baseline_counts_where_samples_are_independent() -> None:
    rng = np.random.default_rng(2)
    own = rng.normal(0.8, 0.05, 150).clip(0, 1)
    few, many = rng.normal(0.8, 0.15, 150).clip(0, 1), rng.normal(0.8, 0.15, 3000).clip(0, 1)
    many[:150] = few
    short, long = (evidence(own, base, None, 0.9, LIMITS, INDEPENDENT) for base in (few, many))
    assert long > short


def test_means_that_cannot_be_are_refuted_at_once() -> None:
    values = np.array([0.2, 0.3])
    assert log_capital(values, -0.1, 0.0) == math.inf
    assert log_capital(values, 0.0, 0.0) == math.inf
    assert log_capital(np.zeros(2), 0.0, 0.0) == pytest.approx(0.0)


@given(st.lists(st.floats(0.0, 1.0), min_size=3, max_size=20))
def test_random_actions_on_the_same_seeds_are_not_multiplied_with(values: list[float]) -> None:
    own, base, floor = np.array(values), np.array(values)[::-1].copy(), np.array(values) ** 2
    for paired in (True, False):
        found = evidence(own, base, floor, 0.9, LIMITS, Seeds(paired=paired, random_apart=False))
        assert math.isfinite(found)
        if paired:
            for mean in np.linspace(0.001, 0.999, 29):
                bets = log_capital(own - 0.9 * base, 0.1 * mean, -0.9)
                against = log_capital(-floor, -mean, -1.0)
                assert found <= np.logaddexp(math.log(0.9) + bets, math.log(0.1) + against) + 1e-9
