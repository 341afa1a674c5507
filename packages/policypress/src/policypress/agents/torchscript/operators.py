"""The operators of TorchScript code that are understood, on the signal that runs through a policy and on constants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from policypress.agents.bundle import Activation, Array, Dense, LayerNormed, Limited, Scaled, Step

MOST_STEPS = 1000
# Numbers that constants may become: two short ones broadcast to a very large one.
MOST_NUMBERS = 2**24


class NotUnderstood(Exception):
    """Something in the code has no translation; the text says what."""


@dataclass(frozen=True)
class Signal:
    """The observation ``(batch, n)`` after ``steps``."""

    steps: tuple[Step, ...] = ()

    def then(self, step: Step) -> Signal:
        """After one more step."""
        if len(self.steps) >= MOST_STEPS:
            raise NotUnderstood("more steps than any network has")
        return Signal((*self.steps, step))


RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell")
_PLAIN = ("relu", "tanh", "sigmoid", "silu", "selu", "mish", "softsign", "hardswish", "hardsigmoid", "relu6")
_SAME = ("contiguous", "detach", "clone", "to", "type_as", "alias")
Value = Any


_ORDER = {"add": ("other", "alpha"), "sub": ("other", "alpha"), "addmm": ("mat1", "mat2", "beta", "alpha")}


def apply(name: str, values: list[Value], named: dict[str, Value]) -> Value:
    """What the operator ``torch.name`` gives.

    Raises:
        NotUnderstood: it has no translation, or not with these arguments.
    """
    name = name.removesuffix("_") if not name.endswith("__") else name
    if name in RECURRENT:
        raise NotUnderstood(f"recurrent: torch.{name}")
    values = [*values, *_defaults(name, len(values), named)]
    if not values:
        raise NotUnderstood(f"torch.{name} without arguments")
    if isinstance(values[0], Signal):
        return _of_signal(name, values[0], values[1:])
    if name in _REVERSED and len(values) > 1 and isinstance(values[1], Signal):
        return _REVERSED[name](values[1], values[0])
    if name == "addmm" and len(values) > 2 and isinstance(values[1], Signal):
        if any(extra != 1 for extra in values[3:]):
            raise NotUnderstood("torch.addmm with factors")
        return values[1].then(Dense(np.ascontiguousarray(_array(values[2]).T), _row(values[0])))
    if any(isinstance(value, Signal) for value in values):
        raise NotUnderstood(f"torch.{name} of what depends on the observation")
    return _of_constants(name, values)


def _defaults(name: str, given: int, named: dict[str, Value]) -> list[Value]:
    order = {"add": ("other", "alpha"), "sub": ("other", "alpha"), "addmm": ("mat1", "mat2", "beta", "alpha")}.get(
        name, ()
    )
    known = {"alpha": 1, "beta": 1, "approximate": "none"}
    for key, value in named.items():
        if key not in order and known.get(key, object()) != value:
            raise NotUnderstood(f"torch.{name} with {key}")
    rest = [key for key in order[given - 1 :] if key in named] if order else []
    return [named[key] for key in rest]


def _of_signal(name: str, x: Signal, rest: list[Value]) -> Signal:
    if name in _PLAIN and not rest:
        return x.then(Activation(name))
    if name in _SIGNAL:
        if any(isinstance(value, Signal) for value in rest):
            raise NotUnderstood(f"torch.{name} of two values that depend on the observation")
        try:
            return _SIGNAL[name](x, *rest)
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            raise NotUnderstood(f"torch.{name} with other arguments") from error
    if name in _SAME:
        return x
    raise NotUnderstood(f"torch.{name}")


def _linear(x: Signal, weight: Value, bias: Value = None) -> Signal:
    matrix = _array(weight)
    if matrix.ndim != 2:
        raise NotUnderstood(f"a linear layer with a weight of shape {matrix.shape}")
    return x.then(Dense(matrix, None if bias is None else _row(bias)))


def _matmul(x: Signal, matrix: Value) -> Signal:
    return _linear(x, np.ascontiguousarray(_array(matrix).T))


def _elu(x: Signal, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Signal:
    if (scale, input_scale) != (1, 1):
        raise NotUnderstood("torch.elu with scales")
    return x.then(Activation("elu", (("alpha", float(alpha)),)))


def _gelu(x: Signal, approximate: str = "none") -> Signal:
    return x.then(Activation({"none": "gelu", "tanh": "gelu_tanh"}[approximate]))


def _softplus(x: Signal, beta: float = 1.0, threshold: float = 20.0) -> Signal:
    if (beta, threshold) != (1, 20):
        raise NotUnderstood("torch.softplus with other parameters than its defaults")
    return x.then(Activation("softplus"))


def _with(name: str, parameter: str, default: float) -> Callable[..., Signal]:
    def run(x: Signal, value: float = default) -> Signal:
        return x.then(Activation(name, ((parameter, float(value)),)))

    return run


def _add(x: Signal, other: Value, alpha: float = 1) -> Signal:
    return x.then(Scaled(shift=(_row(other) * np.float32(alpha)).astype(np.float32)))


def _subtract(x: Signal, other: Value, alpha: float = 1) -> Signal:
    return _add(x, other, -alpha)


def _multiply(x: Signal, other: Value) -> Signal:
    return x.then(Scaled(scale=_row(other)))


def _divide(x: Signal, other: Value) -> Signal:
    row = _row(other).astype(np.float64)
    if not row.all():
        raise NotUnderstood("a division by zero")
    return x.then(Scaled(scale=(1 / row).astype(np.float32)))


def _clamp(x: Signal, low: float | None = None, high: float | None = None) -> Signal:
    return x.then(Limited(-np.inf if low is None else float(low), np.inf if high is None else float(high)))


def _hardtanh(x: Signal, low: float = -1.0, high: float = 1.0) -> Signal:
    return x.then(Activation("hardtanh", (("max_val", float(high)), ("min_val", float(low)))))


def _layer_norm(
    x: Signal, shape: Value, weight: Value = None, bias: Value = None, eps: float = 1e-5, cudnn: bool = True
) -> Signal:
    if weight is None or bias is None or list(shape) != [len(_row(weight))]:
        raise NotUnderstood("a layer normalisation without scale and shift of all features")
    return x.then(LayerNormed(_row(weight), _row(bias), float(eps)))


def _flatten(x: Signal, start: int = 0, end: int = -1) -> Signal:
    if (start, end) != (1, -1):
        raise NotUnderstood("torch.flatten over the batch")
    return x


def _dropout(x: Signal, p: float = 0.5, training: bool = True) -> Signal:
    if training:
        raise NotUnderstood("torch.dropout in training")
    return x


_SIGNAL: dict[str, Callable[..., Signal]] = {
    "linear": _linear,
    "matmul": _matmul,
    "mm": _matmul,
    "elu": _elu,
    "gelu": _gelu,
    "softplus": _softplus,
    "leaky_relu": _with("leaky_relu", "negative_slope", 0.01),
    "celu": _with("celu", "alpha", 1.0),
    "hardtanh": _hardtanh,
    "add": _add,
    "sub": _subtract,
    "mul": _multiply,
    "div": _divide,
    "neg": lambda x: x.then(Scaled(scale=np.array([-1], np.float32))),
    "clamp": _clamp,
    "clip": _clamp,
    "layer_norm": _layer_norm,
    "flatten": _flatten,
    "dropout": _dropout,
}
_REVERSED: dict[str, Callable[[Signal, Value], Signal]] = {
    "add": _add,
    "mul": _multiply,
    "sub": lambda x, other: _add(_multiply(x, -1.0), other),
}
_NUMPY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": np.reciprocal,
    "neg": np.negative,
    "exp": np.exp,
    "t": np.transpose,
    "squeeze": lambda x, axis=None: np.squeeze(x, axis),
    "unsqueeze": lambda x, axis: np.expand_dims(x, axis),
    "len": len,
    "__is__": lambda a, b: a is b,
    "__isnot__": lambda a, b: a is not b,
    "__not__": lambda a: not a,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}


_ARITHMETIC = ("add", "sub", "mul", "div", "sqrt", "rsqrt", "reciprocal", "neg", "exp")


def _of_constants(name: str, values: list[Value]) -> Value:
    if name in _SAME:
        return values[0]
    function = _NUMPY.get(name)
    if function is None:
        raise NotUnderstood(f"torch.{name}")
    try:
        if name in _ARITHMETIC:
            values = [_number(value) for value in values]
            if np.prod(np.broadcast_shapes(*(np.shape(value) for value in values)), dtype=np.float64) > MOST_NUMBERS:
                raise NotUnderstood("constants that are larger than any network's")
        with np.errstate(all="ignore"):
            return function(*values)
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise NotUnderstood(f"torch.{name} with other arguments") from error


def _number(value: Value) -> Value:
    """Whole numbers as float: those of Python would grow without end."""
    if isinstance(value, np.ndarray | np.number):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise NotUnderstood(f"a {type(value).__name__} where numbers are needed")


def _array(value: Value) -> Array:
    if isinstance(value, np.ndarray | np.number | float | int) and not isinstance(value, bool):
        array = np.asarray(value, np.float32)
        if not np.isfinite(array).all():
            raise NotUnderstood("numbers that are not finite")
        return array
    raise NotUnderstood(f"a {type(value).__name__} where numbers are needed")


def _row(value: Value) -> Array:
    """Numbers that broadcast against features, ``(n,)`` or ``(1,)``."""
    array = _array(value)
    if array.size != max(array.shape[-1:], default=1) or array.size == 0:
        raise NotUnderstood(f"numbers of shape {array.shape} on all features")
    return np.ascontiguousarray(array.reshape(-1))
