"""The pieces of the search: the Pareto front, and where bisection looks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policypress.search.strategy import front, spread

Points = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.tuples(st.floats(0, 9), st.floats(0, 9)))


@given(Points)
def test_the_front_is_what_no_other_beats(points: dict[str, tuple[float, float]]) -> None:
    chosen = front(list(points), lambda name: points[name][0], lambda name: points[name][1])
    for name, (value, error) in points.items():
        beaten = any(points[c][0] <= value and points[c][1] <= error for c in chosen)
        assert beaten, name
    values = [points[name] for name in chosen]
    assert values == sorted(values)
    assert [error for _, error in values] == sorted({error for _, error in values}, reverse=True)


@given(st.lists(st.integers(), unique=True), st.integers(1, 9))
def test_the_spread_is_in_order_and_leaves_less_than_half_on_either_side(items: list[int], count: int) -> None:
    chosen = spread(items, count)
    assert len(chosen) == min(count, len(items))
    places = [items.index(item) for item in chosen]
    assert places == sorted(set(places))
    if chosen and len(items) > count:
        gaps = [b - a for a, b in zip([-1, *places], [*places, len(items)], strict=True)]
        assert max(gaps) <= len(items) // 2 + 1
