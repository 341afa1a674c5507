"""QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear: where floats become bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from policypress_runtime.codegen.expression import (
    Apply,
    Array,
    Constant,
    Expression,
    Load,
    apply,
    constant,
    evaluate,
    leaves,
    operations,
)
from policypress_runtime.codegen.layout import inverse, order_of
from policypress_runtime.codegen.program import Lookup, Quantize, QuantizeDynamically, Span
from policypress_runtime.codegen.reading.builder import Codes, Value, bytes_of, dequantized
from policypress_runtime.codegen.reading.elementwise import real
from policypress_runtime.codegen.reading.operators import Node, QuantizedConstant, operator, scalar_of

# ONNX Runtime keeps activations in unsigned or signed bytes; ours are unsigned always.
SIGNED_SHIFT = 128
# Share of a step within which a limit counts as a whole number of steps.
ON_GRID = 1e-3


def _zero_point(node: Node) -> tuple[int, int]:
    """The zero point among unsigned bytes, and how far signed bytes are shifted to become those."""
    zero = node.optional(2)
    if zero is None:
        return 0, 0
    if zero.dtype not in (np.uint8, np.int8):
        raise node.refuse(f"integers of type {zero.dtype}")
    shift = SIGNED_SHIFT if zero.dtype == np.int8 else 0
    return int(zero.reshape(-1)[0]) + shift, shift


@operator("QuantizeLinear")
def _quantize(node: Node) -> Value:
    value = real(node, node.value())
    scale = node.constant(1)
    if scale.size != 1:
        return _rounded_by_channel(node, value)
    zero, shift = _zero_point(node)
    codes = Codes(float(np.float32(scale.reshape(-1)[0])), zero)
    if not 0 < codes.scale < np.inf:
        raise node.refuse(f"a scale of {codes.scale}")
    if shift and node.outputs:
        node.notes.append(f"{node.name}: signed bytes are shifted by {shift}")
    return _from_table(node, value, codes) or _from_layer(node, value, codes) or _from_floats(node, value, codes)


def _axis_shape(node: Node, parameters: Array, rank: int) -> Array:
    """One parameter per channel, shaped to broadcast over one observation."""
    axis = node.axis(node.integer("axis", 1), rank)
    shape = [1] * (rank - 1)
    shape[axis] = -1
    return parameters.reshape(shape)


def _rounded_by_channel(node: Node, value: Value) -> Value:
    """One scale per channel: integers, as floats. No kernel reads these; DequantizeLinear follows."""
    rank = len(value.shape) + 1
    zero = node.optional(2)
    given = np.zeros(node.constant(1).size, np.uint8) if zero is None else zero
    low, high = (-128.0, 127.0) if given.dtype == np.int8 else (0.0, 255.0)
    scale = constant(_axis_shape(node, node.constant(1).astype(np.float32), rank))
    shift = constant(_axis_shape(node, given.astype(np.float32), rank))
    steps = apply("add", apply("round", apply("div", value.expression, scale)), shift)
    return Value(value.shape, apply("clamp", steps, low, high, watched=value.raw))


def _from_table(node: Node, value: Value, codes: Codes) -> Value | None:
    """Bytes to bytes: what lies between an 8-bit observation and its quantizer is one table, or nothing at all."""
    loads = list(leaves(value.expression))
    if len(loads) != 1 or loads[0].storage.kind not in ("uint8", "int8") or value.codes is not None:
        return None
    load = loads[0]
    if any(
        scalar_of(x) is None for step in operations(value.expression) for x in step.operands if isinstance(x, Constant)
    ):
        return None
    low = 0 if load.storage.kind == "uint8" else -128
    inputs = np.arange(low, low + 256, dtype=np.int32)
    reals = evaluate(value.expression, lambda _: inputs)
    if reals is None:
        return None
    steps = np.rint((reals / np.float32(codes.scale)).astype(np.float32)) + codes.zero
    table = np.clip(steps, 0, 255).astype(np.uint8)
    if low == 0 and np.array_equal(table, inputs):
        return dequantized(load, codes, value.shape, raw=True)
    within = inputs[(steps >= 0) & (steps <= 255)]
    accepted = (int(within[0]), int(within[-1])) if value.raw and within.size else (low, low + 255)
    source, order = node.builder.packed(Value(value.shape, load), node.hint)
    out = node.builder.storage(node.hint, "uint8", value.size)
    # The table is read by the byte, so that a signed one starts in its middle.
    bytewise = np.roll(table, low) if low else table
    node.builder.emit(Lookup(source, Span(out), value.size, tuple(int(v) for v in bytewise), accepted))
    return dequantized(Load(out, inverse(order).reshape(value.shape)), codes, value.shape)


def _limits(expression: Expression, codes: Codes) -> tuple[Expression, int, int]:
    """What lies under limits that the quantizer can take over, and the integers they leave, less the zero point."""
    low, high = -codes.zero, 255 - codes.zero
    while isinstance(expression, Apply):
        limits = _limits_of(expression)
        if limits is None:
            break
        steps = [float(np.rint(np.float32(limit) / np.float32(codes.scale))) for limit in limits]
        # A limit on the observation sets a status bit, which the quantizer does where it is the narrower one, or the
        # limit is the quantizer's own: that of a narrower integer.
        if expression.watched and not (steps[0] < low - 1 and steps[1] > high + 1) and not _on_grid(limits, codes):
            break
        # The innermost limit comes first in time, so that the outer one has the last word.
        low, high = (min(max(v, _clipped(steps[0])), _clipped(steps[1])) for v in (low, high))
        expression = expression.operands[0]
    return expression, low, high


def _on_grid(limits: tuple[float, float], codes: Codes) -> bool:
    """Whether limits are whole steps of the quantizer."""
    steps = [limit / codes.scale for limit in limits]
    return all(abs(step - round(step)) < ON_GRID for step in steps if np.isfinite(step))


def _clipped(steps: float) -> int:
    return int(min(max(steps, -1e6), 1e6))


def _limits_of(step: Apply) -> tuple[float, float] | None:
    if step.operation == "relu":
        return 0.0, np.inf
    if step.operation == "clamp":
        low, high = scalar_of(step.operands[1]), scalar_of(step.operands[2])
        return None if low is None or high is None or low > high else (low, high)
    if step.operation in ("min", "max"):
        limit = scalar_of(step.operands[1])
        if limit is not None:
            return (-np.inf, limit) if step.operation == "min" else (limit, np.inf)
    return None


def _from_layer(node: Node, value: Value, codes: Codes) -> Value | None:
    """A dense layer, perhaps with limits behind it, whose kernel rounds to bytes by itself."""
    inner, low, high = _limits(value.expression, codes)
    if not isinstance(inner, Load):
        return None
    waiting = node.builder.waiting(inner.storage)
    found = order_of(inner.index)
    if waiting is None or waiting.multiplier is None or found is None or inner.index.size != inner.storage.size:
        return None
    step = node.builder.take(inner.storage)
    out = node.builder.storage(node.hint, "uint8", inner.storage.size)
    multiplier = (waiting.multiplier / np.float32(codes.scale)).astype(np.float32)
    node.builder.emit(replace(step, out=Span(out), multiplier=multiplier, limits=(low, high, codes.zero)))
    return dequantized(Load(out, inner.index), codes, value.shape)


def _from_floats(node: Node, value: Value, codes: Codes) -> Value:
    inner, low, high = _limits(value.expression, codes)
    source, order = node.builder.packed(replace(value, expression=inner, codes=None), node.hint)
    out = node.builder.storage(node.hint, "uint8", value.size)
    node.builder.emit(Quantize(source, Span(out), value.size, codes.scale, low, high, codes.zero, value.raw))
    return dequantized(Load(out, inverse(order).reshape(value.shape)), codes, value.shape)


@operator("DequantizeLinear")
def _dequantize(node: Node) -> Value | QuantizedConstant:
    value = node.operand(0)
    if not isinstance(value, Value):
        return _quantized_constant(node)
    scale = node.operand(1)
    if isinstance(scale, Value):
        return _dequantize_dynamically(node, value, scale)
    factors = node.constant(1)
    if factors.size != 1 or value.codes is None:
        return _dequantize_by_channel(node, value, factors)
    codes = Codes(float(np.float32(factors.reshape(-1)[0])), _zero_point(node)[0])
    return dequantized(bytes_of(value), codes, value.shape)


def _quantized_constant(node: Node) -> QuantizedConstant:
    integers, scale, zero = node.constant(0), node.constant(1), node.optional(2)
    if integers.dtype.kind not in "iu":
        raise node.refuse(f"integers of type {integers.dtype}")
    zeros = np.zeros(scale.shape, np.int32) if zero is None else zero
    return QuantizedConstant(integers, scale, zeros, node.integer("axis", 1))


def _dequantize_by_channel(node: Node, value: Value, factors: Array) -> Value:
    rank = len(value.shape) + 1
    zero = node.optional(2)
    zeros = np.zeros(factors.size) if zero is None else zero
    shift = constant(_axis_shape(node, zeros.astype(np.float32), rank))
    factor = constant(_axis_shape(node, factors.astype(np.float32), rank))
    return Value(value.shape, apply("mul", apply("sub", value.expression, shift), factor))


def _dequantize_dynamically(node: Node, value: Value, scale: Value) -> Value:
    zero = node.value(2)
    real_bytes = apply("float", bytes_of(value))
    return Value(value.shape, apply("mul", apply("sub", real_bytes, zero.expression), scale.expression))


@operator("DynamicQuantizeLinear")
def _quantize_dynamically(node: Node) -> tuple[Value, Value, Value]:
    value = real(node, node.value())
    builder = node.builder
    source, order = builder.packed(replace(value, codes=None), node.hint)
    out = builder.storage(node.hint, "uint8", value.size)
    scale, zero = (builder.storage(f"{node.hint}_{part}", "float32", 1) for part in ("scale", "zero"))
    builder.emit(QuantizeDynamically(source, Span(out), Span(scale), Span(zero), value.size))
    # The codes only say that these are bytes; their scale is a value of its own.
    load = Load(out, inverse(order).reshape(value.shape))
    place = np.zeros((), np.int64)
    return dequantized(load, Codes(1.0, 0), value.shape), Value((), Load(scale, place)), Value((), Load(zero, place))
