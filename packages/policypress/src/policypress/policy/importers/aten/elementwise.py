"""ATen operators that work element by element."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from policypress.policy.importers import elementwise as ew
from policypress.policy.importers.assembly import Assembly, Decision, Refused, Value
from policypress.policy.importers.aten.registry import OPERATORS, Arguments, Operator, aten, constant_of


def _operand(value: Any) -> ew.Operand:
    return value if isinstance(value, Value | Tensor) else torch.tensor(float(value))


_SIMPLE = {
    "relu": "relu",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "selu": "selu",
    "silu": "silu",
    "mish": "mish",
    "hardswish": "hardswish",
    "hardsigmoid": "hardsigmoid",
    "relu6": "relu6",
    "exp": "exp",
    "log": "log",
    "sin": "sin",
    "cos": "cos",
    "abs": "abs",
    "sqrt": "sqrt",
    "reciprocal": "reciprocal",
}


def _simple(name: str) -> Operator:
    return lambda a, p: ew.activation(a, p["self"], name)


OPERATORS.update({aten_name: _simple(name) for aten_name, name in _SIMPLE.items()})

# The same tensor again (what a copy does to the type is checked by _to_copy).
_COPIES = ("alias", "clone", "contiguous", "detach", "lift_fresh_copy", "positive", "alias_copy", "detach_")


@aten(*_COPIES, on_decisions=True)
def _copy(a: Assembly, p: Arguments) -> Any:
    return p["self"]


@aten("dropout", "native_dropout", "alpha_dropout", "feature_dropout")
def _dropout(a: Assembly, p: Arguments) -> Value:
    if p["train"] and p["p"] > 0:
        raise Refused("dropout that is active in eval mode is random")
    value: Value = p["input"]
    return value


@aten("_to_copy", "to", "type_as", on_decisions=True)
def _to(a: Assembly, p: Arguments) -> Any:
    x = p["self"]
    dtype = p.get("dtype") if not isinstance(p.get("other"), Value) else p["other"].sample.dtype
    if dtype is None or isinstance(x, Decision):
        return x
    if dtype.is_floating_point:
        return ew.as_float(a, x)
    if x.integer and torch.can_cast(x.sample.dtype, dtype) and dtype != torch.bool:
        return x
    if x.integer and torch.iinfo(dtype).bits >= torch.iinfo(x.sample.dtype).bits and dtype.is_signed:
        return x
    raise Refused(f"it turns numbers into {dtype}")


@aten("gelu")
def _gelu(a: Assembly, p: Arguments) -> Value:
    return ew.activation(a, p["self"], "gelu_tanh" if p["approximate"] == "tanh" else "gelu")


@aten("leaky_relu")
def _leaky_relu(a: Assembly, p: Arguments) -> Value:
    return ew.activation(a, p["self"], "leaky_relu", negative_slope=float(p["negative_slope"]))


@aten("rrelu")
def _rrelu(a: Assembly, p: Arguments) -> Value:
    if p["training"]:
        raise Refused("it is random")
    slope = (float(p["lower"]) + float(p["upper"])) / 2
    return ew.activation(a, p["self"], "leaky_relu", negative_slope=slope)


@aten("elu")
def _elu(a: Assembly, p: Arguments) -> Value:
    return ew.elu(a, p["self"], float(p["alpha"]), float(p["scale"]), float(p["input_scale"]))


@aten("celu")
def _celu(a: Assembly, p: Arguments) -> Value:
    return ew.activation(a, p["self"], "celu", alpha=float(p["alpha"]))


@aten("hardtanh")
def _hardtanh(a: Assembly, p: Arguments) -> Value:
    low, high = float(p["min_val"]), float(p["max_val"])
    if (low, high) == (0.0, 6.0):
        return ew.activation(a, p["self"], "relu6")
    return ew.activation(a, p["self"], "hardtanh", min_val=low, max_val=high)


@aten("softplus")
def _softplus(a: Assembly, p: Arguments) -> Value:
    return ew.softplus(a, p["self"], float(p["beta"]), float(p["threshold"]))


@aten("log_sigmoid", "log_sigmoid_forward")
def _log_sigmoid(a: Assembly, p: Arguments) -> Value:
    return ew.log_sigmoid(a, p["self"])


@aten("prelu", "_prelu_kernel")
def _prelu(a: Assembly, p: Arguments) -> Value:
    return ew.prelu(a, p["self"], constant_of(p["weight"]))


@aten("add", on_decisions=True)
def _add(a: Assembly, p: Arguments) -> Any:
    left, right = p["self"], p["other"]
    if isinstance(left, Decision) and isinstance(right, int):
        return left.shifted(right)
    if isinstance(left, Decision) or isinstance(right, Decision):
        raise Refused("it computes with the chosen action")
    return ew.add(a, _operand(left), _scaled(a, right, float(p.get("alpha", 1.0))))


@aten("sub")
def _sub(a: Assembly, p: Arguments) -> Value:
    return ew.subtract(a, _operand(p["self"]), _scaled(a, p["other"], float(p.get("alpha", 1.0))))


@aten("rsub")
def _rsub(a: Assembly, p: Arguments) -> Value:
    return ew.subtract(a, _operand(p["other"]), _scaled(a, p["self"], float(p.get("alpha", 1.0))))


def _scaled(a: Assembly, value: Any, alpha: float) -> ew.Operand:
    operand = _operand(value)
    if alpha == 1:
        return operand
    return operand * alpha if isinstance(operand, Tensor) else ew.multiply(a, operand, torch.tensor(float(alpha)))


@aten("mul")
def _mul(a: Assembly, p: Arguments) -> Value:
    return ew.multiply(a, _operand(p["self"]), _operand(p["other"]))


@aten("div", "true_divide")
def _div(a: Assembly, p: Arguments) -> Value:
    if p.get("rounding_mode") is not None:
        raise Refused("a division that rounds")
    return ew.divide(a, _operand(p["self"]), _operand(p["other"]))


@aten("neg")
def _neg(a: Assembly, p: Arguments) -> Value:
    return ew.negative(a, p["self"])


@aten("square")
def _square(a: Assembly, p: Arguments) -> Value:
    return ew.power(a, p["self"], 2.0)


@aten("rsqrt")
def _rsqrt(a: Assembly, p: Arguments) -> Value:
    return ew.power(a, p["self"], -0.5)


@aten("pow")
def _pow(a: Assembly, p: Arguments) -> Value:
    if not isinstance(p["self"], Value) or not isinstance(p["exponent"], int | float):
        raise Refused("a power whose exponent depends on the observation")
    return ew.power(a, p["self"], float(p["exponent"]))


@aten("clamp", "clamp_min", "clamp_max", "clip")
def _clamp(a: Assembly, p: Arguments) -> Value:
    low, high = p.get("min"), p.get("max")
    if isinstance(low, Value) or isinstance(high, Value):
        raise Refused("its limits depend on the observation")
    low, high = (float(limit) if isinstance(limit, int) else limit for limit in (low, high))
    return ew.clip(a, p["self"], low, high)


@aten("maximum")
def _maximum(a: Assembly, p: Arguments) -> Value:
    return ew.maximum(a, _operand(p["self"]), _operand(p["other"]))


@aten("minimum")
def _minimum(a: Assembly, p: Arguments) -> Value:
    return ew.minimum(a, _operand(p["self"]), _operand(p["other"]))
