"""Dense layers and convolutions: Gemm, MatMul, Conv, and ONNX Runtime's integer forms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from policypress_runtime.codegen.expression import Array, Constant, Expression, Load, apply, constant
from policypress_runtime.codegen.layout import channels_last
from policypress_runtime.codegen.program import Copy, Dense, Fill, Geometry, Span
from policypress_runtime.codegen.reading.builder import Codes, Value, bytes_of
from policypress_runtime.codegen.reading.operators import Node, QuantizedConstant, constant_value, operator

# The kernels read whole groups of bytes; behind what the caller gives there may be nothing to read.
GROUP = 8


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of one layer: float, or integers with a multiplier for each output that makes real numbers of sums.

    ``values`` is ``(outputs, ...)``; ``bias`` belongs to them (float32, or int32 with the zero point folded in);
    ``rest`` is a float bias that has to be added afterwards.
    """

    values: Array
    bias: Array
    multiplier: Array | None
    rest: Array | None = None


def weights_of(node: Node, codes: Codes | None, weight: object, bias: object, outputs_axis: int) -> Weights:
    """Integer weights where input and weight are integers and fit the kernels, else float ones."""
    if codes is not None and isinstance(weight, QuantizedConstant):
        centred = np.moveaxis(weight.centred(), outputs_axis, 0)
        along = weight.per_tensor or weight.axis % weight.integers.ndim == outputs_axis
        if along and centred.min(initial=0) >= -128 and centred.max(initial=0) <= 127:
            scale = np.float32(codes.scale) * weight.scale.astype(np.float32).reshape(-1)
            scale = np.broadcast_to(scale, len(centred)).astype(np.float32)
            integers, rest = _integer_bias(bias, scale)
            sums = centred.reshape(len(centred), -1).sum(1)
            return Weights(centred.astype(np.int8), (integers - codes.zero * sums).astype(np.int32), scale, rest)
    values = np.moveaxis(_real(node, weight), outputs_axis, 0)
    added = np.zeros(len(values), np.float32) if bias is None else _real(node, bias).reshape(-1)
    return Weights(values, np.broadcast_to(added, len(values)).astype(np.float32), None)


def _integer_bias(bias: object, scale: Array) -> tuple[Array, Array | None]:
    """The bias in units of the sums, int64; what is in other units is left to be added in float."""
    zeros = np.zeros(len(scale), np.int64)
    if bias is None:
        return zeros, None
    if isinstance(bias, QuantizedConstant):
        given = np.broadcast_to(bias.scale.astype(np.float32).reshape(-1), len(scale))
        # The writers multiply the two scales in float32 or in float64.
        if bool(np.allclose(given, scale, rtol=1e-6, atol=0)):
            return np.asarray(np.broadcast_to(bias.centred().reshape(-1), len(scale))), None
        return zeros, bias.real().reshape(-1)
    return zeros, np.asarray(bias, np.float32).reshape(-1)


def _real(node: Node, operand: object) -> Array:
    if isinstance(operand, QuantizedConstant):
        return operand.real()
    if isinstance(operand, np.ndarray):
        return operand.astype(np.float32)
    raise node.refuse("its weights depend on the observation")


def dense(node: Node, value: Value, weights: Weights) -> Value:
    """A dense layer over the last axis of ``value``; ``weights.values`` is ``(outputs, inputs)``."""
    outputs, inputs = weights.values.shape
    if not value.shape or value.shape[-1] != inputs:
        raise node.refuse(f"weights of {inputs} inputs for a tensor of shape {('batch', *value.shape)}")
    rows = value.size // inputs
    source, columns = _rows_of(node, value, rows, weights.multiplier is not None)
    geometry = Geometry(inputs, segment_stride=inputs, rows=rows, row_stride=inputs)
    shape = (*value.shape[:-1], outputs)
    return _deferred(node, source, weights.values[:, None, columns], weights, geometry, shape, None)


def _rows_of(node: Node, value: Value, rows: int, integer: bool) -> tuple[Span, Array]:
    """Where the rows lie, one behind the other, and the order of their elements: weights follow it."""
    width = value.shape[-1]
    load = bytes_of(value) if integer else None
    if load is not None:
        value = Value(value.shape, load)
    if rows == 1:
        source, order = node.builder.packed(value, node.hint)
        return _readable(node, source, width, integer), order
    source = node.builder.arranged(value, hint=node.hint)
    return _readable(node, source, value.size, integer), np.arange(width)


