"""Numbers for people: the unit, the digits, and no surprises at the borders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policypress.report.quantities import percent, si, size, times, with_spread


@pytest.mark.parametrize(("count", "text"), [(812, "812 B"), (14498, "14.5 kB"), (1_200_000, "1.2 MB")])
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("mean", "half", "text"),
    [
        (9180.4, 90.2, "9180 ± 90"),
        (-116.84, 7.0, "-116.8 ± 7.0"),
        (0.5, None, "0.500"),
        (-8.99, 28.8, "-9.0 ± 28.8"),
        (9.3, 0.589, "9.30 ± 0.59"),
    ],
)
def test_spread_has_the_decimals_of_the_larger(mean: float, half: float | None, text: str) -> None:
    assert with_spread(mean, half) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5.634e-6, "5.63 µs"),
        (999.6e-9, "1.00 µs"),
        (0.0999996, "100 ms"),
        (0.0, "0 s"),
        (-2e-3, "-2.00 ms"),
        (61.0, "61.0 s"),
    ],
)
def test_si_has_three_digits_and_a_prefix(value: float, text: str) -> None:
    assert si(value, "s") == text


@given(st.floats(1e-9, 9e11))
def test_si_is_never_off_by_more_than_its_last_digit(value: float) -> None:
    number, unit = si(value, "J").split(" ")
    scale = {"nJ": 1e-9, "µJ": 1e-6, "mJ": 1e-3, "J": 1.0, "kJ": 1e3, "MJ": 1e6, "GJ": 1e9}[unit]
    assert float(number) * scale == pytest.approx(value, rel=0.0051)


def test_shares_and_factors() -> None:
    assert percent(0.9893) == "98.9 %"
    assert percent(-0.0001) == "0.0 %"
    assert (times(3.71), times(9.97), times(24.2)) == ("3.7×", "10×", "24×")
