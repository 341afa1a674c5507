"""ONNX operators that work element by element."""

from __future__ import annotations

from typing import Any, cast

import torch
from onnx import TensorProto, helper
from torch import Tensor

from policypress.policy import layers
from policypress.policy.importers import elementwise as ew
from policypress.policy.importers.assembly import Assembly, Decision, Refused, Value
from policypress.policy.importers.onnx.registry import OPERATORS, Operation, Operator, as_operand, onnx_operator, scalar
from policypress.policy.importers.weighted_operations import equal_to

_SIMPLE = {
    "Relu": "relu",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Mish": "mish",
    "HardSwish": "hardswish",
    "Exp": "exp",
    "Log": "log",
    "Sin": "sin",
    "Cos": "cos",
    "Abs": "abs",
    "Sqrt": "sqrt",
    "Reciprocal": "reciprocal",
    "Erf": "erf",
}


def _simple(name: str) -> Operator:
    return lambda a, o: ew.activation(a, o.x, name)


OPERATORS.update({kind: _simple(name) for kind, name in _SIMPLE.items()})


@onnx_operator("Elu")
def _elu(a: Assembly, o: Operation) -> Value:
    return ew.activation(a, o.x, "elu", alpha=o.number("alpha", 1.0))


@onnx_operator("Celu")
def _celu(a: Assembly, o: Operation) -> Value:
    return ew.activation(a, o.x, "celu", alpha=o.number("alpha", 1.0))


@onnx_operator("Selu")
def _selu(a: Assembly, o: Operation) -> Value:
    alpha, gamma = o.number("alpha", 1.6732632), o.number("gamma", 1.050701)
    if abs(alpha - 1.6732632) < 1e-5 and abs(gamma - 1.050701) < 1e-5:
        return ew.activation(a, o.x, "selu")
    return ew.elu(a, o.x, alpha, gamma, 1.0)


@onnx_operator("LeakyRelu")
def _leaky_relu(a: Assembly, o: Operation) -> Value:
    return ew.activation(a, o.x, "leaky_relu", negative_slope=o.number("alpha", 0.01))


@onnx_operator("PRelu")
def _prelu(a: Assembly, o: Operation) -> Value:
    slope, x = ew.constant_row(o.constant(1), o.x), o.x
    if slope.numel() > 1 and slope.numel() != max(slope.shape[0], slope.shape[-1] if len(x.shape) == 1 else 0):
        raise Refused(f"slopes of shape {tuple(slope.shape)}, not one per channel")
    return ew.prelu(a, x, slope)


@onnx_operator("HardSigmoid")
def _hard_sigmoid(a: Assembly, o: Operation) -> Value:
    alpha, beta = o.number("alpha", 0.2), o.number("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-5 and beta == 0.5:
        return ew.activation(a, o.x, "hardsigmoid")
    return ew.clip(a, ew.affine(a, o.x, scalar(alpha), scalar(beta)), 0.0, 1.0)


@onnx_operator("Gelu")
def _gelu(a: Assembly, o: Operation) -> Value:
    return ew.activation(a, o.x, "gelu_tanh" if o.text("approximate", "none") == "tanh" else "gelu")


@onnx_operator("Swish")
def _swish(a: Assembly, o: Operation) -> Value:
    alpha = o.number("alpha", 1.0)
    gate = o.x if alpha == 1.0 else ew.affine(a, o.x, scalar(alpha))
    return ew.multiply(a, o.x, ew.activation(a, gate, "sigmoid"))


@onnx_operator("Add", on_decisions=True)
def _add(a: Assembly, o: Operation) -> Any:
    chosen = [v for v in o.operands if isinstance(v, Decision)]
    if chosen:
        other = next((v for v in o.operands if isinstance(v, torch.Tensor) and v.numel() == 1), None)
        if other is None or other.is_floating_point():
            raise Refused("it computes with the chosen action")
        return chosen[0].shifted(int(other))
    return ew.add(a, as_operand(o.operands[0]), as_operand(o.operands[1]))


@onnx_operator("Sub")
def _sub(a: Assembly, o: Operation) -> Value:
    return ew.subtract(a, as_operand(o.operands[0]), as_operand(o.operands[1]))


@onnx_operator("Mul")
def _mul(a: Assembly, o: Operation) -> Value:
    return ew.multiply(a, as_operand(o.operands[0]), as_operand(o.operands[1]))


@onnx_operator("Div")
def _div(a: Assembly, o: Operation) -> Value:
    if any(isinstance(v, Value) and v.integer for v in o.operands):
        raise Refused("a division of integers")
    return ew.divide(a, as_operand(o.operands[0]), as_operand(o.operands[1]))


@onnx_operator("Sum", "Max", "Min")
def _variadic(a: Assembly, o: Operation) -> Value:
    combine = {"Sum": ew.add, "Max": ew.maximum, "Min": ew.minimum}[o.kind]
    # Values first, so that no two constants meet.
    result, *others = sorted((as_operand(v) for v in o.operands), key=lambda v: not isinstance(v, Value))
    for operand in others:
        result = combine(a, result, operand)
    if not isinstance(result, Value):
        raise Refused("it does not depend on the observation")
    return result


@onnx_operator("Neg")
def _neg(a: Assembly, o: Operation) -> Value:
    return ew.negative(a, o.x)


@onnx_operator("Pow")
def _pow(a: Assembly, o: Operation) -> Value:
    exponent = o.constant(1)
    if exponent.numel() != 1:
        raise Refused("more than one exponent")
    return ew.power(a, o.x, float(exponent))


@onnx_operator("Clip")
def _clip(a: Assembly, o: Operation) -> Value:
    low, high = o.optional(1), o.optional(2)
    if low is None and "min" in o.attributes:
        low = scalar(o.attributes["min"])
    if high is None and "max" in o.attributes:
        high = scalar(o.attributes["max"])
    if low is not None and high is not None and float(low) == 0.0 and float(high) == 6.0:
        return ew.activation(a, o.x, "relu6")
    return ew.clip(a, o.x, low, high)


@onnx_operator("Cast", on_decisions=True)
def _cast(a: Assembly, o: Operation) -> Any:
    x = o.operands[0]
    target = int(o.attributes["to"])
    if isinstance(x, Decision):
        return x
    if target in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16):
        return ew.as_float(a, o.x)
    kind = helper.tensor_dtype_to_np_dtype(target)
    if o.x.integer and kind.kind in "iu" and kind.itemsize >= o.x.sample.element_size() and kind.kind == "i":
        return x
    raise Refused(f"it turns numbers into {kind}")


