from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policypress.environments.batches import (
    check_finite,
    dtype_of,
    held_out_split,
    joined,
    shape_of,
    single,
    size_of,
    stack,
    take,
)
from policypress_runtime.contract import DictSpace, Discrete, MultiBinary, MultiDiscrete, box
from policypress_runtime.errors import ObservationError

BATCH = {"a": np.arange(6.0).reshape(3, 2), "b": np.array([1, 2, 3])}


def test_stacking_uses_the_dtype_of_the_space() -> None:
    space = DictSpace((("x", box((2,), "float64", 0, 1)), ("k", Discrete(3)), ("m", MultiBinary(2))))
    batch = stack([{"x": [0, 1], "k": 2, "m": [1, 0]}, {"x": [1, 1], "k": 0, "m": [0, 0]}], space)
    assert isinstance(batch, dict)
    assert {key: (value.shape, str(value.dtype)) for key, value in batch.items()} == {
        "x": ((2, 2), "float64"),
        "k": ((2,), "int64"),
        "m": ((2, 2), "int8"),
    }
    assert np.array_equal(stack([3, 4], Discrete(5)), [3, 4])


def test_shapes_and_dtypes_of_one_observation() -> None:
    assert (shape_of(MultiDiscrete((2, 3))), dtype_of(MultiDiscrete((2, 3)))) == ((2,), "int64")
    assert (shape_of(Discrete(3)), shape_of(MultiBinary(4))) == ((), (4,))
    with pytest.raises(ObservationError):
        shape_of(DictSpace(()))


def test_taking_and_joining() -> None:
    assert size_of(BATCH) == 3
    assert np.array_equal(take(BATCH, [2, 0])["b"], [3, 1])  # type: ignore[call-overload]  # a dict in, a dict out
    assert size_of(take(BATCH["a"], slice(1, None))) == 2
    assert single(BATCH, 1)["b"] == 2
    assert np.array_equal(single(BATCH["a"], 1), [2, 3])
    both = joined(BATCH, BATCH)
    assert size_of(both) == 6
    assert size_of(joined(BATCH["a"], BATCH["a"])) == 6
    with pytest.raises(ObservationError, match="joined"):
        joined(BATCH, BATCH["a"])


@given(st.integers(2, 60), st.floats(0, 1), st.integers(0, 5))
def test_the_two_parts_are_disjoint_and_complete(count: int, share: float, seed: int) -> None:
    work, held = held_out_split(np.arange(count), share, np.random.default_rng(seed))
    assert isinstance(work, np.ndarray)
    assert isinstance(held, np.ndarray)
    assert sorted([*work, *held]) == list(range(count))
    assert len(work) >= 1
    assert len(held) == min(max(round(count * share), 1), count - 1)


def test_too_few_to_hold_out() -> None:
    with pytest.raises(ObservationError, match="at least 2"):
        held_out_split(np.zeros((1, 3)), 0.5, np.random.default_rng(0))


def test_the_first_row_that_is_not_finite_is_named() -> None:
    check_finite(BATCH, "It holds an observation")
    with pytest.raises(ObservationError, match="row 1 of 'a'"):
        check_finite({"a": np.array([[0.0], [np.nan]]), "b": np.array([1, 2])}, "It holds an observation")
