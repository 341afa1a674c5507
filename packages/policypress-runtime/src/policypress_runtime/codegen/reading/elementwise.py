"""Element-wise ONNX operators as expressions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from policypress_runtime.codegen.expression import Apply, Constant, Expression, Load, apply, constant
from policypress_runtime.codegen.reading.builder import Value
from policypress_runtime.codegen.reading.operators import Node, operator, without_batch

SIMPLE = {
    "Relu": "relu",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "HardSwish": "hard_swish",
    "Mish": "mish",
    "Exp": "exp",
    "Log": "log",
    "Sin": "sin",
    "Cos": "cos",
    "Abs": "abs",
    "Sqrt": "sqrt",
    "Reciprocal": "reciprocal",
    "Erf": "erf",
    "Neg": "neg",
    "Round": "round",
    "Floor": "floor",
    "Ceil": "ceil",
}
BINARY = {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div", "Min": "min", "Max": "max"}
COMPARISONS = {"Equal": "equal", "Greater": "greater", "Less": "less"}
# Operations that move every element alike, and leave open whether it is within limits.
RAW = {"add", "sub", "mul", "div", "neg"}


def real(node: Node, value: Value) -> Value:
    """``value`` where it is float.

    Raises:
        NetworkError: it holds integers.
    """
    if not value.real:
        raise node.refuse("it computes with integers")
    return value


@operator(*SIMPLE)
def _simple(node: Node) -> Value:
    value = real(node, node.value())
    operation = SIMPLE[node.kind]
    if node.kind == "Relu" and value.codes is not None and value.codes.zero == 0:
        return value
    return Value(value.shape, apply(operation, value.expression), raw=value.raw and operation in RAW)


@operator("Identity", "Dropout")
def _identity(node: Node) -> Value:
    return node.value()


def broadcast(node: Node, *values: Value) -> tuple[tuple[int, ...], list[Expression]]:
    """Expressions of operands that broadcast as ONNX says, and their common shape, batch axis left out.

    Raises:
        NetworkError: the batch would not line up.
    """
    moving = [v for v in values if not isinstance(v.expression, Constant)]
    ranks = {len(v.shape) for v in moving if v.size > 1 or v.shape}
    if len(ranks) > 1:
        shapes = " and ".join(str(("batch", *v.shape)) for v in moving)
        raise node.refuse(f"operands of shapes {shapes} do not have the same axes")
    rank = 1 + max(ranks, default=0)
    expressions: list[Expression] = []
    for value in values:
        if isinstance(value.expression, Constant):
            try:
                expressions.append(constant(without_batch(value.expression.values, rank)))
            except ValueError as error:
                raise node.refuse(str(error)) from error
        else:
            expressions.append(value.expression)
    try:
        shape = np.broadcast_shapes(*(e.shape for e in expressions))
    except ValueError as error:
        raise node.refuse(str(error)) from error
    return tuple(shape), expressions


@operator(*BINARY)
def _binary(node: Node) -> Value:
    values = [node.value(i) for i in range(len(node.operands))]
    shape, expressions = broadcast(node, *values)
    if len({e.real for e in expressions}) > 1:
        raise node.refuse("it mixes integers and floats")
    operation = BINARY[node.kind]
    if operation == "div" and not expressions[0].real:
        raise node.refuse("it divides integers")
    raw = _raw(values)
    result = expressions[0]
    if operation == "mul" and len(values) == 2:
        gate = _gated(expressions[0], expressions[1]) or _gated(expressions[1], expressions[0])
        if gate is not None:
            return Value(shape, gate)
    for other in expressions[1:]:
        limits = operation in ("min", "max")
        result = apply(operation, result, other, watched=limits and raw and isinstance(other, Constant))
    return Value(shape, result, raw=raw)


def _raw(values: list[Value]) -> bool:
    """Whether one operand is the observation, as it is or scaled, and all others are constants."""
    moving = [v for v in values if not isinstance(v.expression, Constant)]
    return len(moving) == 1 and moving[0].raw


def _gated(x: Expression, gate: Expression) -> Apply | None:
    """x · sigmoid(x) and x · tanh(softplus(x)) by their names, which saves an exponential."""
    if not isinstance(gate, Apply):
        return None
    if gate.operation == "sigmoid" and _same(gate.operands[0], x):
        return apply("silu", x)
    inner = gate.operands[0]
    if gate.operation == "tanh" and isinstance(inner, Apply) and inner.operation == "softplus":
        return apply("mish", x) if _same(inner.operands[0], x) else None
    return None


def _same(left: Expression, right: Expression) -> bool:
    if isinstance(left, Load) and isinstance(right, Load):
        return left.storage is right.storage and np.array_equal(left.index, right.index)
    return left is right


@operator("Clip")
def _clip(node: Node) -> Value:
    value = real(node, node.value())
    if node.opset < 11:
        low, high = node.number("min", -np.inf), node.number("max", np.inf)
    else:
        given = [node.optional(1), node.optional(2)]
        low = -np.inf if given[0] is None else float(given[0].reshape(-1)[0])
        high = np.inf if given[1] is None else float(given[1].reshape(-1)[0])
    if low == -np.inf and high == np.inf:
        return value
    return replace(value, expression=apply("clamp", value.expression, low, high, watched=value.raw), codes=None)


@operator("LeakyRelu", "Elu", "Celu", "Selu", "HardSigmoid", "ThresholdedRelu")
def _with_parameters(node: Node) -> Value:
    value = real(node, node.value())
    x = value.expression
    match node.kind:
        case "LeakyRelu":
            result = apply("leaky_relu", x, node.number("alpha", 0.01))
        case "Elu":
            result = apply("elu", x, node.number("alpha", 1.0))
        case "Celu":
            result = apply("celu", x, node.number("alpha", 1.0))
        case "Selu":
            alpha, gamma = (
                node.number("alpha", 1.67326319217681884765625),
                node.number("gamma", 1.05070102214813232421875),
            )
            result = apply("selu", x, alpha, gamma)
        case "HardSigmoid":
            result = apply("hard_sigmoid", x, node.number("alpha", 0.2), node.number("beta", 0.5))
        case _:
            result = apply("select", x, apply("greater", x, node.number("alpha", 1.0)), 0.0)
    return Value(value.shape, result)


@operator("Gelu")
def _gelu(node: Node) -> Value:
    value = real(node, node.value())
    name = "gelu_tanh" if node.text("approximate", "none") == "tanh" else "gelu"
    return Value(value.shape, apply(name, value.expression))


@operator("PRelu")
def _prelu(node: Node) -> Value:
    shape, (x, slope) = broadcast(node, real(node, node.value()), node.value(1))
    negative = apply("mul", slope, apply("min", x, 0.0))
    return Value(shape, apply("add", apply("max", x, 0.0), negative))


@operator(*COMPARISONS)
def _compare(node: Node) -> Value:
    shape, (left, right) = broadcast(node, node.value(), node.value(1))
    if left.real != right.real:
        raise node.refuse("it compares integers with floats")
    return Value(shape, apply(COMPARISONS[node.kind], left, right))


@operator("Not")
def _not(node: Node) -> Value:
    value = node.value()
    return Value(value.shape, apply("not", value.expression))


@operator("Where")
def _where(node: Node) -> Value:
    shape, (condition, left, right) = broadcast(node, node.value(), node.value(1), node.value(2))
    if left.real != right.real:
        raise node.refuse("it mixes integers and floats")
    return Value(shape, apply("select", left, condition, right))


@operator("Cast")
def _cast(node: Node) -> Value:
    value = node.value()
    target = node.integer("to", 1)
    # ONNX's numbers for FLOAT; UINT8, INT8, UINT16, INT16, INT32, INT64; BOOL.
    if target == 1:
        return value if value.real else Value(value.shape, apply("float", value.expression), raw=value.raw)
    if target == 9:
        return Value(value.shape, apply("truth", value.expression))
    if target in (2, 3, 4, 5, 6, 7):
        return value if not value.real else Value(value.shape, apply("int", value.expression))
    raise node.refuse(f"it casts to element type {target}")


@operator("Pow")
def _power(node: Node) -> Value:
    value = real(node, node.value())
    exponent = node.constant(1).reshape(-1)
    x = value.expression
    if exponent.size != 1 or float(exponent[0]) not in (0.5, 1.0, 2.0, 3.0):
        raise node.refuse("its exponent is not 0.5, 1, 2 or 3")
    power = float(exponent[0])
    if power == 0.5:
        return Value(value.shape, apply("sqrt", x))
    result = x
    for _ in range(int(power) - 1):
        result = apply("mul", result, x)
    return Value(value.shape, result)
