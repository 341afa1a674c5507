"""ONNX operators that move elements: nothing is computed, a value's index changes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from policypress_runtime.codegen.expression import Apply, Array, Constant, Load, constant, replaced
from policypress_runtime.codegen.program import Span
from policypress_runtime.codegen.reading.builder import Value, bytes_of, dequantized
from policypress_runtime.codegen.reading.operators import Node, operator


def viewed(node: Node, value: Value, change: Callable[[Array], Array]) -> Value:
    """``value`` with ``change`` applied to its index, which has the logical shape of one observation."""
    if isinstance(value.expression, Constant):
        array = change(value.expression.values)
        return Value(tuple(array.shape), constant(array))
    if value.codes is not None:
        load = bytes_of(value)
        moved = Load(load.storage, change(np.broadcast_to(load.index, value.shape)))
        return dequantized(moved, value.codes, moved.shape, value.raw)
    if not isinstance(value.expression, Load) and _keeps_elements(value, change):
        return _viewed_tree(value, change)
    load = node.builder.stored(value, node.hint) if isinstance(value.expression, Apply) else value.expression
    moved = Load(load.storage, change(np.broadcast_to(load.index, value.shape)))
    return Value(moved.shape, moved, raw=value.raw)


def _keeps_elements(value: Value, change: Callable[[Array], Array]) -> bool:
    """Whether a view has every element once, so that the tree below it is computed no more often than before."""
    moved = change(np.arange(value.size).reshape(value.shape)).reshape(-1)
    return bool(np.array_equal(np.sort(moved), np.arange(value.size)))


def _viewed_tree(value: Value, change: Callable[[Array], Array]) -> Value:
    """The view of every leaf: what is one tree stays one, so that a layer below it and a quantizer above can join."""

    def leaf(part: Load | Constant) -> Load | Constant:
        if isinstance(part, Constant):
            return part if part.values.size == 1 else Constant(change(np.broadcast_to(part.values, value.shape)))
        return Load(part.storage, change(np.broadcast_to(part.index, value.shape)))

    tree = replaced(value.expression, leaf)
    return Value(tuple(tree.shape), tree, raw=value.raw)


@operator("Flatten")
def _flatten(node: Node) -> Value:
    value = node.value()
    if node.axis(node.integer("axis", 1), len(value.shape) + 1) != 0 if value.shape else False:
        raise node.refuse("it joins the batch with other axes")
    return viewed(node, value, lambda index: index.reshape(-1))


@operator("Reshape")
def _reshape(node: Node) -> Value:
    value = node.value()
    sizes = [int(v) for v in node.constant(1).reshape(-1)]
    shape = (1, *value.shape)
    target = [shape[i] if n == 0 and i < len(shape) else n for i, n in enumerate(sizes)]
    rest = target[1:]
    if not target or (target[0] not in (-1, 1)) or (target[0] == -1 and -1 in rest):
        raise node.refuse(f"it reshapes {('batch', *value.shape)} to {sizes}")
    known = int(np.prod([n for n in rest if n != -1], dtype=np.int64))
    rest = [value.size // known if n == -1 and known else n for n in rest]
    if int(np.prod(rest, dtype=np.int64)) != value.size:
        raise node.refuse(f"it reshapes {('batch', *value.shape)} to {sizes}")
    return viewed(node, value, lambda index: index.reshape(rest))


@operator("Squeeze")
def _squeeze(node: Node) -> Value:
    value = node.value()
    rank = len(value.shape) + 1
    axes = node.integers("axes", 1)
    kept = [i for i, n in enumerate(value.shape) if n != 1]
    if axes is not None:
        dropped = {node.axis(axis, rank) for axis in axes}
        kept = [i for i in range(len(value.shape)) if i not in dropped]
    return viewed(node, value, lambda index: index.reshape([value.shape[i] for i in kept]))


@operator("Unsqueeze")
def _unsqueeze(node: Node) -> Value:
    value = node.value()
    axes = node.integers("axes", 1) or []
    rank = len(value.shape) + 1 + len(axes)
    added = sorted(node.axis(axis, rank) for axis in axes)

    def change(index: Array) -> Array:
        for axis in added:
            index = np.expand_dims(index, axis)
        return index

    return viewed(node, value, change)


@operator("Expand")
def _expand(node: Node) -> Value:
    value = node.value()
    sizes = [int(v) for v in node.constant(1).reshape(-1)]
    if len(sizes) > len(value.shape) + 1 or (len(sizes) == len(value.shape) + 1 and sizes[0] != 1):
        raise node.refuse(f"it expands {('batch', *value.shape)} to {sizes}")
    shape = np.broadcast_shapes(value.shape, tuple(sizes[-len(value.shape) :] if value.shape else ()))
    return viewed(node, value, lambda index: np.broadcast_to(index, shape))


@operator("Transpose")
def _transpose(node: Node) -> Value:
    value = node.value()
    order = node.integers("perm") or list(range(len(value.shape) + 1))[::-1]
    if order[0] != 0:
        raise node.refuse("it moves the batch axis")
    return viewed(node, value, lambda index: index.transpose([axis - 1 for axis in order[1:]]))


@operator("Slice")
def _slice(node: Node) -> Value:
    value = node.value()
    rank = len(value.shape) + 1
    starts, ends = node.integers("starts", 1) or [], node.integers("ends", 2) or []
    axes = node.integers("axes", 3) or list(range(len(starts)))
    steps = node.integers("steps", 4) or [1] * len(starts)
    cut = [slice(None)] * len(value.shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        cut[node.axis(axis, rank)] = slice(start, None if step < 0 and end < -(2**31) else end, step)
    return viewed(node, value, lambda index: index[tuple(cut)])


@operator("Split")
def _split(node: Node) -> tuple[Value, ...]:
    value = node.value()
    axis = node.axis(node.integer("axis", 0), len(value.shape) + 1)
    sizes = node.integers("split", 1)
    if sizes is None:
        share = -(-value.shape[axis] // len(node.outputs))
        sizes = [min(share, value.shape[axis] - i * share) for i in range(len(node.outputs))]
    bounds = np.cumsum([0, *sizes])

    def part(low: int, high: int) -> Value:
        return viewed(node, value, lambda index: np.take(index, np.arange(low, high), axis))

    return tuple(part(int(low), int(high)) for low, high in pairwise(bounds))


@operator("Gather")
def _gather(node: Node) -> Value:
    chosen = node.operand(1)
    if isinstance(chosen, Value):
        raise node.refuse("its indices depend on the observation")
    value = node.value()
    axis = node.axis(node.integer("axis", 0), len(value.shape) + 1)
    indices = node.constant(1).astype(np.int64)
    return viewed(node, value, lambda index: np.take(index, indices, axis))


@operator("Concat")
def _concat(node: Node) -> Value:
    values = [node.value(i) for i in range(len(node.operands))]
    if any(isinstance(v.expression, Constant) for v in values):
        raise node.refuse("it joins constants")
    axis = node.axis(node.integer("axis", 1), len(values[0].shape) + 1)
    shape = list(values[0].shape)
    shape[axis] = sum(v.shape[axis] for v in values)
    kinds = {v.real for v in values}
    if len(kinds) > 1:
        raise node.refuse("it joins integers and floats")
    size = int(np.prod(shape))
    storage = node.builder.storage(node.hint, "float32" if values[0].real else "int32", size)
    # Parts lie one behind the other, each in its logical order; the index says which element that is.
    pieces: list[Array] = []
    position = 0
    for value in values:
        node.builder.arranged(value, target=Span(storage, position), hint=node.hint)
        pieces.append(np.arange(position, position + value.size).reshape(value.shape))
        position += value.size
    index = np.concatenate(pieces, axis)
    return Value(tuple(index.shape), Load(storage, index), raw=all(v.raw for v in values))