def _readable(node: Node, source: Span, size: int, integer: bool) -> Span:
    """``source`` in scratch memory, if the kernels may read a few bytes behind it."""
    if source.storage.space == "scratch" or not integer or size % GROUP == 0:
        return source
    target = Span(node.builder.storage(node.hint, source.storage.kind, size))
    node.builder.emit(Copy(source, target, ((size, 1, 1),)))
    return target


def _deferred(
    node: Node,
    source: Span,
    values: Array,
    weights: Weights,
    geometry: Geometry,
    shape: tuple[int, ...],
    index: Array | None,
) -> Value:
    size = int(np.prod(shape, dtype=np.int64))
    out = Span(node.builder.storage(node.hint, "float32", size))
    step = Dense(source, out, np.ascontiguousarray(values), weights.bias, geometry, weights.multiplier)
    node.builder.defer(step)
    places = np.arange(size).reshape(shape) if index is None else index
    result: Expression = Load(out.storage, places)
    if weights.rest is not None:
        rest = weights.rest if index is None else weights.rest.reshape(-1, 1, 1)
        result = apply("add", result, constant(rest))
    return Value(shape, result)


@operator("Gemm")
def _gemm(node: Node) -> Value:
    if node.integer("transA", 0) or node.number("alpha", 1.0) != 1.0 or node.number("beta", 1.0) != 1.0:
        raise node.refuse("transA, or an alpha or beta that is not 1")
    value = node.value()
    axis = 0 if node.integer("transB", 0) else 1
    return dense(node, value, weights_of(node, value.codes, node.operand(1), node.operand(2), axis))


@operator("MatMul")
def _matmul(node: Node) -> Value:
    value, weight = node.value(), node.operand(1)
    shape = weight.integers.shape if isinstance(weight, QuantizedConstant) else np.shape(node.constant(1))
    if len(shape) != 2 or isinstance(value.expression, Constant):
        raise node.refuse(f"its second operand has shape {tuple(shape)}, not (inputs, outputs)")
    return dense(node, value, weights_of(node, value.codes, weight, None, 1))


@operator("MatMulInteger")
def _matmul_integer(node: Node) -> Value:
    value, weight = _integer_operands(node)
    weights = Weights(
        weight.T.astype(np.int8), np.zeros(weight.shape[1], np.int32), np.ones(weight.shape[1], np.float32)
    )
    sums = dense(node, value, weights)
    return _less_zero_point(node, sums, constant(weight.sum(0).astype(np.float32)))


def _integer_operands(node: Node) -> tuple[Value, Array]:
    """Bytes from DynamicQuantizeLinear, and weights without their zero point."""
    value, weight = node.value(), node.constant(1).astype(np.int64)
    zero = node.optional(3)
    weight = weight - (0 if zero is None else zero.astype(np.int64))
    if value.codes is None or weight.min(initial=0) < -128 or weight.max(initial=0) > 127:
        raise node.refuse("its operands are not unsigned bytes of DynamicQuantizeLinear and signed bytes")
    return value, weight


def _less_zero_point(node: Node, sums: Value, weight_sums: Expression) -> Value:
    """Σ (x − z) w = Σ x w − z Σ w, where z is known at run time only."""
    zero = node.operand(2)
    if zero is None:
        return sums
    value = zero if isinstance(zero, Value) else constant_value(np.asarray(zero, np.float32))
    return Value(sums.shape, apply("sub", sums.expression, apply("mul", value.expression, weight_sums)))


@operator("ConvInteger")
def _conv_integer(node: Node) -> Value:
    value, weight = _integer_operands(node)
    form = _Convolution.of(node, value, weight.shape)
    if any(form.padding):
        raise node.refuse("a padded ConvInteger")
    outputs = weight.shape[0]
    weights = Weights(weight.astype(np.int8), np.zeros(outputs, np.int32), np.ones(outputs, np.float32))
    sums = convolution(node, value, weights, form)
    totals = weight.reshape(outputs, -1).sum(1).astype(np.float32).reshape(-1, 1, 1)
    return _less_zero_point(node, sums, constant(totals))


@dataclass(frozen=True)
class _Convolution:
    """Sizes of a convolution: strides, dilations, groups, and padding (top, left, bottom, right)."""

    stride: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    padding: tuple[int, int, int, int]

    @staticmethod
    def of(node: Node, value: Value, weight: tuple[int, ...]) -> _Convolution:
        if len(value.shape) != 3 or len(weight) != 4:
            raise node.refuse(f"a tensor of shape {('batch', *value.shape)}; images only")
        stride, dilation = node.integers("strides") or [1, 1], node.integers("dilations") or [1, 1]
        reach = [(k - 1) * d + 1 for k, d in zip(weight[2:], dilation, strict=True)]
        padding = padding_of(node, value.shape[1:], reach, stride)
        return _Convolution((stride[0], stride[1]), (dilation[0], dilation[1]), node.integer("group", 1), padding)


