"""Index maps: which element lies where, as permutations, periods and nested loops."""

from __future__ import annotations

from math import isqrt

import numpy as np

from policypress_runtime.codegen.expression import Array

# More loops than that are written as a table of positions.
MOST_LOOPS = 4


def divisors(n: int) -> list[int]:
    """Divisors of ``n``, ascending.

    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    low = [d for d in range(1, isqrt(n) + 1) if n % d == 0]
    return low + [n // d for d in reversed(low) if d * d != n]


def contiguous(index: Array) -> int | None:
    """Where ``index`` starts if it counts up one by one, else None."""
    flat = index.reshape(-1)
    start = int(flat[0]) if flat.size else 0
    return start if np.array_equal(flat, np.arange(start, start + flat.size)) else None


def order_of(index: Array) -> tuple[int, Array] | None:
    """For elements that fill one stretch of memory, in whatever order: its start, and the element at each place.

    >>> order_of(np.array([7, 5, 6]))
    (5, array([1, 2, 0]))
    >>> order_of(np.array([1, 3])) is None
    True
    """
    flat = index.reshape(-1)
    if not flat.size:
        return None
    if (start := contiguous(flat)) is not None:
        return start, np.arange(flat.size)
    order = np.argsort(flat, kind="stable")
    start = contiguous(flat[order])
    return None if start is None else (start, order)


def inverse(order: Array) -> Array:
    """The permutation that undoes ``order``."""
    result = np.empty_like(order)
    result[order] = np.arange(order.size)
    return result


def nested_loops(index: Array) -> tuple[int, tuple[tuple[int, int], ...]] | None:
    """``index`` as a start and loops ``(count, stride)``, the outermost first; None where few loops do not say it.

    >>> nested_loops(np.arange(6).reshape(2, 3).T)
    (0, ((3, 1), (2, 3)))
    """
    flat = index.reshape(-1)
    loops: list[tuple[int, int]] = []
    while flat.size > 1:
        count, stride = _innermost(flat)
        if count == 1 or len(loops) == MOST_LOOPS:
            return None
        loops.append((count, stride))
        flat = flat[::count]
    return int(flat[0]), tuple(reversed(loops))


def _innermost(flat: Array) -> tuple[int, int]:
    """The longest count that divides the size, such that every block of it is an arithmetic series of one stride."""
    stride = int(flat[1] - flat[0])
    breaks = np.flatnonzero(np.diff(flat) != stride)
    prefix = int(breaks[0]) + 1 if breaks.size else int(flat.size)
    for count in reversed(divisors(flat.size)):
        if count > prefix:
            continue
        blocks = flat.reshape(-1, count)
        if bool((np.diff(blocks, axis=1) == stride).all()):
            return count, stride
    return 1, 0


def period_of(values: Array) -> int:
    """The shortest prefix that, repeated, gives all of ``values``.

    >>> period_of(np.array([1, 2, 1, 2]))
    2
    """
    flat = values.reshape(-1)
    # Bits, not numbers: 0 and -0 differ, and a NaN is itself.
    bits = flat.view(np.int32) if flat.dtype == np.float32 else flat
    for period in divisors(flat.size):
        if np.array_equal(bits[period:], bits[:-period]):
            return period
    return int(flat.size)


def channels_last(channels: int, height: int, width: int) -> Array:
    """Logical (channel-first) position of each element of an image that lies channel-last."""
    return np.arange(channels * height * width).reshape(channels, height, width).transpose(1, 2, 0).reshape(-1)
