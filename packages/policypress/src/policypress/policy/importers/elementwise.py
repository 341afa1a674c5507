"""Element-wise operations of traced networks in terms of the layers: arithmetic, limits, activations.

Operands are values of the :class:`Assembly` or constant tensors; at least one is a value.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from policypress.policy import layers
from policypress.policy.importers.assembly import Assembly, Refused, Value
from policypress.policy.importers.recognition import recognised

Operand = Value | Tensor
# Above this, softplus(x) and x are the same float32 number.
SOFTPLUS_IS_LINEAR = 15.0


def as_float(a: Assembly, x: Value) -> Value:
    """``x`` in float32."""
    return a.add("to_float", layers.ToFloat(), x) if x.integer else x


def activation(a: Assembly, x: Value, name: str, **parameters: float) -> Value:
    """``x`` through an activation."""
    return a.add("activation", layers.Activation(name, **parameters), as_float(a, x))


def constant_row(constant: Tensor, x: Value) -> Tensor:
    """``constant`` without the batch axis, float32, so that it broadcasts against every row of ``x``.

    Raises:
        Refused: it differs from row to row.
    """
    constant = constant.detach().to(torch.float32)
    while constant.dim() >= x.sample.dim():
        if constant.shape[0] != 1 or (constant.dim() > x.sample.dim()):
            raise Refused(f"a constant of shape {tuple(constant.shape)} does not broadcast over the batch")
        constant = constant[0]
    return constant


def affine(a: Assembly, x: Value, scale: Tensor | None = None, shift: Tensor | None = None) -> Value:
    """x · scale + shift."""
    x = as_float(a, x)
    factor, offset = (None if part is None else constant_row(part, x).numpy() for part in (scale, shift))
    value = a.add("affine", layers.Affine(factor, offset), x)
    return recognised(a, value) if isinstance(a.producer(x), layers.Binary) and offset is None else value


def add(a: Assembly, left: Operand, right: Operand) -> Value:
    """left + right."""
    if isinstance(left, Value) and isinstance(right, Value):
        return _binary(a, "add", left, right)
    value, constant = _one_constant(left, right)
    return affine(a, value, shift=constant)


def subtract(a: Assembly, left: Operand, right: Operand) -> Value:
    """left − right."""
    if isinstance(left, Value) and isinstance(right, Value):
        return _binary(a, "sub", left, right)
    if isinstance(left, Value) and isinstance(right, Tensor):
        return affine(a, left, shift=-right.to(torch.float32))
    value, constant = _one_constant(left, right)
    return affine(a, value, torch.tensor(-1.0), constant)


def multiply(a: Assembly, left: Operand, right: Operand) -> Value:
    """left · right."""
    if isinstance(left, Value) and isinstance(right, Value):
        return _binary(a, "mul", left, right)
    value, constant = _one_constant(left, right)
    return affine(a, value, constant)


def divide(a: Assembly, left: Operand, right: Operand) -> Value:
    """left / right, real division."""
    if isinstance(left, Value) and isinstance(right, Value):
        return _binary(a, "div", left, right)
    if isinstance(left, Value) and isinstance(right, Tensor):
        return affine(a, left, (1.0 / right.double()).to(torch.float32))
    value, constant = _one_constant(left, right)
    return affine(a, activation(a, value, "reciprocal"), constant)


def _one_constant(left: Operand, right: Operand) -> tuple[Value, Tensor]:
    if isinstance(left, Value) and isinstance(right, Tensor):
        return left, right
    if isinstance(right, Value) and isinstance(left, Tensor):
        return right, left
    raise Refused("it needs a value that depends on the observation")


def _binary(a: Assembly, operation: str, left: Value, right: Value) -> Value:
    left, right = (as_float(a, a.expanded.get(x.name, x)) for x in (left, right))
    if left.sample.dim() != right.sample.dim():
        raise Refused(f"shapes {left.shape} and {right.shape} for each observation do not have the same axes")
    value = a.add(operation, layers.Binary(operation), left, right)
    return recognised(a, value) if operation in ("mul", "div") else value


def power(a: Assembly, x: Value, exponent: float) -> Value:
    """x to a constant power: 0.5, −0.5, −1, or a whole number up to 4.

    Raises:
        Refused: another power.
    """
    if exponent == 0.5:
        return activation(a, x, "sqrt")
    if exponent == -0.5:
        return activation(a, activation(a, x, "sqrt"), "reciprocal")
    if exponent == -1.0:
        return activation(a, x, "reciprocal")
    if exponent not in (1.0, 2.0, 3.0, 4.0):
        raise Refused(f"the power {exponent:g} is not one of -1, -0.5, 0.5, 1, 2, 3, 4")
    result = x = as_float(a, x)
    for _ in range(int(exponent) - 1):
        result = _binary(a, "mul", result, x)
    return result


def clip(a: Assembly, x: Value, low: Tensor | float | None, high: Tensor | float | None) -> Value:
    """Limit ``x``; None is no limit."""
    x = as_float(a, x)
    lowest = constant_row(torch.as_tensor(-math.inf if low is None else low), x).numpy()
    highest = constant_row(torch.as_tensor(math.inf if high is None else high), x).numpy()
    if high is None and lowest.ndim <= 1 and lowest.size == 1 and lowest.item() == 0.0:
        return activation(a, x, "relu")
    return a.add("limit", layers.Clip(lowest, highest, role=""), x)


def maximum(a: Assembly, left: Operand, right: Operand) -> Value:
    """The larger of the two: right + relu(left − right) where both depend on the observation."""
    if isinstance(left, Value) and isinstance(right, Value):
        return add(a, right, activation(a, subtract(a, left, right), "relu"))
    value, constant = _one_constant(left, right)
    return clip(a, value, constant, None)


def minimum(a: Assembly, left: Operand, right: Operand) -> Value:
    """The smaller of the two: left − relu(left − right) where both depend on the observation."""
    if isinstance(left, Value) and isinstance(right, Value):
        return subtract(a, left, activation(a, subtract(a, left, right), "relu"))
    value, constant = _one_constant(left, right)
    return clip(a, value, None, constant)


def negative(a: Assembly, x: Value) -> Value:
    """−x."""
    return affine(a, x, torch.tensor(-1.0))


def elu(a: Assembly, x: Value, alpha: float, scale: float, input_scale: float) -> Value:
    """scale · (x where x > 0, else alpha · (exp(input_scale · x) − 1)), which covers ELU, CELU and SELU."""
    if input_scale == 1.0:
        value = activation(a, x, "elu", alpha=alpha)
    elif math.isclose(input_scale * alpha, 1.0, rel_tol=1e-6):
        value = activation(a, x, "celu", alpha=alpha)
    else:
        raise Refused(f"an ELU with input scale {input_scale:g}")
    return value if scale == 1.0 else affine(a, value, torch.tensor(scale))


def softplus(a: Assembly, x: Value, beta: float, threshold: float) -> Value:
    """log(1 + exp(beta · x)) / beta."""
    if threshold < SOFTPLUS_IS_LINEAR:
        raise Refused(f"a softplus that turns linear at {threshold:g}, below {SOFTPLUS_IS_LINEAR:g}")
    if beta == 1.0:
        return activation(a, x, "softplus")
    scaled = activation(a, affine(a, x, torch.tensor(beta)), "softplus")
    return affine(a, scaled, torch.tensor(1.0 / beta))


def log_sigmoid(a: Assembly, x: Value) -> Value:
    """log(sigmoid(x)) = −softplus(−x)."""
    return negative(a, activation(a, negative(a, x), "softplus"))


def prelu(a: Assembly, x: Value, slope: Tensor) -> Value:
    """max(0, x) + slope · min(0, x), one slope or one per channel (axis 1)."""
    channels = x.shape[0] if x.shape else 1
    slope = slope.detach().to(torch.float32)
    if slope.numel() not in (1, channels):
        raise Refused(f"{slope.numel()} slopes for {channels} channels")
    shape = (-1, *[1] * (len(x.shape) - 1)) if slope.numel() > 1 else (1,)
    return a.add("prelu", layers.PRelu(slope.reshape(shape)), as_float(a, x))
