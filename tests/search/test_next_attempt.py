"""What is certified next: the surest while there is nothing, the most gain afterwards."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policypress.compression.recipe import Recipe
from policypress.search.gate import LEAST_CHANCE
from policypress.search.next_attempt import SURE, next_attempt
from policypress.search.racing import Candidate

TEXTS = ("int8", "equalize > int8", "prune(l2, 0.5)", "prune(l2, 0.9)")
Chances = st.lists(st.floats(0, 1), min_size=4, max_size=4)


def candidates(values: tuple[float, ...] = (400.0, 300.0, 100.0, 10.0)) -> list[Candidate]:
    return [Candidate(Recipe.parse(text), value=value) for text, value in zip(TEXTS, values, strict=True)]


def chosen(chances: list[float], *, certain: bool) -> str | None:
    found = next_attempt(candidates(), dict(zip(TEXTS, chances, strict=True)), 1000.0, certain=certain)
    return None if found is None else found.text


def test_first_the_smallest_that_is_likely_to_pass() -> None:
    assert chosen([1.0, 0.9, 0.85, 0.6], certain=False) == TEXTS[2]
    assert chosen([0.0, 0.3, 0.0, 0.0], certain=False) == TEXTS[1], "none is likely: what there is"


def test_then_what_gains_most() -> None:
    assert chosen([1.0, 0.9, 0.85, 0.6], certain=True) == TEXTS[3], "0.6 times log 100 is more than 0.85 times log 10"
    assert chosen([1.0, 0.9, 0.85, 0.3], certain=True) == TEXTS[2]


@given(Chances, st.booleans())
def test_nothing_without_a_chance_is_tried(chances: list[float], certain: bool) -> None:
    found = chosen(chances, certain=certain)
    by_text = dict(zip(TEXTS, chances, strict=True))
    if found is None:
        assert max(chances) < LEAST_CHANCE
    else:
        assert by_text[found] >= LEAST_CHANCE
        if not certain and max(chances) >= SURE:
            assert by_text[found] >= SURE
