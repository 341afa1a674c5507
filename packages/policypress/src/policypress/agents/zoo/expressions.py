"""Python expressions that the RL Zoo stores as text, read through an ``ast`` allow-list and never evaluated.

>>> read_expression("dict(log_std_init=-2, activation_fn=nn.ReLU)")
{'log_std_init': -2, 'activation_fn': ClassName(dotted='nn.ReLU')}
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from policypress_runtime.errors import DamagedAgentError, UnsafeAgentError

MAX_EXPRESSION = 20_000
MAX_POWER = 64
MAX_REPEAT = 1000

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_SIGNS: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}


@dataclass(frozen=True)
class ClassName:
    """A class that the expression names, as text; it is never looked up."""

    dotted: str


def read_expression(text: str, label: str = "the expression") -> Any:
    """Value of an expression of literals, ``dict(…)``, names of classes, and arithmetic on numbers.

    Raises:
        UnsafeAgentError: it calls, indexes or names anything else.
        DamagedAgentError: it is no expression.
    """
    try:
        if len(text) > MAX_EXPRESSION:
            raise ValueError(f"{len(text)} characters")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval")
        return _value(tree.body, label)
    except UnsafeAgentError:
        raise
    # SyntaxError, null bytes, nesting beyond the stack, division by zero, unhashable keys, overflow.
    except Exception as error:
        raise DamagedAgentError(
            f"{label} is not a readable expression.",
            got=f"{text[:120]!r}: {error or type(error).__name__}",
            expected="something like dict(net_arch=[64, 64], activation_fn=nn.ReLU)",
        ) from error


def _value(node: ast.expr, label: str) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.List() | ast.Tuple():
            items = [_value(item, label) for item in node.elts]
            return tuple(items) if isinstance(node, ast.Tuple) else items
        case ast.Dict():
            if any(key is None for key in node.keys):
                raise _refused(node, label)
            keys = [_value(key, label) for key in node.keys if key is not None]
            return dict(zip(keys, (_value(value, label) for value in node.values), strict=True))
        case ast.Call(func=ast.Name(id="dict"), args=[]):
            if any(keyword.arg is None for keyword in node.keywords):
                raise _refused(node, label)
            return {str(keyword.arg): _value(keyword.value, label) for keyword in node.keywords}
        case ast.Name() | ast.Attribute():
            return ClassName(_dotted(node, label))
        case ast.UnaryOp():
            return _signed(node, label)
        case ast.BinOp():
            return _computed(node, label)
    raise _refused(node, label)


def _dotted(node: ast.expr, label: str) -> str:
    match node:
        case ast.Name() if not node.id.startswith("_"):
            return node.id
        case ast.Attribute() if not node.attr.startswith("_"):
            return f"{_dotted(node.value, label)}.{node.attr}"
    raise _refused(node, label)


def _signed(node: ast.UnaryOp, label: str) -> Any:
    apply = _SIGNS.get(type(node.op))
    value = _value(node.operand, label)
    if apply is None or not isinstance(value, int | float):
        raise _refused(node, label)
    return apply(value)


def _computed(node: ast.BinOp, label: str) -> Any:
    apply = _OPERATORS.get(type(node.op))
    left, right = _value(node.left, label), _value(node.right, label)
    if apply is None:
        raise _refused(node, label)
    if isinstance(node.op, ast.Mult) and isinstance(left, list) and isinstance(right, int):
        if _size(left) * right > MAX_REPEAT:
            raise ValueError("a list that is too long")
        return left * right
    if not isinstance(left, int | float) or not isinstance(right, int | float):
        raise _refused(node, label)
    if isinstance(node.op, ast.Pow) and (abs(right) > MAX_POWER or abs(left) > 2**32):
        raise ValueError("a power that is too large")
    return apply(left, right)


def _size(value: Any) -> int:
    """Values in a list, those of the lists and dicts inside counted with them."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_size, inside))


def _refused(node: ast.expr, label: str) -> UnsafeAgentError:
    return UnsafeAgentError(
        f"{label} contains Python code that would have to be executed.",
        got=ast.unparse(node)[:120],
        expected="literals, dict(...), class names such as nn.ReLU, arithmetic on numbers",
        hint="Replace it in the file, or read only the zip, from a folder without that file.",
    )
