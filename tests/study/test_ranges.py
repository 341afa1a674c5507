"""Ranges: every value between two ends, exactly, and nothing else."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policypress.study.ranges import expand, integers, values
from policypress_runtime.errors import StudyInputError


@given(st.integers(-50, 50), st.integers(0, 40), st.integers(1, 20))
def test_both_ends_and_equal_steps(low: int, count: int, step: int) -> None:
    low_text, step_text = f"{Decimal(low) / 100}", f"{Decimal(step) / 100}"
    high = Decimal(low) / 100 + Decimal(step) / 100 * count
    found = [Decimal(text) for text in values(f"{low_text}..{high:f}/{step_text}")]
    assert found[0] == Decimal(low_text)
    assert found[-1] == high
    assert len(found) == count + 1


def test_the_paper_s_ratios_are_fourteen() -> None:
    recipes = expand("prune(l1, 0.05..0.70/0.05)")
    assert len(recipes) == 14
    assert recipes[0] == "prune(l1, 0.05)"
    assert recipes[-1] == "prune(l1, 0.70)"


def test_several_ranges_are_a_grid() -> None:
    assert expand("a(1..2) > b(3..4)") == ("a(1) > b(3)", "a(1) > b(4)", "a(2) > b(3)", "a(2) > b(4)")


@pytest.mark.parametrize("text", ["3..1", "0..1/0", "0..1/-1", "0..1000000", "one..two", "1.."])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(StudyInputError):
        values(text)


def test_whole_numbers() -> None:
    assert integers("0..3") == (0, 1, 2, 3)
    assert integers(7) == (7,)
    with pytest.raises(StudyInputError, match="Integers are required"):
        integers("0..1/0.5")