def padding_of(node: Node, image: tuple[int, ...], kernel: list[int], stride: list[int]) -> tuple[int, int, int, int]:
    """Padding (top, left, bottom, right), as an attribute or by ``auto_pad``."""
    mode = node.text("auto_pad", "NOTSET")
    if mode in ("NOTSET", "VALID"):
        top, left, bottom, right = (node.integers("pads") or [0, 0, 0, 0]) if mode == "NOTSET" else [0, 0, 0, 0]
        return top, left, bottom, right
    total = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(image, kernel, stride, strict=True)]
    low = [t // 2 if mode == "SAME_UPPER" else -(-t // 2) for t in total]
    return low[0], low[1], total[0] - low[0], total[1] - low[1]


@operator("Conv")
def _conv(node: Node) -> Value:
    value = node.value()
    weights = weights_of(node, value.codes, node.operand(1), node.operand(2), 0)
    return convolution(node, value, weights, _Convolution.of(node, value, weights.values.shape))


def convolution(node: Node, value: Value, weights: Weights, form: _Convolution) -> Value:
    """A convolution over ``(channels, height, width)`` with weights ``(outputs, channels, rows, columns)``."""
    values = _ungrouped(weights.values, form, value.shape[0])
    outputs, channels, kernel_h, kernel_w = values.shape
    _, height, width = value.shape
    if value.shape[0] != channels:
        raise node.refuse(f"weights of {channels} channels for a tensor of shape {('batch', *value.shape)}")
    top, left, bottom, right = form.padding
    padded = (height + top + bottom, width + left + right)
    rows = (padded[0] - kernel_h) // form.stride[0] + 1
    columns = (padded[1] - kernel_w) // form.stride[1] + 1
    source = _channels_last(node, value, form.padding, kernel_w * channels, weights.multiplier is not None)
    geometry = Geometry(
        run=kernel_w * channels,
        segments=kernel_h,
        segment_stride=padded[1] * channels,
        rows=columns,
        row_stride=form.stride[1] * channels,
        lines=rows,
        line_stride=form.stride[0] * padded[1] * channels,
    )
    packed = values.transpose(0, 2, 3, 1).reshape(outputs, kernel_h, kernel_w * channels)
    index = np.arange(rows * columns * outputs).reshape(rows, columns, outputs).transpose(2, 0, 1)
    return _deferred(node, source, packed, weights, geometry, (outputs, rows, columns), index)


def _ungrouped(values: Array, form: _Convolution, channels: int) -> Array:
    """Weights of the plain convolution that does the same: zeros between groups and between dilated taps."""
    outputs, group_channels, kernel_h, kernel_w = values.shape
    down, across = form.dilation
    spread = np.zeros((outputs, group_channels, (kernel_h - 1) * down + 1, (kernel_w - 1) * across + 1), values.dtype)
    spread[:, :, ::down, ::across] = values
    if form.groups == 1:
        return spread
    whole = np.zeros((outputs, channels, *spread.shape[2:]), values.dtype)
    share = outputs // form.groups
    for group in range(form.groups):
        rows = slice(group * share, (group + 1) * share)
        whole[rows, group * group_channels : (group + 1) * group_channels] = spread[rows]
    return whole


def _channels_last(node: Node, value: Value, padding: tuple[int, int, int, int], run: int, integer: bool) -> Span:
    """The image channel-last in one stretch of memory, with a border of what stands for 0."""
    channels, height, width = value.shape
    zero = 0
    if integer and value.codes is not None:
        zero = value.codes.zero
        value = Value(value.shape, bytes_of(value))
    order = channels_last(channels, height, width)
    if not any(padding):
        source = node.builder.arranged(value, order, hint=node.hint)
        return _readable(node, source, value.size, integer) if run % GROUP else source
    top, left, bottom, right = padding
    line = (width + left + right) * channels
    size = (height + top + bottom) * line
    inner = node.builder.arranged(value, order, hint=node.hint)
    target = node.builder.storage(node.hint, inner.storage.kind, size)
    node.builder.emit(Fill(Span(target), size, zero))
    rows = (height, width * channels, line)
    node.builder.emit(Copy(inner, Span(target, top * line + left * channels), (rows, (width * channels, 1, 1))))
    return Span(target)
