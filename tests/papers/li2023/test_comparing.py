"""The permutation test against scipy's exact test, and Welch's interval against scipy's."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from policypress.measurement.statistics import Interval, Missing
from policypress_li2023.comparing import difference, rank_test

FIRST = [3.0, 5.0, 8.0, 9.0, 12.0, 15.5]
SECOND = [7.0, 11.0, 14.0, 18.0, 21.0, 30.0]


def test_ranks_as_scipy_tests_them() -> None:
    assert rank_test(FIRST, SECOND) == pytest.approx(stats.mannwhitneyu(FIRST, SECOND, method="exact").pvalue, abs=0.01)
    assert rank_test(FIRST, SECOND) == pytest.approx(rank_test(SECOND, FIRST), abs=0.01)
    assert rank_test(FIRST, FIRST) == 1.0


def test_what_was_never_reached_is_the_largest_rank() -> None:
    never = [math.inf] * 5
    found = rank_test([1.0, 2.0, 3.0, 4.0, 5.0], never)
    assert not isinstance(found, Missing)
    assert found < 0.02
    assert rank_test(never, never) == 1.0


def test_welch_as_scipy_has_it() -> None:
    found = difference(FIRST, SECOND)
    assert isinstance(found, Interval)
    expected = stats.ttest_ind(FIRST, SECOND, equal_var=False).confidence_interval(0.95)
    # Wider by what rounding the degrees of freedom down, from 7.9 to 7, makes.
    wider = stats.t.ppf(0.975, 7) / stats.t.ppf(0.975, 7.858043)
    half = (expected.high - expected.low) / 2 * wider
    assert (found.upper - found.lower) / 2 == pytest.approx(half, rel=1e-4)
    assert found.estimate == pytest.approx((expected.high + expected.low) / 2)


def test_too_few_seeds_say_nothing() -> None:
    assert isinstance(rank_test([1.0, 2.0], SECOND), Missing)
    assert isinstance(difference([1.0, 2.0], SECOND), Missing)
    same = difference([2.0] * 3, [2.0] * 3)
    assert isinstance(same, Interval)
    assert (same.lower, same.upper) == (0.0, 0.0)
