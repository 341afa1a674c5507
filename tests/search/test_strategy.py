"""In which order a search certifies, and that it goes on below what it has certified."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from policypress.compression.recipe import Recipe
from policypress.measurement.certificate.certifying import Certificate
from policypress.search.gate import Gate
from policypress.search.history import Certification
from policypress.search.objective import Objective
from policypress.search.racing import AcceptanceCriterion, Candidate, Race
from policypress.search.session import Session
from policypress.search.strategy import Search
from policypress.search.time_budget import TimeBudget

# Recipe, value (the baseline's is 1000), the probability of a certificate, and whether it would be certified.
SMALL = ("prune(l2, 0.9)", 10.0, 0.5, True)
MIDDLE = ("prune(l2, 0.5)", 100.0, 0.9, True)
LARGE = ("int8", 250.0, 1.0, True)


class Gates(Mock):
    """A gate that knows the answer."""

    def certify(self, candidate: Candidate, race: Race, *, mild: bool = False) -> Certification | None:
        passes = self.table[candidate.text][3]
        self.asked.append(candidate.text)
        verdict: Any = "certified" if passes else "not certified"
        found = Certificate(verdict, "as the table says", 0.95, 0.025, 100, 100, 100, lower=0.96)
        return Certification(len(self.asked), candidate.text, 100, found, (), ())

    def chance(self, candidate: Candidate, race: Race) -> float:
        return float(self.table[candidate.text][2])


def search(*rows: tuple[str, float, float, bool], before: dict[int, str] | None = None) -> tuple[Search, Any]:
    gate = Gates(spec=Gate)
    gate.table, gate.asked = {row[0]: row for row in rows}, []
    gate.pairs_left.return_value, gate.episodes_spent.return_value, gate.max_episodes = 1000, 0.0, 6000
    session = Mock(spec=Session)
    session.certified_before.return_value = before or {}
    session.count.return_value = 0
    objective = Mock(spec=Objective, minimize="size")
    made = Search(session, objective, AcceptanceCriterion(0.95, 0.95, 1000), gate, TimeBudget(600.0))
    made._limit = 1000.0
    for text, value, _, _ in rows:
        made._trials[text] = Candidate(Recipe.parse(text), value=value, stage="promising")
    return made, gate


def test_what_is_likely_comes_first_and_smaller_ones_follow() -> None:
    made, gate = search(SMALL, MIDDLE, LARGE)
    won = made._certify()
    assert gate.asked == [MIDDLE[0], SMALL[0]]
    assert won is not None
    assert won.text == SMALL[0]
    gate.release.assert_called()
    history = made._history("certified", made._in_words(won))
    assert history.winner == SMALL[0]
    assert history.won is not None
    assert history.won.recipe == SMALL[0]


def test_a_smaller_one_that_fails_takes_nothing_away() -> None:
    made, gate = search((*SMALL[:3], False), MIDDLE, LARGE)
    won = made._certify()
    assert gate.asked == [MIDDLE[0], SMALL[0]]
    assert won is not None
    assert made._history("certified", "").winner == MIDDLE[0]


def test_after_a_failure_a_larger_one_is_tried() -> None:
    made, gate = search((*SMALL[:2], 0.1, True), (*MIDDLE[:3], False), LARGE)
    won = made._certify()
    assert gate.asked == [MIDDLE[0], LARGE[0]]
    assert won is not None
    assert won.text == LARGE[0]


def test_what_has_no_chance_is_left_alone() -> None:
    made, gate = search((*SMALL[:2], 0.1, True))
    assert made._certify() is None
    assert gate.asked == []


@pytest.mark.parametrize("before", [{1: MIDDLE[0]}, {1: SMALL[0], 2: MIDDLE[0]}])
def test_what_an_earlier_call_has_tried_is_tried_first_and_in_its_order(before: dict[int, str]) -> None:
    made, gate = search(SMALL, MIDDLE, LARGE, before=before)
    made._certify()
    assert gate.asked[0] == before[1]
