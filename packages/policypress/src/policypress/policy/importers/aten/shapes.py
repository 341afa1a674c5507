"""ATen operators that move elements, and those that choose actions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from policypress.policy.importers import elementwise as ew
from policypress.policy.importers import tensor_shapes as ts
from policypress.policy.importers.assembly import BATCH, Assembly, Decision, Refused, Value, join_decisions
from policypress.policy.importers.aten.registry import Arguments, aten, axes_of, constant_of


@aten("argmax")
def _argmax(a: Assembly, p: Arguments) -> Decision:
    x: Value = p["self"]
    if p["dim"] is None:
        raise Refused("it works along the batch; every observation must be treated alone")
    axis = ts.axis_of(x, int(p["dim"]))
    if axis != len(x.shape) or axis > 2:
        raise Refused(f"along axis {axis} of {x.shape} for each observation")
    if axis == 1:
        return Decision("argmax", (x,))
    return Decision("argmax", tuple(ts.select(a, x, 1, i) for i in range(x.shape[0])))


@aten("gt")
def _gt(a: Assembly, p: Arguments) -> Decision:
    x = p["self"]
    limit = float(p["other"]) if not isinstance(p["other"], Value) else math.nan
    if not isinstance(x, Value) or math.isnan(limit):
        raise Refused("a comparison other than of each score with a constant")
    return Decision("threshold", (x if limit == 0.0 else ew.add(a, x, torch.tensor(-limit)),))


@aten("view", "reshape", "_unsafe_view", on_decisions=True)
def _view(a: Assembly, p: Arguments) -> Any:
    if isinstance(p["self"], Decision):
        return p["self"]
    return ts.reshape(a, p["self"], p["size"] if "size" in p else p["shape"])


@aten("flatten", on_decisions=True)
def _flatten(a: Assembly, p: Arguments) -> Any:
    x = p["self"]
    if isinstance(x, Decision):
        return x
    start, end = (axis % x.sample.dim() for axis in (int(p["start_dim"]), int(p["end_dim"])))
    if start == 0:
        raise Refused("it merges the batch with another axis")
    shape = x.sample.shape
    return ts.features(a, x, [*shape[1:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]])


@aten("unflatten")
def _unflatten(a: Assembly, p: Arguments) -> Value:
    x: Value = p["self"]
    axis = ts.axis_of(x, int(p["dim"]))
    return ts.reshape(a, x, [BATCH, *x.shape[: axis - 1], *p["sizes"], *x.shape[axis:]])


@aten("permute")
def _permute(a: Assembly, p: Arguments) -> Value:
    return ts.permute(a, p["self"], p["dims"])


@aten("transpose")
def _transpose(a: Assembly, p: Arguments) -> Value:
    return ts.swap(a, p["self"], int(p["dim0"]), int(p["dim1"]))


@aten("squeeze", on_decisions=True)
def _squeeze(a: Assembly, p: Arguments) -> Any:
    x, axes = p["self"], p.get("dim")
    if isinstance(x, Decision):
        return x
    every = list(range(x.sample.dim()))
    return ts.squeeze(a, x, every if axes is None else axes_of(axes))


@aten("unsqueeze", on_decisions=True)
def _unsqueeze(a: Assembly, p: Arguments) -> Any:
    return p["self"] if isinstance(p["self"], Decision) else ts.unsqueeze(a, p["self"], int(p["dim"]))


@aten("expand")
def _expand(a: Assembly, p: Arguments) -> Value:
    return ts.expand(a, p["self"], p["size"])


@aten("cat", on_decisions=True)
def _cat(a: Assembly, p: Arguments) -> Any:
    return _joined(a, p["tensors"], int(p["dim"]), ts.concat)


@aten("stack", on_decisions=True)
def _stack(a: Assembly, p: Arguments) -> Any:
    return _joined(a, p["tensors"], int(p["dim"]), ts.stack)


def _joined(a: Assembly, parts: list[Any], axis: int, join: Callable[..., Value]) -> Any:
    if all(isinstance(part, Decision) for part in parts):
        return join_decisions(parts)
    if any(isinstance(part, Decision) for part in parts):
        raise Refused("it joins a chosen action with something else")
    return join(a, parts, axis)


@aten("slice")
def _slice(a: Assembly, p: Arguments) -> Value:
    end = BATCH if p["end"] is None else int(p["end"])
    return ts.cut(a, p["self"], int(p["dim"]), int(p["start"] or 0), end, int(p["step"]))


@aten("narrow")
def _narrow(a: Assembly, p: Arguments) -> Value:
    return ts.cut(a, p["self"], int(p["dim"]), int(p["start"]), int(p["start"]) + int(p["length"]))


@aten("select")
def _select(a: Assembly, p: Arguments) -> Value:
    return ts.select(a, p["self"], int(p["dim"]), int(p["index"]))


@aten("index_select")
def _index_select(a: Assembly, p: Arguments) -> Value:
    return ts.take(a, p["self"], int(p["dim"]), constant_of(p["index"]).tolist())


@aten("index")
def _index(a: Assembly, p: Arguments) -> Value:
    given = [(axis, index) for axis, index in enumerate(p["indices"]) if index is not None]
    if len(given) != 1 or not isinstance(given[0][1], Tensor) or given[0][1].dim() != 1:
        raise Refused("indices other than one constant list along one axis")
    axis, index = given[0]
    chosen = torch.nonzero(index)[:, 0] if index.dtype == torch.bool else index
    return ts.take(a, p["self"], axis, chosen.tolist())


@aten("flip")
def _flip(a: Assembly, p: Arguments) -> Value:
    x: Value = p["self"]
    for axis in p["dims"]:
        x = ts.take(a, x, axis, list(reversed(range(x.sample.shape[axis]))))
    return x


@aten("split", "split_with_sizes", "chunk")
def _split(a: Assembly, p: Arguments) -> tuple[Value, ...]:
    x: Value = p["self"]
    size = x.sample.shape[ts.axis_of(x, int(p["dim"]))]
    sizes = p.get("split_sizes", p.get("split_size"))
    if sizes is None:
        sizes = -(-size // int(p["chunks"]))
    if isinstance(sizes, int):
        sizes = [min(sizes, size - start) for start in range(0, size, sizes)]
    return ts.split(a, x, sizes, int(p["dim"]))


@aten("unbind")
def _unbind(a: Assembly, p: Arguments) -> tuple[Value, ...]:
    x: Value = p["self"]
    axis = ts.axis_of(x, int(p["dim"]))
    return tuple(ts.select(a, x, axis, i) for i in range(x.sample.shape[axis]))


@aten("pad", "constant_pad_nd")
def _pad(a: Assembly, p: Arguments) -> Value:
    x: Value = p["self"]
    if p.get("mode", "constant") != "constant":
        raise Refused(f"padding of the kind {p['mode']}")
    before, after = [0] * len(x.shape), [0] * len(x.shape)
    for i, (low, high) in enumerate(zip(p["pad"][::2], p["pad"][1::2], strict=True)):
        before[-1 - i], after[-1 - i] = int(low), int(high)
    return ts.pad(a, x, before, after, float(p.get("value") or 0.0))
