"""One ONNX node as the reader sees it, and the registry of what is understood."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from policypress_runtime.codegen.expression import Array, Constant, constant
from policypress_runtime.codegen.reading.builder import Builder, Value
from policypress_runtime.errors import NetworkError
from policypress_runtime.onnx_files.node import Attributes


@dataclass(frozen=True, eq=False)
class QuantizedConstant:
    """An integer weight or bias with what dequantizes it: real = (integers − zero) · scale along ``axis``."""

    integers: Array
    scale: Array
    zero: Array
    axis: int

    @property
    def per_tensor(self) -> bool:
        """Whether there is one scale for all."""
        return self.scale.size == 1

    def _spread(self, values: Array) -> Array:
        if values.size == 1:
            return values.reshape(())
        shape = [1] * self.integers.ndim
        shape[self.axis] = -1
        return values.reshape(shape)

    def centred(self) -> Array:
        """Integers less their zero points, int64."""
        zero: Array = self._spread(self.zero.astype(np.int64))
        return self.integers.astype(np.int64) - zero

    def real(self) -> Array:
        """The numbers, float32."""
        scale = self._spread(self.scale.astype(np.float32))
        return np.asarray(self.centred().astype(np.float32) * scale, np.float32)


Operand = Value | Array | QuantizedConstant | None


@dataclass(frozen=True, eq=False)
class Node(Attributes):
    """One node: operator, name, attributes, operands (None where left out) and whether each result has one reader."""

    kind: str
    name: str
    attributes: dict[str, Any]
    operands: tuple[Operand, ...]
    outputs: tuple[str, ...]
    builder: Builder
    opset: int = 19
    notes: list[str] = field(default_factory=list)

    def refuse(self, reason: str) -> NetworkError:
        """The error that names this node."""
        return unsupported(self.kind, self.name, reason)

    @property
    def hint(self) -> str:
        """What the result is called."""
        return next((name for name in self.outputs if name), self.name)

    def operand(self, index: int) -> Operand:
        """The operand at ``index``; None where it is left out."""
        return self.operands[index] if index < len(self.operands) else None

    def value(self, index: int = 0) -> Value:
        """The operand at ``index``, which depends on the observation or is made a constant value."""
        operand = self.operand(index)
        if isinstance(operand, Value):
            return operand
        if operand is None:
            raise self.refuse(f"operand {index} is missing")
        array = operand.real() if isinstance(operand, QuantizedConstant) else operand
        return constant_value(array)

    def constant(self, index: int) -> Array:
        """The operand at ``index``, which must not depend on the observation."""
        operand = self.operand(index)
        if isinstance(operand, QuantizedConstant):
            return operand.real()
        if operand is None or isinstance(operand, Value):
            raise self.refuse(f"operand {index} is not constant")
        return operand

    def optional(self, index: int) -> Array | None:
        """The constant operand at ``index``, or None."""
        return None if self.operand(index) is None else self.constant(index)

    def axis(self, axis: int, rank: int) -> int:
        """``axis`` of a tensor whose rank counts the batch, as an axis of one observation."""
        position = axis + rank if axis < 0 else axis
        if not 0 < position < rank:
            raise self.refuse(f"axis {axis} of {rank} is the batch axis, or none")
        return position - 1


Operator = Callable[[Node], Any]
O = TypeVar("O", bound=Operator)  # noqa: E741
OPERATORS: dict[str, Operator] = {}


def operator(*kinds: str) -> Callable[[O], O]:
    """Register the translation of ONNX operators: it gives a value, or a tuple of them."""

    def register(function: O) -> O:
        OPERATORS.update(dict.fromkeys(kinds, function))
        return function

    return register


def constant_value(array: Array) -> Value:
    """A constant as a value; a leading batch axis of 1 is kept out by whoever broadcasts it."""
    return Value(tuple(array.shape), constant(array))


def without_batch(array: Array, rank: int) -> Array:
    """A constant that broadcasts against tensors of ``rank`` axes, batch included, without the batch axis.

    Raises:
        ValueError: it differs from row to row.
    """
    while array.ndim >= rank and array.ndim > 0:
        if array.shape[0] != 1:
            raise ValueError(f"a constant of shape {array.shape} differs from row to row")
        array = array[0]
    return array


def unsupported(kind: str, name: str, reason: str) -> NetworkError:
    """The error for a node that C code cannot be written for."""
    return NetworkError(
        f"The operator {kind} at node {name!r} cannot be written as C.",
        got=reason,
        expected="operators that the ONNX writer uses, or " + ", ".join(sorted(OPERATORS)),
        hint="Run this artifact under ONNX Runtime, or open an issue with the file.",
    )


def scalar_of(expression: object) -> float | None:
    """The number that a constant expression is everywhere, or None."""
    if isinstance(expression, Constant) and expression.values.size:
        first = expression.values.reshape(-1)[0]
        if bool((expression.values == first).all()):
            return float(first)
    return None
