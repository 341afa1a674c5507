"""The printed form of spaces: parsed exactly, or refused; never evaluated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from policypress.agents.sb3.space_text import MAX_DEPTH, MAX_TEXT, Call, SpaceTextError, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-4.5e-01", -0.45),
        ("[0. 1. -inf]", [0.0, 1.0, -math.inf]),
        ("[[1 2]\n [3 4]]", [[1, 2], [3, 4]]),
        ("(3, 36, 36)", [3, 36, 36]),
        ("[0. 0. ... 0.]", [0.0, 0.0, ..., 0.0]),
        ("{'a': 1, \"b\": None}", {"a": 1, "b": None}),
        ("Discrete(4, start=1)", Call("Discrete", (4,), {"start": 1})),
        (
            "Dict(a:Discrete(2), b:Discrete(3))",
            Call("Dict", (), {"a": Call("Discrete", (2,)), "b": Call("Discrete", (3,))}),
        ),
        ("np.int64(7)", Call("np.int64", (7,))),
        ("<class 'numpy.float32'>", "numpy.float32"),
        (r"'it\'s'", "it's"),
    ],
)
def test_values(text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "[1 2", "1 2", "{1: 2}", "a b", "'x", "f(", "lambda: 0", "1 + 1", "a.b[0]", r"'\x41'", "{'a': 1, 'a': 2}"],
)
def test_other_grammar_is_refused(text: str) -> None:
    with pytest.raises(SpaceTextError):
        parse(text)


def test_limits() -> None:
    with pytest.raises(SpaceTextError):
        parse("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2))
    with pytest.raises(SpaceTextError):
        parse(" " * (MAX_TEXT + 1))


@given(st.text(alphabet="[](){}'\",:=. 0123456789eE+-infaBox\\<>", max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        value = parse(text)
    except SpaceTextError:
        return
    assert isinstance(value, dict | list | tuple | str | int | float | bool | Call | None)


@given(
    npst.arrays(np.float32, npst.array_shapes(max_dims=3, max_side=4), elements=st.floats(width=32, allow_nan=False))
)
def test_printed_arrays_come_back_in_order(array: np.ndarray) -> None:
    flat = np.asarray(parse(str(array)), dtype=np.float64)
    assert flat.shape == array.shape
    with np.errstate(over="ignore", invalid="ignore"):
        np.testing.assert_allclose(flat, array.astype(np.float64), rtol=1e-7, atol=1e-7)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "text", ["1" * 400_000 + "x", "1." + "1" * 400_000 + "x", "1e" + "1" * 400_000 + "x", "'" + "a" * 400_000]
)
def test_long_numbers_are_read_once(text: str) -> None:
    with pytest.raises(SpaceTextError):
        parse("[" + text + "]")
