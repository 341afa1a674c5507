"""The scatter plots: the Pareto front against brute force, and what is drawn of what was measured."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policypress.report.results import Results
from policypress.report.scatter import front, return_against_latency, return_against_size

Read = Callable[..., Results]
points = st.lists(st.tuples(st.integers(0, 5).map(float), st.integers(0, 5).map(float)), min_size=1, max_size=12)


@given(points, st.booleans())
def test_the_front_is_what_nothing_beats(points: list[tuple[float, float]], more: bool) -> None:
    sign = 1 if more else -1

    def beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
        return a[0] <= b[0] and sign * a[1] >= sign * b[1] and a != b

    unbeaten = {p for p in points if not any(beats(q, p) for q in points)}
    chosen = front(points, more)
    assert {points[index] for index in chosen} == unbeaten
    assert [points[index][0] for index in chosen] == sorted(points[index][0] for index in chosen)


def test_every_measured_recipe_is_a_point_with_its_numbers(read: Read) -> None:
    drawn = return_against_size(read())
    assert drawn is not None
    found = {row["recipe"]: row for rows in drawn.spec["datasets"].values() for row in rows if "recipe" in row}
    assert set(found) == {"none (fp32)", "ptdq", "equalize > int8", "prune(l2, 0.5)"}
    assert found["equalize > int8"]["x"] == 1100
    assert found["equalize > int8"]["winner"] is True
    assert {name for name, row in found.items() if row["front"]} == {"ptdq", "equalize > int8", "prune(l2, 0.5)"}
    assert found["ptdq"]["lower"] < found["ptdq"]["y"] < found["ptdq"]["upper"]


def test_without_latency_there_is_no_latency_plot(read: Read) -> None:
    assert return_against_latency(read(with_costs=False)) is None


def test_latency_is_in_seconds(read: Read) -> None:
    drawn = return_against_latency(read())
    assert drawn is not None
    found = [row for rows in drawn.spec["datasets"].values() for row in rows if row.get("recipe") == "ptdq"]
    assert found[0]["x"] == pytest.approx(2e-6 * 1.245)


def test_without_returns_the_action_error_is_drawn_and_less_is_better(read: Read) -> None:
    drawn = return_against_size(read(episodes=0))
    assert drawn is not None
    assert drawn.title == "Action error against size"
    assert drawn.meaning.startswith("Down and to the left is better")
    assert "ring" not in drawn.meaning


def test_where_retention_is_undefined_the_mean_return_is_drawn(read: Read) -> None:
    drawn = return_against_size(read(means={"random": 100.0, "none": 100.0, "ptdq": 90.0}, recipes=("none", "ptdq")))
    assert drawn is not None
    assert drawn.title == "Mean return against size"
