"""One loop of the generated C for a tree of element-wise operations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from policypress.artifact.c.expression import (
    OPERATIONS,
    Apply,
    Constant,
    Expression,
    Load,
    constants,
    leaves,
    operations,
)
from policypress.artifact.c.program import Map
from policypress.artifact.c.render_constants import Constants, number

Address = Callable[[Load], str]


def rendered_map(step: Map, target: str, address: Address, table: Constants) -> list[str]:
    """Lines of C that evaluate ``step`` for one observation; ``target`` and ``address`` are pointers."""
    names: dict[int, str] = {}
    before: list[str] = []
    pointers: dict[str, str] = {}
    period = max((c.values.size for c in constants(step.expression)), default=1)
    inner = step.size if period == 1 else period
    for load in leaves(step.expression):
        kind = {"float32": "float", "uint8": "uint8_t", "int8": "int8_t", "int32": "int32_t"}[load.storage.kind]
        place = address(load)
        if place not in pointers:
            pointers[place] = f"x{len(pointers)}"
            before.append(f"const {kind} *{pointers[place]} = {place};")
        pointer = pointers[place]
        # One element for all is read where it is: it may be overwritten by the loop only after the loop.
        names[id(load)] = f"{pointer}[0]" if load.index.size == 1 and step.size > 1 else f"{pointer}[i]"
    for held in constants(step.expression):
        names[id(held)] = _constant(held, table, "j" if inner < step.size else "i", step.size)
    lines, result = _statements(step.expression, names)
    kind = "float" if step.expression.real else "int32_t"
    before.append(f"{kind} *y = {target};")
    body = [*lines, f"y[i] = {result};"]
    if inner == step.size:
        return [*before, f"for (int i = 0; i < {step.size}; i++) {{", *_indented(body), "}"]
    outer = [f"for (int k = 0, i = 0; k < {step.size // inner}; k++)", f"    for (int j = 0; j < {inner}; j++, i++) {{"]
    return [*before, *outer, *_indented(_indented(body)), "    }"]


def _constant(held: Constant, table: Constants, counter: str, size: int) -> str:
    flat = held.values.reshape(-1)
    if flat.size == 1:
        return number(float(flat[0])) if held.real else str(int(flat[0]))
    return f"{table.add('map', flat)}[{counter}]"


def _statements(tree: Expression, names: dict[int, str]) -> tuple[list[str], str]:
    lines: list[str] = []
    for step in operations(tree):
        operands = [names[id(operand)] for operand in step.operands]
        lines.extend(_watch(step, operands))
        name = f"t{len(lines)}"
        form = OPERATIONS[step.operation]
        whole = all(not operand.real for operand in step.operands)
        text = form.integer_c if whole and form.integer_c is not None else form.c
        kind = "float" if step.real else "int32_t"
        lines.append(f"const {kind} {name} = {text.format(*operands)};")
        names[id(step)] = name
    return lines, names[id(tree)]


def _watch(step: Apply, operands: list[str]) -> list[str]:
    """Note an observation beyond its limits."""
    if not step.watched:
        return []
    below, above = {"min": (None, 1), "max": (1, None)}.get(step.operation, (1, 2))
    tests = [f"{operands[0]} < {operands[below]}"] if below is not None and _limits(step, below) else []
    if above is not None and _limits(step, above):
        tests.append(f"{operands[0]} > {operands[above]}")
    return ["saturated |= " + " | ".join(f"({test})" for test in tests) + ";"] if tests else []


def _limits(step: Apply, index: int) -> bool:
    operand = step.operands[index]
    return not (isinstance(operand, Constant) and bool(np.isinf(operand.values).all()))


def watches(step: Map) -> bool:
    """Whether the loop can find that the observation is beyond limits."""
    return any(apply.watched for apply in operations(step.expression))


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]
