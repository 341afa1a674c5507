"""Moving averages, trends with intervals, and when a level is reached."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policypress_li2023.trends import moving_average, reached, trend

VALUES = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40)


@given(VALUES, st.integers(1, 10))
def test_a_moving_average_is_the_mean_of_the_last_values(values: list[float], window: int) -> None:
    expected = [np.mean(values[max(0, end - window) : end]) for end in range(1, len(values) + 1)]
    assert moving_average(values, window) == pytest.approx(expected, abs=1e-9)


@given(VALUES, st.integers(1, 10), st.floats(-1e3, 1e3))
def test_a_level_is_reached_at_the_first_window_that_has_it(values: list[float], window: int, level: float) -> None:
    found = reached(values, level, window)
    means = [moving_average(values, window)[end - 1] for end in range(window, len(values) + 1)]
    assert found == next((end + window for end, mean in enumerate(means) if mean >= level), None)


def test_a_trend_over_three_seeds() -> None:
    found = trend([[0.0, 0.0], [3.0, 3.0], [6.0, 6.0]], 2)
    assert found is not None
    half = 4.3027 * 3.0 / np.sqrt(3)  # Student's t with 2 degrees of freedom, standard deviation 3
    assert (found.seeds, found.mean) == (3, (3.0, 3.0))
    assert found.lower == pytest.approx([3 - half] * 2, rel=1e-4)
    assert found.upper == pytest.approx([3 + half] * 2, rel=1e-4)


def test_one_seed_has_no_interval_and_none_no_trend() -> None:
    found = trend([[1.0, 3.0]], 2)
    assert found is not None
    assert found.lower == found.upper == found.smooth == (1.0, 2.0)
    assert trend([], 2) is None
    assert trend([[]], 2) is None
