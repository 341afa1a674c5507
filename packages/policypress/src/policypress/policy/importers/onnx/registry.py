"""The registry of ONNX operators, and what their translations share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from policypress.agents.onnx_reading.interface import RANDOM
from policypress.policy.importers.assembly import BATCH, Assembly, Decision, Refused, Value
from policypress_runtime.onnx_files.node import Attributes


@dataclass(frozen=True, eq=False)
class Operation(Attributes):
    """One ONNX node: its operator, attributes, operands (None where one is left out) and the opset of the file."""

    kind: str
    name: str
    attributes: dict[str, Any]
    operands: list[Any]
    outputs: int
    opset: int

    @property
    def x(self) -> Value:
        """The first operand, which must depend on the observation."""
        value = self.operands[0]
        if not isinstance(value, Value):
            raise Refused("its first operand does not depend on the observation")
        return value

    def operand(self, index: int) -> Any:
        """The operand at ``index``, or None where it is left out."""
        return self.operands[index] if index < len(self.operands) else None

    def constant(self, index: int) -> Tensor:
        """The operand at ``index``, a constant.

        Raises:
            Refused: it depends on the observation, or is left out.
        """
        value = self.operand(index)
        if not isinstance(value, Tensor):
            raise Refused("its weights depend on the observation")
        return value

    def optional(self, index: int) -> Tensor | None:
        """The constant operand at ``index``, or None where it is left out."""
        return None if self.operand(index) is None else self.constant(index)


Operator = Callable[[Assembly, Operation], Any]
O = TypeVar("O", bound=Operator)  # noqa: E741
OPERATORS: dict[str, Operator] = {}
# Operators that may read an action which the network has chosen itself.
ON_DECISIONS: set[str] = set()


def onnx_operator(*kinds: str, on_decisions: bool = False) -> Callable[[O], O]:
    """Register the translation of ONNX operators; it gives a value, or a tuple where there are several outputs."""

    def register(operator: O) -> O:
        OPERATORS.update(dict.fromkeys(kinds, operator))
        if on_decisions:
            ON_DECISIONS.update(kinds)
        return operator

    return register


def translate(a: Assembly, operation: Operation) -> tuple[Any, ...]:
    """The outputs of one node.

    Raises:
        Refused: it is not supported, or not with these operands.
    """
    operator = OPERATORS.get(operation.kind)
    if operation.kind in RANDOM:
        raise Refused("it is random")
    if operator is None:
        raise Refused("no supported layer computes this")
    if operation.kind not in ON_DECISIONS and any(isinstance(v, Decision) for v in operation.operands):
        raise Refused("it computes with the chosen action")
    result = operator(a, operation)
    return result if isinstance(result, tuple) else (result,)


def without_batch(values: Tensor) -> Tensor:
    """Sizes of a constant: 1 in place of the batch, so that it broadcasts.

    Raises:
        Refused: the size of the batch appears in another place.
    """
    if values.is_floating_point() or values.numel() == 0 or not bool((values >= BATCH).any()):
        return values
    sizes = values.clone()
    if sizes.dim() == 1 and int(sizes[0]) == BATCH:
        sizes[0] = 1
    if bool((sizes >= BATCH).any()):
        raise Refused("a constant whose size depends on the batch elsewhere than in its first axis")
    return sizes


def as_operand(value: Any) -> Value | Tensor:
    """A value or a constant."""
    if isinstance(value, Value | Tensor):
        return value
    raise Refused("an operand is missing")


def scalar(value: float) -> Tensor:
    """A constant of one number."""
    return torch.tensor(float(value))
