"""Index maps as permutations, periods and loops."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from policypress_runtime.codegen.layout import (
    channels_last,
    contiguous,
    divisors,
    inverse,
    nested_loops,
    order_of,
    period_of,
)

shapes = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)


@given(shape=shapes, data=st.data())
def test_every_transpose_and_slice_is_a_few_loops(shape: tuple[int, ...], data: st.DataObject) -> None:
    index = np.arange(np.prod(shape)).reshape(shape)
    order = data.draw(st.permutations(range(len(shape))))
    cuts = [data.draw(st.integers(0, n - 1)) for n in shape]
    moved = index[tuple(slice(cut, None) for cut in cuts)].transpose(order)
    found = nested_loops(moved)
    assert found is not None
    start, loops = found
    visited = [
        start + sum(i * stride for i, (_, stride) in zip(at, loops, strict=True))
        for at in product(*(range(count) for count, _ in loops))
    ]
    np.testing.assert_array_equal(visited, moved.reshape(-1))


def test_what_no_loops_say_is_left_to_a_table() -> None:
    assert nested_loops(np.array([0, 3, 1, 4, 9])) is None


def test_repeated_elements_are_a_loop_that_stays() -> None:
    assert nested_loops(np.array([4, 4, 4, 5, 5, 5])) == (4, ((2, 1), (3, 0)))


@given(st.permutations(range(7)), st.integers(0, 5))
def test_order_of_a_stretch(order: list[int], start: int) -> None:
    places = np.array(order) + start
    found = order_of(places)
    assert found is not None
    assert found[0] == start
    np.testing.assert_array_equal(places[found[1]], np.arange(start, start + 7))
    np.testing.assert_array_equal(inverse(found[1])[found[1]], np.arange(7))


def test_stretches_have_no_gaps() -> None:
    assert contiguous(np.array([3, 4, 5])) == 3
    assert contiguous(np.array([3, 5])) is None
    assert order_of(np.array([0, 2])) is None
    assert order_of(np.array([], np.int64)) is None


@given(st.lists(st.integers(0, 2), min_size=1, max_size=4), st.integers(1, 5))
def test_the_period_repeats(pattern: list[int], times: int) -> None:
    values = np.array(pattern * times, np.float32)
    period = period_of(values)
    assert period <= len(pattern)
    np.testing.assert_array_equal(np.tile(values[:period], len(values) // period), values)


def test_minus_zero_is_not_zero() -> None:
    assert period_of(np.array([0.0, -0.0], np.float32)) == 2


def test_divisors() -> None:
    assert divisors(36) == [n for n in range(1, 37) if 36 % n == 0]


def test_images_lie_channel_last() -> None:
    image = np.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(image.reshape(-1)[channels_last(2, 3, 4)], image.transpose(1, 2, 0).reshape(-1))
