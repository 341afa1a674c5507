"""Errors that several statements spend together."""

from __future__ import annotations

import math

import pytest

from policypress.measurement.certificate.error_budget import checked_share, error_share, jointly_held
from policypress_runtime.errors import StudyInputError


def test_the_errors_of_all_candidates_are_less_than_the_whole() -> None:
    assert sum(error_share(0.95, attempt) for attempt in range(1, 40)) <= 0.05 + 1e-12


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, math.nan])
def test_a_share_lies_between_nothing_and_all(value: float) -> None:
    with pytest.raises(StudyInputError, match="is a share"):
        checked_share("confidence", value)


def test_several_statements_need_more_evidence_each() -> None:
    def held(**least: float) -> frozenset[str]:
        return jointly_held(list(least), lambda name, alpha: alpha >= least[name], 0.05)

    assert held(a=0.049) == {"a"}
    assert held(a=0.049, b=0.9) == frozenset()
    assert held(a=0.02, b=0.049) == {"a", "b"}
    assert held(a=0.04, b=0.04) == frozenset()
    assert held() == frozenset()
