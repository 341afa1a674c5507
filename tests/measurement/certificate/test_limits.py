"""Limits of a return: declared before anything is certified, and sensible whatever the episodes were."""

from __future__ import annotations

import math

import pytest

from policypress.measurement.certificate.limits import MARGIN, Limits, declared
from policypress_runtime.errors import StudyInputError


def test_limits_lie_a_margin_beyond_every_episode() -> None:
    limits = declared([-50.0, 100.0, 250.0])
    assert (limits.low, limits.high) == (-50.0 - MARGIN * 300, 250.0 + MARGIN * 300)
    assert limits.low_from == limits.high_from == "episodes"


def test_what_is_stated_or_known_has_no_margin() -> None:
    limits = declared([-50.0, 250.0], worst=-500.0, known=(-1000.0, 300.0))
    assert (limits.low, limits.high) == (-500.0, 300.0)
    assert (limits.low_from, limits.high_from) == ("stated", "environment")
    assert "stated by the user" in limits.in_words()
    assert declared([], worst=0.0, best=1.0) == Limits(0.0, 1.0)


def test_episodes_that_are_all_the_same_have_limits() -> None:
    for value in (500.0, -3.0, 0.0):
        limits = declared([value] * 5)
        assert limits.low < value < limits.high


def test_without_episodes_both_have_to_be_stated() -> None:
    with pytest.raises(StudyInputError, match="--worst-return and --best-return"):
        declared([], worst=0.0)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (math.nan, 1.0), (-math.inf, 1.0), (0.0, 1e300)])
def test_limits_that_cannot_be(low: float, high: float) -> None:
    with pytest.raises(StudyInputError, match="between two limits"):
        Limits(low, high)


def test_episodes_beyond_are_counted_and_count_as_the_limit() -> None:
    limits = Limits(0.0, 10.0)
    assert limits.outside([-1.0, -2.0, 5.0, 11.0]) == (2, 1)
    assert limits.clip([-1.0, 5.0, 11.0]).tolist() == [0.0, 5.0, 10.0]
