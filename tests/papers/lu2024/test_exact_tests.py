"""Exact tests against scipy's."""

from __future__ import annotations

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from policypress_lu2024.findings.exact_tests import at_least, multinomial_test, share_interval, sign_test


@given(st.integers(0, 40), st.integers(0, 40), st.floats(0.01, 0.99))
def test_binomial_tail(first: int, second: int, chance: float) -> None:
    trials = first + second
    assert at_least(first, trials, chance) == pytest.approx(scipy.stats.binom.sf(first - 1, trials, chance), abs=1e-9)


@given(st.integers(0, 30), st.integers(0, 30))
def test_sign_test(first: int, second: int) -> None:
    expected = scipy.stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert sign_test(first, second) == pytest.approx(expected)


@given(st.integers(0, 30), st.integers(0, 30))
def test_share_interval(successes: int, failures: int) -> None:
    trials = successes + failures
    if trials:
        expected = scipy.stats.binomtest(successes, trials).proportion_ci(0.95, "exact")
        assert share_interval(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.integers(1, 25), st.integers(0, 25), st.floats(0.05, 0.95))
def test_the_multinomial_test_of_two_is_the_binomial_one(first: int, second: int, chance: float) -> None:
    expected = scipy.stats.binomtest(first, first + second, chance).pvalue
    assert multinomial_test([first, second], [chance, 1 - chance]) == pytest.approx(expected, abs=1e-6)


def test_the_multinomial_test_of_three_by_hand() -> None:
    # Two draws of three equally likely methods: both the same is likelier to be beaten by nothing.
    assert multinomial_test([2, 0, 0], [1 / 3] * 3) == pytest.approx(1 / 3)
    assert multinomial_test([1, 1, 0], [1 / 3] * 3) == pytest.approx(1.0)
