"""TorchScript's code, followed as text: what ``forward`` does to its input, as steps.

The code is a small part of Python: assignments, calls, and ``if`` on what is known. It is parsed and followed here, on
a :class:`Signal` in place of numbers; nothing of it is compiled or run. What is not understood is said.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from policypress.agents.pickles.tensors import Tensor
from policypress.agents.torchscript.archive import Module, Script
from policypress.agents.torchscript.operators import NotUnderstood, Signal, apply

MAX_STEPS = 20_000
MAX_DEPTH = 40
_NOTHING = object()
_OPERATORS = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div"}


def steps_of(script: Script) -> Signal:
    """What the saved module's ``forward`` does to one observation.

    Raises:
        NotUnderstood: names what has no translation.
    """
    follower = _Follower(script)
    function = follower.method(script.root, "forward")
    inputs = len(function.args.args) - 1
    if inputs != 1:
        raise NotUnderstood(f"a module that takes {inputs} inputs (recurrent, or with observations of several parts)")
    result = follower.call(function, [script.root, Signal()])
    if isinstance(result, tuple | list) and len(result) == 1:
        result = result[0]
    if not isinstance(result, Signal):
        raise NotUnderstood("a module that returns something else than one tensor")
    return result


class _Follower:
    def __init__(self, script: Script) -> None:
        self._script = script
        self._parsed: dict[str, ast.Module] = {}
        self._left = MAX_STEPS
        self._depth = 0

    def method(self, module: Module, name: str) -> ast.FunctionDef:
        """The code of a method of the module's class."""
        place, _, kind = module.name.rpartition(".")
        for node in self._file(place).body:
            if isinstance(node, ast.ClassDef) and node.name == kind:
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef) and inner.name == name:
                        return inner
        raise NotUnderstood(f"{module.name} without {name}")

    def call(self, function: ast.FunctionDef, values: list[Any], named: Mapping[str, Any] | None = None) -> Any:
        """What a function of the file returns."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise NotUnderstood("calls deeper than any network")
        names = [argument.arg for argument in function.args.args]
        scope: dict[str, Any] = dict(zip(names, values, strict=False)) | dict(named or {})
        defaults = function.args.defaults
        for name, default in zip(names[len(names) - len(defaults) :], defaults, strict=True):
            if name not in scope:
                scope[name] = self._value(default, {})
        result = self._block(function.body, scope)
        self._depth -= 1
        return None if result is _NOTHING else result

    def _file(self, place: str) -> ast.Module:
        if place not in self._parsed:
            text = self._script.code.get(place)
            if text is None:
                raise NotUnderstood(f"code at {place} that the file does not have")
            try:
                self._parsed[place] = ast.parse(text)
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                raise NotUnderstood(f"code at {place} that cannot be parsed") from error
        return self._parsed[place]

    def _block(self, statements: list[ast.stmt], scope: dict[str, Any]) -> Any:
        for statement in statements:
            self._left -= 1
            if self._left < 0:
                raise NotUnderstood("more code than any network has")
            match statement:
                case ast.Assign(targets=[target]):
                    self._assign(target, self._value(statement.value, scope), scope)
                case ast.Return(value=value):
                    return None if value is None else self._value(value, scope)
                case ast.If():
                    test = self._value(statement.test, scope)
                    if not isinstance(test, bool):
                        raise NotUnderstood("control flow that depends on the observation")
                    result = self._block(statement.body if test else statement.orelse, scope)
                    if result is not _NOTHING:
                        return result
                case ast.Pass():
                    pass
                case ast.Expr(value=value):
                    self._value(value, scope)
                case _:
                    raise NotUnderstood(f"a statement of the kind {type(statement).__name__}")
        return _NOTHING

    def _assign(self, target: ast.expr, value: Any, scope: dict[str, Any]) -> None:
        match target:
            case ast.Name(id=name):
                scope[name] = value
            case ast.Tuple(elts=parts) if isinstance(value, tuple | list) and len(value) == len(parts):
                for part, item in zip(parts, value, strict=True):
                    self._assign(part, item, scope)
            case ast.Attribute(attr=name):
                raise NotUnderstood(f"recurrent: it keeps {name} from one step to the next")
            case _:
                raise NotUnderstood("an assignment to something else than a name")

    def _value(self, node: ast.expr, scope: dict[str, Any]) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                if name not in scope:
                    raise NotUnderstood(f"the name {name[:60]}")
                return scope[name]
            case ast.Attribute():
                return self._attribute(node, scope)
            case ast.Tuple(elts=parts):
                return tuple(self._value(part, scope) for part in parts)
            case ast.List(elts=parts):
                return [self._value(part, scope) for part in parts]
            case ast.UnaryOp(op=ast.USub()):
                return apply("neg", [self._value(node.operand, scope)], {})
            case ast.UnaryOp(op=ast.Not()):
                return not self._known(self._value(node.operand, scope))
            case ast.BinOp() if type(node.op) in _OPERATORS:
                sides = [self._value(side, scope) for side in (node.left, node.right)]
                return apply(_OPERATORS[type(node.op)], sides, {})
            case ast.Call():
                return self._called(node, scope)
            case _:
                raise NotUnderstood(f"an expression of the kind {type(node).__name__}")

    def _known(self, value: Any) -> Any:
        if isinstance(value, Signal):
            raise NotUnderstood("control flow that depends on the observation")
        return value

    def _attribute(self, node: ast.Attribute, scope: dict[str, Any]) -> Any:
        if isinstance(node.value, ast.Name) and node.value.id == "CONSTANTS" and node.attr[1:].isdigit():
            place = int(node.attr[1:][:9])
            if place >= len(self._script.constants):
                raise NotUnderstood("a constant that the file does not have")
            return self._loaded(self._script.constants[place], constant=True)
        dotted = _dotted(node)
        if dotted is not None and dotted.startswith("__torch__."):
            return self._function(dotted)
        return self._field(self._value(node.value, scope), node.attr)

    def _field(self, owner: Any, name: str) -> Any:
        if not isinstance(owner, Module):
            raise NotUnderstood(f"the attribute {name[:60]} of a {type(owner).__name__}")
        # A policy acts in evaluation mode, whatever mode the file was saved in.
        if name == "training":
            return False
        if name not in owner.fields:
            raise NotUnderstood(f"{owner.name} without {name[:60]}")
        return self._loaded(owner.fields[name], constant=False)

    def _loaded(self, value: Any, *, constant: bool) -> Any:
        return self._script.numbers(value, constant) if isinstance(value, Tensor) else value

    def _called(self, node: ast.Call, scope: dict[str, Any]) -> Any:
        self._left -= 1
        if self._left < 0:
            raise NotUnderstood("more code than any network has")
        dotted = _dotted(node.func)
        if dotted in ("annotate", "unchecked_cast") and len(node.args) == 2:
            return self._value(node.args[1], scope)
        values = [self._value(argument, scope) for argument in node.args]
        named = {item.arg: self._value(item.value, scope) for item in node.keywords if item.arg is not None}
        if dotted == "getattr" and len(values) == 2 and isinstance(values[1], str):
            return self._field(values[0], values[1])
        if dotted in ("int", "float", "bool") and len(values) == 1 and isinstance(values[0], int | float):
            return {"int": int, "float": float, "bool": bool}[dotted](values[0])
        if dotted is not None and dotted.startswith("torch."):
            return apply(dotted.removeprefix("torch."), values, named)
        if dotted is not None and dotted.startswith("__torch__."):
            return self.call(self._function(dotted), values, named)
        if dotted is not None and dotted.startswith("ops."):
            raise NotUnderstood(f"the operator {dotted[:80]}")
        if isinstance(node.func, ast.Name) and isinstance(scope.get(node.func.id), ast.FunctionDef):
            return self.call(scope[node.func.id], values, named)
        if isinstance(node.func, ast.Attribute):
            owner = self._value(node.func.value, scope)
            if isinstance(owner, Module):
                return self.call(self.method(owner, node.func.attr), [owner, *values], named)
        raise NotUnderstood(f"a call of {(dotted or 'something')[:80]}")

    def _function(self, dotted: str) -> ast.FunctionDef:
        place, _, name = dotted.rpartition(".")
        for node in self._file(place).body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return node
        raise NotUnderstood(f"the function {dotted[:80]}")


def _dotted(node: ast.expr) -> str | None:
    """``torch.nn.functional.elu`` as text; None for what is no plain name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None
