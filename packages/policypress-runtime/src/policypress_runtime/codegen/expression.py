"""What is computed for each element of an array: small trees of float and integer operations.

A tree reads arrays of the program and constants; one loop of the generated C evaluates it. The logical shape
of an operand has no batch axis, and operands broadcast as in ONNX.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Kind = Literal["float32", "uint8", "int8", "int32"]
Space = Literal["scratch", "input", "state", "action"]
ITEM_BYTES: dict[Kind, int] = {"float32": 4, "uint8": 1, "int8": 1, "int32": 4}


@dataclass(frozen=True, eq=False)
class Storage:
    """An array of the program, for one observation: ``size`` elements, in scratch memory or given by the caller."""

    name: str
    kind: Kind
    size: int
    space: Space = "scratch"

    @property
    def size_bytes(self) -> int:
        """Bytes of one observation."""
        return self.size * ITEM_BYTES[self.kind]


@dataclass(frozen=True, eq=False)
class Load:
    """Elements of an array: logical element ``i`` is ``storage[index[i]]``; ``index`` has the logical shape."""

    storage: Storage
    index: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Logical shape."""
        return tuple(self.index.shape)

    @property
    def real(self) -> bool:
        """Whether it is float."""
        return self.storage.kind == "float32"


@dataclass(frozen=True, eq=False)
class Constant:
    """Numbers known when the C is written: float32, or int32 for integers and truth values."""

    values: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Logical shape."""
        return tuple(self.values.shape)

    @property
    def real(self) -> bool:
        """Whether it is float."""
        return bool(self.values.dtype == np.float32)


@dataclass(frozen=True, eq=False)
class Apply:
    """An operation on operands that broadcast; beyond a ``watched`` limit a status bit is set."""

    operation: str
    operands: tuple[Expression, ...]
    watched: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Logical shape."""
        return np.broadcast_shapes(*(operand.shape for operand in self.operands))

    @property
    def real(self) -> bool:
        """Whether it is float."""
        result = OPERATIONS[self.operation].result
        return self.operands[0].real if result == "same" else result == "float"


Expression = Load | Constant | Apply


@dataclass(frozen=True)
class Operation:
    """One operation in C (``{0}``, ``{1}`` … are its operands) and in numpy, and what it gives."""

    c: str
    numpy: Callable[..., Any] | None = None
    result: Literal["same", "float", "int"] = "same"
    integer_c: str | None = None


def _function(name: str, operands: int = 1) -> Operation:
    return Operation(f"pp_{name}({', '.join('{' + str(i) + '}' for i in range(operands))})")


# A numpy form makes tables for 8-bit inputs possible; it must give the same bits as the C.
OPERATIONS: dict[str, Operation] = {
    "add": Operation("{0} + {1}", np.add),
    "sub": Operation("{0} - {1}", np.subtract),
    "mul": Operation("{0} * {1}", np.multiply),
    "div": Operation("{0} / {1}", np.divide),
    "min": Operation("{0} < {1} ? {0} : {1}", np.minimum),
    "max": Operation("{0} > {1} ? {0} : {1}", np.maximum),
    "clamp": Operation("pp_clamp({0}, {1}, {2})", lambda x, low, high: np.minimum(np.maximum(x, low), high)),
    "neg": Operation("-{0}", np.negative),
    "float": Operation("(float){0}", lambda x: x.astype(np.float32), "float"),
    "int": Operation("(int32_t){0}", lambda x: x.astype(np.int32), "int"),
    "truth": Operation("{0} != 0.0f ? 1 : 0", None, "int", "{0} != 0 ? 1 : 0"),
    "equal": Operation("{0} == {1} ? 1 : 0", None, "int"),
    "greater": Operation("{0} > {1} ? 1 : 0", None, "int"),
    "less": Operation("{0} < {1} ? 1 : 0", None, "int"),
    "not": Operation("{0} == 0 ? 1 : 0", None, "int"),
    "select": Operation("{1} != 0 ? {0} : {2}"),
    "round": Operation("pp_round({0})", np.rint),
    **{
        name: _function(name)
        for name in (
            *("abs", "floor", "ceil", "exp", "log", "tanh", "sigmoid", "erf", "silu", "gelu", "gelu_tanh", "softplus"),
            *("softsign", "mish", "hard_swish", "relu", "reciprocal", "sin", "cos", "sqrt"),
        )
    },
    **{name: _function(name, 2) for name in ("elu", "celu", "leaky_relu")},
    **{name: _function(name, 3) for name in ("selu", "hard_sigmoid")},
}


def constant(values: object) -> Constant:
    """A constant: floats as float32, integers and truth values as int32."""
    array = np.asarray(values)
    return Constant(array.astype(np.float32 if array.dtype.kind == "f" else np.int32))


def apply(operation: str, *operands: Expression | float, watched: bool = False) -> Apply:
    """An operation on expressions; a Python float is a constant."""
    given = tuple(constant(np.float32(x)) if isinstance(x, int | float) else x for x in operands)
    return Apply(operation, given, watched)


def _nodes(expression: Expression) -> Iterator[Expression]:
    """Every node once, operands first."""
    seen: set[int] = set()
    stack: list[tuple[Expression, bool]] = [(expression, False)]
    while stack:
        node, done = stack.pop()
        if done:
            yield node
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            if isinstance(node, Apply):
                stack.extend((operand, False) for operand in reversed(node.operands))


def leaves(expression: Expression) -> Iterator[Load]:
    """Every load, once."""
    return (node for node in _nodes(expression) if isinstance(node, Load))


def constants(expression: Expression) -> Iterator[Constant]:
    """Every constant, once."""
    return (node for node in _nodes(expression) if isinstance(node, Constant))


def operations(expression: Expression) -> Iterator[Apply]:
    """Every operation once, in an order in which they can run."""
    return (node for node in _nodes(expression) if isinstance(node, Apply))


def replaced(expression: Expression, change: Callable[[Load | Constant], Expression]) -> Expression:
    """The same tree with other leaves; what is shared stays shared."""
    made: dict[int, Expression] = {}
    for node in _nodes(expression):
        if isinstance(node, Apply):
            made[id(node)] = Apply(node.operation, tuple(made[id(x)] for x in node.operands), node.watched)
        else:
            made[id(node)] = change(node)
    return made[id(expression)]


def evaluate(expression: Expression, values: Callable[[Load], Array]) -> Array | None:
    """The tree in numpy float32 with ``values`` in place of arrays; None where an operation has no numpy form."""
    made: dict[int, Array] = {}
    for node in _nodes(expression):
        if isinstance(node, Apply):
            form = OPERATIONS[node.operation].numpy
            if form is None:
                return None
            made[id(node)] = np.asarray(form(*(made[id(x)] for x in node.operands)))
        else:
            made[id(node)] = node.values if isinstance(node, Constant) else values(node)
    return made[id(expression)]
