"""The registry of ATen operators, as ``torch.export`` writes them, and what their translations share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from policypress.policy.importers.assembly import Assembly, Decision, Refused

Arguments = dict[str, Any]
Operator = Callable[[Assembly, Arguments], Any]
O = TypeVar("O", bound=Operator)  # noqa: E741

OPERATORS: dict[str, Operator] = {}
# Operators that may read an action which the network has chosen itself.
ON_DECISIONS: set[str] = set()


def aten(*names: str, on_decisions: bool = False) -> Callable[[O], O]:
    """Register the translation of ATen operators, without overload names.

    It takes the assembly and the operator's arguments by the names of its schema.
    """

    def register(operator: O) -> O:
        OPERATORS.update(dict.fromkeys(names, operator))
        if on_decisions:
            ON_DECISIONS.update(names)
        return operator

    return register


def translate(a: Assembly, name: str, arguments: Arguments) -> Any:
    """What the operator ``name`` gives: values, decisions, or a tuple of them.

    Raises:
        Refused: it is not supported, or not with these arguments.
    """
    operator = OPERATORS.get(name)
    if operator is None:
        raise Refused("no supported layer computes this")
    if name not in ON_DECISIONS and any(isinstance(v, Decision) for v in flat(arguments.values())):
        raise Refused("it computes with the chosen action")
    return operator(a, arguments)


def flat(values: Any) -> list[Any]:
    """All that stands in nested lists and tuples, in order."""
    out: list[Any] = []
    for value in values:
        out.extend(flat(value) if isinstance(value, list | tuple) else [value])
    return out


def constant_of(value: Any) -> Tensor:
    """``value`` if it is a constant tensor.

    Raises:
        Refused: it depends on the observation.
    """
    if not isinstance(value, Tensor):
        raise Refused("its weights depend on the observation")
    return value


def optional(value: Any) -> Tensor | None:
    """A constant tensor, or None where there is none."""
    return None if value is None else constant_of(value)


def axes_of(given: Any) -> list[int]:
    """One axis or several as a list.

    Raises:
        Refused: none is named, which means all of them, the batch included.
    """
    if given is None or given == []:
        raise Refused("it works along the batch; every observation must be treated alone")
    return [int(v) for v in given] if isinstance(given, Sequence) else [int(given)]


def needed(program: torch.export.ExportedProgram, name: str) -> set[str]:
    """Names of what the value ``name`` is computed from; other outputs may hold what no layer does."""
    by_name = {node.name: node for node in program.graph.nodes}
    found: set[str] = set()
    frontier = [name]
    while frontier:
        current = frontier.pop()
        if current not in found and current in by_name:
            found.add(current)
            frontier.extend(node.name for node in by_name[current].all_input_nodes)
    return found