@onnx_operator("CastLike", on_decisions=True)
def _cast_like(a: Assembly, o: Operation) -> Any:
    like = o.operands[1]
    if isinstance(o.operands[0], Decision):
        return o.operands[0]
    if (isinstance(like, Value) and like.integer) or (isinstance(like, torch.Tensor) and not like.is_floating_point()):
        raise Refused("it turns numbers into integers")
    return ew.as_float(a, o.x)


@onnx_operator("Identity", on_decisions=True)
def _identity(a: Assembly, o: Operation) -> Any:
    return o.operands[0]


@onnx_operator("Dropout")
def _dropout(a: Assembly, o: Operation) -> Any:
    training = o.optional(2)
    if training is not None and bool(training):
        raise Refused("dropout that is active is random")
    return (o.x, None)


@onnx_operator("Equal")
def _equal(a: Assembly, o: Operation) -> Value:
    left, right = o.operands
    if isinstance(left, Value) and isinstance(right, torch.Tensor):
        return equal_to(a, left, right)
    if isinstance(right, Value) and isinstance(left, torch.Tensor):
        return equal_to(a, right, left)
    raise Refused("a comparison that is not a one-hot encoding")


@onnx_operator("Greater")
def _greater(a: Assembly, o: Operation) -> Decision:
    limit = o.constant(1)
    if limit.numel() != 1:
        raise Refused("a comparison other than of each score with a constant")
    return Decision("threshold", (o.x if float(limit) == 0.0 else ew.add(a, o.x, -limit),))


@onnx_operator("Where", on_decisions=True)
def _where(a: Assembly, o: Operation) -> Value:
    """torch writes softplus as ``x where x > 20, else softplus(x)``; nothing else is understood."""
    chosen, left, right = o.operands
    if (
        isinstance(chosen, Decision)
        and chosen.kind == "threshold"
        and isinstance(left, Value)
        and isinstance(right, Value)
    ):
        shift = a.producer(chosen.scores[0])
        limit = -float(cast(Tensor, shift.shift)) if isinstance(shift, layers.Affine) else 0.0
        same = a.sources(chosen.scores[0]) == (left.name,) == a.sources(right)
        if same and limit >= ew.SOFTPLUS_IS_LINEAR and getattr(a.producer(right), "name", "") == "softplus":
            return right
    raise Refused("a choice between values that depends on the observation")


@onnx_operator("Round")
def _round(a: Assembly, o: Operation) -> Decision:
    layer = a.producer(o.x)
    if getattr(layer, "name", None) != "sigmoid":
        raise Refused("rounding of something that is no probability")
    return Decision("threshold", (a.values[a.sources(o.x)[0]],))
