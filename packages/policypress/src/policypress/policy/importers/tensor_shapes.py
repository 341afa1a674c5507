"""Operations of traced networks that move elements: reshape, transpose, join, cut, pad. Axis 0 is the batch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from policypress.policy import layers
from policypress.policy.importers.assembly import BATCH, SAMPLE_BATCH, Assembly, Refused, Value
from policypress.policy.importers.elementwise import Operand, as_float

# More elements than any observation has: a network that asks for them was made to exhaust the memory.
LARGEST = 2**27


def axis_of(x: Value, axis: int) -> int:
    """``axis`` counted from the front.

    Raises:
        Refused: it is the batch, or there is no such axis.
    """
    dimensions = x.sample.dim()
    positive = axis + dimensions if axis < 0 else axis
    if not 0 < positive < dimensions:
        where = "the batch" if positive == 0 else f"axis {axis} of {dimensions}"
        raise Refused(f"it works along {where}; every observation must be treated alone")
    return positive


def reshape(a: Assembly, x: Value, target: Sequence[int]) -> Value:
    """Row-major reshape; ``target`` includes the batch (as ``BATCH`` or −1), one size may be −1.

    Raises:
        Refused: the batch would not stay the first axis.
    """
    sizes = [SAMPLE_BATCH if size == BATCH else int(size) for size in target]
    if any(size >= BATCH for size in sizes):
        raise Refused("it merges the batch with another axis")
    known = math.prod(size for size in sizes if size != -1)
    if sizes.count(-1) == 1 and known > 0 and x.sample.numel() % known == 0:
        sizes[sizes.index(-1)] = x.sample.numel() // known
    if not sizes or sizes[0] != SAMPLE_BATCH or math.prod(sizes) != x.sample.numel():
        raise Refused(f"from shape {x.shape} for each observation to {list(target)}: the batch must stay first")
    return features(a, x, sizes[1:])


def features(a: Assembly, x: Value, shape: Sequence[int]) -> Value:
    """``x`` with ``shape`` for each observation; reshapes of reshapes become one."""
    while isinstance(a.producer(x), layers.Flatten | layers.Reshape):
        x = a.values[a.sources(x)[0]]
    if tuple(shape) == x.shape:
        return x
    if len(shape) == 1 and x.shape:
        return a.add("flatten", layers.Flatten(), x)
    return a.add("reshape", layers.Reshape(shape), x)


def permute(a: Assembly, x: Value, order: Sequence[int]) -> Value:
    """``torch.permute``; the batch stays first."""
    order = [axis % x.sample.dim() for axis in order]
    if order[0] != 0:
        raise Refused("it moves the batch away from the first axis")
    before = a.producer(x)
    if isinstance(before, layers.Transpose):
        x, order = a.values[a.sources(x)[0]], [before.order[axis] for axis in order]
    return x if order == sorted(order) else a.add("transpose", layers.Transpose(order), x)


def swap(a: Assembly, x: Value, first: int, second: int) -> Value:
    """``torch.transpose``."""
    order = list(range(x.sample.dim()))
    first, second = axis_of(x, first), axis_of(x, second)
    order[first], order[second] = order[second], order[first]
    return permute(a, x, order)


def concat(a: Assembly, parts: Sequence[Operand], axis: int) -> Value:
    """Parts joined along ``axis``; constant parts are repeated for every observation."""
    value = next((part for part in parts if isinstance(part, Value)), None)
    if value is None:
        raise Refused("it joins constants only")
    axis = axis_of(value, axis)
    kept = [part for part in parts if not (isinstance(part, Tensor) and part.numel() == 0)]
    values = [part if isinstance(part, Value) else constant(a, part, value) for part in kept]
    if any(v.integer for v in values):
        values = [as_float(a, v) for v in values]
    return a.joined(values, axis)


def stack(a: Assembly, parts: Sequence[Operand], axis: int) -> Value:
    """Parts joined along a new ``axis``."""
    dimensions = next(part.sample.dim() for part in parts if isinstance(part, Value)) + 1
    positive = axis + dimensions if axis < 0 else axis
    if positive == 0:
        raise Refused("it adds an axis before the batch")
    return concat(a, [_unsqueezed(a, part, positive) for part in parts], positive)


def _unsqueezed(a: Assembly, part: Operand, axis: int) -> Operand:
    return unsqueeze(a, part, axis) if isinstance(part, Value) else part.unsqueeze(axis)


def constant(a: Assembly, values: Tensor, like: Value) -> Value:
    """``values`` (batch of 1) as a value of the graph: zero times the first element of ``like``, plus them."""
    if values.dim() != like.sample.dim() or values.shape[0] != 1:
        raise Refused(f"a constant of shape {tuple(values.shape)} has no batch axis to join by")
    row = values[0].detach().to(torch.float32).numpy()
    first = features(a, cut(a, features(a, as_float(a, like), (math.prod(like.shape),)), 1, 0, 1), (1,) * row.ndim)
    return a.add("constant", layers.Affine(np.zeros_like(row), row), first)


def cut(a: Assembly, x: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
    """Elements ``start … stop − 1`` along ``axis``, as Python slices (negative counts from the end)."""
    if axis == 0 and start == 0 and stop >= BATCH and step == 1:
        return x
    axis = axis_of(x, axis)
    size = x.sample.shape[axis]
    chosen = list(range(*slice(start, stop, step).indices(size)))
    return take(a, x, axis, chosen)


def take(a: Assembly, x: Value, axis: int, indices: Sequence[int]) -> Value:
    """The elements ``indices`` along ``axis``, in that order: slices, joined."""
    axis = axis_of(x, axis)
    size = x.sample.shape[axis]
    if any(not -size <= i < size for i in indices) or not indices:
        raise Refused(f"indices {list(indices)} along an axis of length {size}")
    positive = [i % size for i in indices]
    if positive == list(range(size)):
        return x
    runs: list[tuple[int, int]] = []
    for i in positive:
        if runs and runs[-1][1] == i:
            runs[-1] = (runs[-1][0], i + 1)
        else:
            runs.append((i, i + 1))
    parts = [x if run == (0, size) else a.add("slice", layers.Slice(axis, *run), x) for run in runs]
    result = parts[0] if len(parts) == 1 else a.add("concat", layers.Concat(axis), *parts)
    a.taken[result.name] = (x, axis, tuple(positive))
    return result


def select(a: Assembly, x: Value, axis: int, index: int) -> Value:
    """One element along ``axis``, without that axis."""
    axis = axis_of(x, axis)
    return squeeze(a, take(a, x, axis, [index]), [axis])


def split(a: Assembly, x: Value, sizes: Sequence[int], axis: int) -> tuple[Value, ...]:
    """Consecutive parts of the given lengths along ``axis``."""
    axis = axis_of(x, axis)
    starts = np.cumsum([0, *sizes])
    return tuple(cut(a, x, axis, int(s), int(e)) for s, e in itertools.pairwise(starts))


def squeeze(a: Assembly, x: Value, axes: Sequence[int]) -> Value:
    """Without those of ``axes`` that have length 1; the batch is never dropped."""
    dimensions = x.sample.dim()
    dropped = {axis % dimensions for axis in axes} - {0}
    shape = [size for axis, size in enumerate(x.sample.shape) if axis and not (axis in dropped and size == 1)]
    return features(a, x, shape)


def unsqueeze(a: Assembly, x: Value, axis: int) -> Value:
    """With a new axis of length 1 at ``axis``."""
    dimensions = x.sample.dim() + 1
    positive = axis + dimensions if axis < 0 else axis
    if positive == 0:
        raise Refused("it adds an axis before the batch")
    shape = list(x.shape)
    shape.insert(positive - 1, 1)
    return features(a, x, shape)


def expand(a: Assembly, x: Value, sizes: Sequence[int]) -> Value:
    """Repeat axes of length 1 to ``sizes`` (batch included); −1 and ``BATCH`` keep an axis."""
    if len(sizes) != x.sample.dim() or sizes[0] not in (-1, 1, BATCH):
        raise Refused(f"from shape {x.shape} for each observation to {list(sizes)}: the batch must stay first")
    shape = [have if want == -1 else max(int(want), have) for want, have in zip(sizes[1:], x.shape, strict=True)]
    if tuple(shape) == x.shape:
        return x
    if math.prod(shape) > LARGEST:
        raise Refused(f"it grows to {shape} for each observation")
    result = a.add("expand", layers.Affine(scale=np.ones(shape, np.float32)), as_float(a, x))
    a.expanded[result.name] = x
    return result


def pad(a: Assembly, x: Value, before: Sequence[int], after: Sequence[int], value: float = 0.0) -> Value:
    """Add ``before`` and ``after`` elements of ``value`` at the ends of each axis after the batch (negative: cut)."""
    result = as_float(a, x)
    for axis, (low, high) in enumerate(zip(before, after, strict=True), start=1):
        size = result.sample.shape[axis]
        if result.sample.numel() // size * (size + low + high) > LARGEST:
            raise Refused(f"it adds {low} and {high} elements")
        result = cut(a, result, axis, max(0, -low), size - max(0, -high))
        ends = [torch.full(_with(result.sample.shape, axis, max(0, count)), value) for count in (low, high)]
        parts: list[Operand] = [ends[0], result, ends[1]]
        result = concat(a, parts, axis)
    if value == 0.0 and min(*before, *after) >= 0 and result.name != x.name:
        a.padded[result.name] = (as_float(a, x), tuple(before), tuple(after))
    return result


def _with(shape: Sequence[int], axis: int, size: int) -> list[int]:
    return [1, *(size if i == axis else n for i, n in enumerate(shape) if i)]
