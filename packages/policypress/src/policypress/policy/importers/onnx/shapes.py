"""ONNX operators that move elements, tell shapes, and choose actions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from policypress.policy.importers import tensor_shapes as ts
from policypress.policy.importers.assembly import BATCH, Assembly, Decision, Refused, Value, join_decisions
from policypress.policy.importers.onnx.registry import Operation, onnx_operator
from policypress.policy.importers.onnx.weighted import gather_rows


@onnx_operator("Shape")
def _shape(a: Assembly, o: Operation) -> Tensor:
    sizes = [BATCH, *o.x.shape]
    end = o.attributes.get("end")
    return torch.tensor(sizes[o.integer("start", 0) : None if end is None else int(end)], dtype=torch.int64)


@onnx_operator("Size")
def _size(a: Assembly, o: Operation) -> Tensor:
    raise Refused("it multiplies the size of the batch with others")


@onnx_operator("Reshape", on_decisions=True)
def _reshape(a: Assembly, o: Operation) -> Any:
    if isinstance(o.operands[0], Decision):
        return o.operands[0]
    target = o.integers("shape", 1) or []
    have = [BATCH, *o.x.shape]
    if not o.attributes.get("allowzero", 0):
        target = [have[i] if size == 0 and i < len(have) else size for i, size in enumerate(target)]
    return ts.reshape(a, o.x, target)


@onnx_operator("Flatten", on_decisions=True)
def _flatten(a: Assembly, o: Operation) -> Any:
    if isinstance(o.operands[0], Decision):
        return o.operands[0]
    if o.integer("axis", 1) % max(o.x.sample.dim(), 2) != 1:
        raise Refused("it merges the batch with another axis")
    return ts.reshape(a, o.x, [BATCH, -1])


@onnx_operator("Transpose")
def _transpose(a: Assembly, o: Operation) -> Value:
    return ts.permute(a, o.x, o.integers("perm") or list(reversed(range(o.x.sample.dim()))))


@onnx_operator("Squeeze", on_decisions=True)
def _squeeze(a: Assembly, o: Operation) -> Any:
    if isinstance(o.operands[0], Decision):
        return o.operands[0]
    axes = o.integers("axes", 1)
    return ts.squeeze(a, o.x, list(range(o.x.sample.dim())) if axes is None else axes)


@onnx_operator("Unsqueeze", on_decisions=True)
def _unsqueeze(a: Assembly, o: Operation) -> Any:
    if isinstance(o.operands[0], Decision):
        return o.operands[0]
    value = o.x
    axes = o.integers("axes", 1) or []
    total = value.sample.dim() + len(axes)
    for axis in sorted(axis % total for axis in axes):
        value = ts.unsqueeze(a, value, axis)
    return value


@onnx_operator("Expand")
def _expand(a: Assembly, o: Operation) -> Value:
    sizes = o.integers("shape", 1) or []
    dimensions = o.x.sample.dim()
    if len(sizes) > dimensions:
        raise Refused("it adds an axis before the batch")
    padded = [1] * (dimensions - len(sizes)) + sizes
    return ts.expand(a, o.x, padded)


@onnx_operator("Concat", on_decisions=True)
def _concat(a: Assembly, o: Operation) -> Any:
    if all(isinstance(part, Decision) for part in o.operands):
        return join_decisions(o.operands)
    if any(isinstance(part, Decision) for part in o.operands):
        raise Refused("it joins a chosen action with something else")
    return ts.concat(a, o.operands, int(o.attributes["axis"]))


@onnx_operator("Split")
def _split(a: Assembly, o: Operation) -> tuple[Value, ...]:
    axis = o.integer("axis", 0)
    size = o.x.sample.shape[ts.axis_of(o.x, axis)]
    sizes = o.integers("split", 1)
    if sizes is None:
        part = -(-size // o.outputs)
        sizes = [min(part, size - start) for start in range(0, size, part)]
    return ts.split(a, o.x, sizes, axis)


@onnx_operator("Slice")
def _slice(a: Assembly, o: Operation) -> Value:
    starts, ends = o.integers("starts", 1) or [], o.integers("ends", 2) or []
    axes = o.integers("axes", 3) or list(range(len(starts)))
    steps = o.integers("steps", 4) or [1] * len(starts)
    value = o.x
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        value = ts.cut(a, value, axis, start, end, step)
    return value


@onnx_operator("Gather")
def _gather(a: Assembly, o: Operation) -> Value:
    data, index = o.operands
    axis = o.integer("axis", 0)
    if isinstance(data, Tensor) and isinstance(index, Value) and axis == 0:
        return gather_rows(a, data, index)
    if not isinstance(index, Tensor) or index.dim() > 1:
        raise Refused("indices other than one constant, or one list of them")
    if index.dim() == 0:
        return ts.select(a, o.x, axis, int(index))
    return ts.take(a, o.x, axis, [int(i) for i in index.tolist()])


@onnx_operator("Pad")
def _pad(a: Assembly, o: Operation) -> Value:
    if o.text("mode", "constant") != "constant":
        raise Refused(f"padding of the kind {o.text('mode', 'constant')}")
    dimensions = o.x.sample.dim()
    axes = o.integers("axes", 3)
    given = o.integers("pads", 1) or []
    value = o.optional(2)
    pads = [0] * (2 * dimensions)
    for i, axis in enumerate(range(dimensions) if axes is None else axes):
        position = axis % dimensions
        pads[position], pads[dimensions + position] = given[i], given[len(given) // 2 + i]
    if pads[0] or pads[dimensions]:
        raise Refused("it adds observations to the batch")
    number = float(value) if value is not None else o.number("value", 0.0)
    return ts.pad(a, o.x, pads[1:dimensions], pads[dimensions + 1 :], number)


@onnx_operator("ArgMax")
def _argmax(a: Assembly, o: Operation) -> Decision:
    if o.attributes.get("select_last_index", 0):
        raise Refused("of equal scores it chooses the last")
    axis = ts.axis_of(o.x, o.integer("axis", 0))
    if axis != len(o.x.shape) or axis > 2:
        raise Refused(f"along axis {axis} of {o.x.shape} for each observation")
    if axis == 1:
        return Decision("argmax", (o.x,))
    return Decision("argmax", tuple(ts.select(a, o.x, 1, i) for i in range(o.x.shape[0])))
