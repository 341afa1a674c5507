"""The pieces of the search: the Pareto front, and where bisection looks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policypress.compression.recipe import Recipe
from policypress.records import ArtifactRecord
from policypress.search.front import front, same_before, spread
from policypress.search.racing import Candidate

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


def candidate(recipe: str, *, packed: int = 900, error: float = 0.0123, parity: float = 1.5e-7) -> Candidate:
    parsed = Recipe.parse(recipe)
    sizes = {"file_bytes": 1000, "packed_bytes": packed, "parameters": 200, "macs": 190}
    ratios = {"channel_ratio": 0.9, "parameter_ratio": 0.9, "action_error": error, "parity_max_error": parity}
    return Candidate(parsed, ArtifactRecord(parsed.text, parsed.hash, "", parsed.hash, **sizes, **ratios, build_s=0.1))


def test_a_ratio_that_leaves_the_same_channels_is_not_raced_again() -> None:
    first = candidate("prune(l2, 0.97) > equalize > int8")
    again = candidate("prune(l2, 0.985) > equalize > int8")
    assert same_before(first, [first]) == ""
    assert same_before(again, [first, again]) == first.text
    again.same_as = first.text
    third = candidate("prune(l2, 0.99) > equalize > int8")
    assert same_before(third, [first, again, third]) == first.text


def test_what_differs_in_any_number_is_another_policy() -> None:
    first = candidate("prune(l2, 0.97) > equalize > int8")
    others = [{"packed": 901}, {"error": 0.0124}, {"parity": 1.6e-7}]
    for numbers in others:
        assert same_before(candidate("prune(l2, 0.985) > equalize > int8", **numbers), [first]) == ""
    # Equal sizes and equal shares of changed decisions are nothing special.
    assert same_before(candidate("prune(obs, 0.97) > int8", parity=0.0), [candidate("int8", parity=0.0)]) == ""
    assert same_before(Candidate(Recipe.parse("int8")), [Candidate(Recipe.parse("equalize"))]) == ""
