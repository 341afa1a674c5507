"""What a search's time is divided into, by a clock of the test's own."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from policypress.search import gate as gate_module
from policypress.search.gate import Gate
from policypress.search.racing import AcceptanceCriterion
from policypress.search.session import Session
from policypress.search.time_budget import LATE, MOST_FOR_COSTS_S, TimeBudget, slowness


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_costs_are_within_the_budget(clock: Clock) -> None:
    budget = TimeBudget(600.0, clock=clock)
    assert budget.searching_s == 480.0
    assert TimeBudget(600.0, costs=False, clock=clock).searching_s == 600.0
    assert TimeBudget(36_000.0, clock=clock).searching_s == 36_000.0 - MOST_FOR_COSTS_S
    clock.now_s += 240.0
    assert (budget.elapsed_s(), budget.spent(), budget.left_s(), budget.left_s(0.5)) == (240.0, 0.5, 240.0, 0.0)
    clock.now_s += 240.0
    assert (budget.left_s(), budget.left_for_costs_s()) == (0.0, 120.0)


def test_what_cannot_be_left_out_is_told_and_allowed(clock: Clock) -> None:
    budget = TimeBudget(180.0, clock=clock)
    assert budget.allow(LATE * 180.0) is None
    told = budget.allow(300.0)
    assert told is not None
    assert "3 minutes is less than what cannot be left out" in told
    assert "about 5 minutes" in told
    assert budget.total_s == 300.0


def test_what_is_kept_for_the_certificate_is_neither_built_nor_raced_in(clock: Clock) -> None:
    budget = TimeBudget(600.0, clock=clock)
    budget.keep_for_certificate(80.0)
    assert (budget.exploring_s, budget.left_s(0.5)) == (400.0, 200.0)
    budget.keep_for_certificate(1000.0)
    assert budget.exploring_s == 240.0, "at most half"
    clock.now_s += 240.0
    assert (budget.spent(), budget.left_for_certificate_s(30.0)) == (1.0, 330.0)
    assert TimeBudget(600.0, costs=False, clock=clock).left_for_certificate_s(30.0) == 600.0


@pytest.mark.parametrize(("elapsed_s", "most"), [(0.0, 285), (400.0, 85), (580.0, 0)])
def test_a_certificate_plays_no_longer_than_the_time_allows(
    elapsed_s: float, most: int, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_module, "least_costs_s", lambda: 30.0)
    session = Mock(spec=Session)
    session.episode_s.return_value = 1.0
    session.count.return_value = 0
    gate = Gate(session, AcceptanceCriterion(0.95, 0.95, 1000), 6000, TimeBudget(600.0, clock=clock))
    clock.now_s += elapsed_s
    assert gate.pairs_left(mild=False) == most


def test_the_machine_s_slowness_is_a_ratio_of_times() -> None:
    times = iter([0.0, 0.024, 1.0, 1.036, 2.0, 2.012])
    assert slowness(lambda: next(times)) == pytest.approx(2.0)
    assert slowness(lambda: 0.0) == 0.5
