"""Pooling, means, normalisation over features, softmax, and the choice of the best."""

from __future__ import annotations

import numpy as np

from policypress_runtime.codegen.expression import Apply, Constant, Load, apply, constant
from policypress_runtime.codegen.layout import channels_last
from policypress_runtime.codegen.program import ArgMax, LayerNorm, Pool, Reduce, Softmax, Span, Window
from policypress_runtime.codegen.reading.builder import Value, bytes_of, dequantized
from policypress_runtime.codegen.reading.dense import padding_of
from policypress_runtime.codegen.reading.elementwise import real
from policypress_runtime.codegen.reading.operators import Node, operator

REDUCTIONS = {"ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "max", "ReduceMin": "min"}


@operator("MaxPool", "AveragePool")
def _pool(node: Node) -> Value:
    value = real(node, node.value())
    kernel = node.integers("kernel_shape") or []
    stride = node.integers("strides") or [1, 1]
    if len(value.shape) != 3 or len(kernel) != 2:
        raise node.refuse(f"a tensor of shape {('batch', *value.shape)}; images only")
    if node.integer("ceil_mode", 0) or set(node.integers("dilations") or [1]) != {1}:
        raise node.refuse("ceil_mode, or dilations")
    channels, height, width = value.shape
    top, left, bottom, right = padding_of(node, (height, width), kernel, stride)
    rows = (height + top + bottom - kernel[0]) // stride[0] + 1
    columns = (width + left + right - kernel[1]) // stride[1] + 1
    window = Window(
        (height, width, channels), (kernel[0], kernel[1]), (stride[0], stride[1]), (top, left), (rows, columns)
    )
    kind = "max" if node.kind == "MaxPool" else "average"
    codes = value.codes if kind == "max" else None
    # The largest byte stands for the largest number.
    given = value if codes is None else Value(value.shape, bytes_of(value))
    source = node.builder.arranged(given, channels_last(channels, height, width), hint=node.hint)
    out = node.builder.storage(node.hint, "float32" if codes is None else "uint8", rows * columns * channels)
    counts = bool(node.integer("count_include_pad", 0))
    node.builder.emit(Pool("max" if kind == "max" else "average", source, Span(out), window, counts))
    load = Load(out, np.arange(out.size).reshape(rows, columns, channels).transpose(2, 0, 1))
    shape = (channels, rows, columns)
    return Value(shape, load) if codes is None else dequantized(load, codes, shape)


@operator(*REDUCTIONS)
def _reduce(node: Node) -> Value:
    value = real(node, node.value())
    rank = len(value.shape) + 1
    given = node.integers("axes", 1)
    if given is None:
        raise node.refuse("it reduces the batch too")
    return reduced(
        node, value, REDUCTIONS[node.kind], [node.axis(a, rank) for a in given], bool(node.integer("keepdims", 1))
    )


@operator("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(node: Node) -> Value:
    value = real(node, node.value())
    kind = "mean" if node.kind == "GlobalAveragePool" else "max"
    return reduced(node, value, kind, list(range(1, len(value.shape))), True)


def reduced(node: Node, value: Value, kind: str, axes: list[int], keep: bool) -> Value:
    """``value`` reduced over ``axes`` of one observation."""
    kept = [axis for axis in range(len(value.shape)) if axis not in axes]
    order = np.arange(value.size).reshape(value.shape).transpose([*kept, *axes]).reshape(-1)
    source = node.builder.arranged(Value(value.shape, value.expression), order, hint=node.hint)
    size = int(np.prod([value.shape[axis] for axis in kept], dtype=np.int64))
    out = node.builder.storage(node.hint, "float32", size)
    for name in ("mean", "sum", "max", "min"):
        if kind == name:
            node.builder.emit(Reduce(name, source, Span(out), size, value.size // size))
    shape = tuple(1 if i in axes else n for i, n in enumerate(value.shape) if keep or i not in axes)
    return Value(shape, Load(out, np.arange(size).reshape(shape)))


@operator("LayerNormalization")
def _layer_norm(node: Node) -> Value:
    value = real(node, node.value())
    if len(node.outputs) > 1 and any(node.outputs[1:]):
        raise node.refuse("its mean and deviation are used")
    axis = node.axis(node.integer("axis", -1), len(value.shape) + 1)
    size = int(np.prod(value.shape[axis:]))
    weight = np.broadcast_to(node.constant(1), value.shape[axis:]).reshape(-1).astype(np.float32)
    bias = node.optional(2)
    shift = np.zeros(size) if bias is None else np.broadcast_to(bias, value.shape[axis:]).reshape(-1)
    source = node.builder.arranged(Value(value.shape, value.expression), hint=node.hint)
    out = node.builder.storage(node.hint, "float32", value.size)
    epsilon = float(np.float32(node.number("epsilon", 1e-5)))
    groups = value.size // size
    node.builder.emit(LayerNorm(source, Span(out), groups, size, epsilon, weight, shift.astype(np.float32)))
    return Value(value.shape, Load(out, np.arange(value.size).reshape(value.shape)))


@operator("BatchNormalization")
def _batch_norm(node: Node) -> Value:
    value = real(node, node.value())
    scale, bias, mean, variance = (node.constant(i).astype(np.float64) for i in range(1, 5))
    factor = scale / np.sqrt(variance + node.number("epsilon", 1e-5))
    shape = (-1, *[1] * (len(value.shape) - 1))
    scaled = apply("mul", value.expression, constant(factor.reshape(shape)))
    return Value(value.shape, apply("add", scaled, constant((bias - mean * factor).reshape(shape))))


def _rows_along(node: Node, value: Value, axis: int) -> tuple[Span, int, int]:
    """``value`` with ``axis`` last in memory: where it lies, the number of rows, and their length."""
    index = np.moveaxis(np.arange(value.size).reshape(value.shape), axis, -1)
    source = node.builder.arranged(Value(value.shape, value.expression), index.reshape(-1), hint=node.hint)
    return source, value.size // value.shape[axis], value.shape[axis]


@operator("Softmax")
def _softmax(node: Node) -> Value:
    value = real(node, node.value())
    rank = len(value.shape) + 1
    axis = node.axis(node.integer("axis", -1 if node.opset >= 13 else 1), rank)
    if node.opset < 13 and axis != len(value.shape) - 1:
        raise node.refuse("a softmax over several axes")
    source, groups, size = _rows_along(node, value, axis)
    out = node.builder.storage(node.hint, "float32", value.size)
    node.builder.emit(Softmax(source, Span(out), groups, size))
    moved = [n for i, n in enumerate(value.shape) if i != axis]
    index = np.moveaxis(np.arange(value.size).reshape(*moved, size), -1, axis)
    return Value(value.shape, Load(out, index))


@operator("ArgMax")
def _argmax(node: Node) -> Value:
    value = real(node, node.value())
    axis = node.axis(node.integer("axis", 0), len(value.shape) + 1)
    source, groups, size = _rows_along(node, value, axis)
    out = node.builder.storage(node.hint, "int32", groups)
    node.builder.emit(ArgMax(source, Span(out), groups, size, bool(node.integer("select_last_index", 0))))
    keep = bool(node.integer("keepdims", 1))
    shape = tuple(1 if i == axis else n for i, n in enumerate(value.shape) if keep or i != axis)
    return Value(shape, Load(out, np.arange(groups).reshape(shape)))


@operator("Sum", "Mean")
def _sum(node: Node) -> Value:
    values = [real(node, node.value(i)) for i in range(len(node.operands))]
    if len({v.shape for v in values}) > 1 or any(isinstance(v.expression, Constant) for v in values):
        raise node.refuse("operands of different shapes")
    result = values[0].expression
    for value in values[1:]:
        result = apply("add", result, value.expression)
    if node.kind == "Mean":
        result = apply("mul", result, 1.0 / len(values))
    return Value(values[0].shape, Apply(result.operation, result.operands) if isinstance(result, Apply) else result)
