"""Packed weights, read back by the layout that the docstring describes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policypress_runtime.codegen.packing import (
    LAYOUTS,
    NARROW,
    QUADS,
    SIGNED_QUADS,
    Layout,
    pack_bias,
    pack_float,
    pack_int4,
    pack_int8,
    pack_vector,
)
from policypress_runtime.errors import NetworkError

EVERY = st.sampled_from((QUADS, SIGNED_QUADS, NARROW))
SIZES = st.tuples(st.integers(1, 150), st.integers(1, 3), st.integers(1, 21))


def test_a_worked_example() -> None:
    weight = np.arange(1, 16, dtype=np.int8).reshape(3, 1, 5)  # three columns of five inputs
    packed = pack_int8(weight, NARROW)
    assert packed.tolist() == [
        *(1, 2, 3, 4), *(6, 7, 8, 9), *(11, 12, 13, 14), *(0, 0, 0, 0),
        *(5, 0, 0, 0), *(10, 0, 0, 0), *(15, 0, 0, 0), *(0, 0, 0, 0),
    ]  # fmt: skip


def test_a_worked_example_of_4_bits() -> None:
    weight = np.array([[[1, 2, 3, 4, -1, -2, -8, 7]]], np.int8)
    assert pack_int4(weight, NARROW)[:4].tolist() == [0xF1, 0xE2, 0x83, 0x74]


def column_of(packed: np.ndarray, layout: Layout, n: int, column: int, step: int) -> np.ndarray:
    """The weights of one column, found panel by panel."""
    depth = packed.size // layout.padded(n)
    panel, place = divmod(column, layout.panel)
    start = panel * layout.panel * depth
    width = min(layout.padded(n) - panel * layout.panel, layout.panel)
    return packed[start : start + width * depth].reshape(depth // step, width, step)[:, place].reshape(-1)


@given(EVERY, SIZES, st.integers(0, 2**32 - 1))
def test_every_weight_comes_back(layout: Layout, sizes: tuple[int, int, int], seed: int) -> None:
    random = np.random.default_rng(seed)
    n, segments, run = sizes
    eight = random.integers(-128, 128, sizes).astype(np.int8)
    four = random.integers(-8, 8, sizes).astype(np.int8)
    floats = random.normal(size=sizes).astype(np.float32)
    packed8, packed4, packed = pack_int8(eight, layout), pack_int4(four, layout), pack_float(floats, layout)
    assert packed8.size == layout.padded(n) * segments * (-(-run // 4) * 4)
    assert packed4.size == layout.padded(n) * segments * (-(-run // 8) * 4)
    assert packed.size == layout.padded(n) * segments * run
    for column in {0, n // 2, n - 1}:
        found8 = column_of(packed8, layout, n, column, 4).reshape(segments, -1)
        assert (found8[:, :run] == eight[column]).all()
        assert (found8[:, run:] == 0).all()
        halves = column_of(packed4, layout, n, column, 4).reshape(segments, -1, 4)
        both = np.stack([(halves & 15 ^ 8).astype(int) - 8, (halves >> 4 ^ 8).astype(int) - 8], 2)
        found4 = both.reshape(segments, -1)
        assert (found4[:, :run] == four[column]).all()
        assert (found4[:, run:] == 0).all()
        assert (column_of(packed, layout, n, column, 1).reshape(segments, run) == floats[column]).all()
    assert all((column_of(packed8, layout, n, column, 4) == 0).all() for column in range(n, layout.padded(n)))


def test_a_signed_layout_corrects_the_bias() -> None:
    weight = np.array([[[1, 2]], [[-3, 0]]], np.int8)
    bias = np.array([10, 20], np.int32)
    assert pack_bias(bias, weight, SIGNED_QUADS)[:2].tolist() == [10 + 128 * 3, 20 - 128 * 3]
    assert pack_bias(bias, weight, QUADS).tolist() == [10, 20] + [0] * 14


def test_no_sum_leaves_32_bits() -> None:
    weight = np.full((2, 1, 100), 127, np.int8)
    for layout in LAYOUTS.values():
        bias = pack_bias(np.array([2**31 - 1, -(2**31)], np.int32), weight, layout).astype(np.int64)
        assert (np.abs(bias[:2]) == 2**31 - 1 - 256 * 12700).all()


def test_what_cannot_be_packed_is_refused() -> None:
    with pytest.raises(NetworkError, match="do not fit 4 bits"):
        pack_int4(np.array([[[8]]], np.int8), QUADS)
    with pytest.raises(NetworkError, match="too many inputs"):
        pack_bias(np.zeros(1, np.int32), np.full((1, 1, 70_000), 127, np.int8), QUADS)


def test_vectors_are_padded() -> None:
    assert pack_vector(np.ones(5, np.float32), NARROW).tolist() == [1, 1, 1, 1, 1, 0, 0, 0]
    assert NARROW.defines == {"PP_COLUMNS": 4, "PP_PANEL": 4, "PP_SIGNED": 0}
