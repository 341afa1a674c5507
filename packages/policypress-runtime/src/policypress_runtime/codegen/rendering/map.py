"""One loop of the generated C for a tree of element-wise operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from policypress_runtime.codegen.expression import (
    OPERATIONS,
    Apply,
    Constant,
    Expression,
    Load,
    constants,
    leaves,
    operations,
)
from policypress_runtime.codegen.program import Map
from policypress_runtime.codegen.rendering.constants import Constants, number

C_TYPES = {"float32": "float", "uint8": "uint8_t", "int8": "int8_t", "int32": "int32_t"}
# Operations that are dear enough to compute a whole vector of them rather than the rest one by one.
DEAR = {
    *("tanh", "sigmoid", "exp", "log", "erf", "silu", "gelu", "gelu_tanh", "softplus", "mish", "elu", "celu", "selu"),
    *("sin", "cos", "div"),
}


@dataclass(frozen=True)
class Places:
    """Where the arrays of a loop lie.

    ``address`` gives the pointer to what a load reads first, ``room`` how many elements from there on are ours to
    read; ``target`` and ``target_room`` say the same of the result. Loops are padded to whole multiples of ``lanes``
    where there is room, so that compilers leave no rest to compute one by one.
    """

    address: Callable[[Load], str]
    room: Callable[[Load], int]
    target: str
    target_room: int
    lanes: int


def rendered_map(step: Map, places: Places, table: Constants) -> list[str]:
    """Lines of C that evaluate ``step`` for one observation."""
    size = _padded(step, places)
    if size == step.size or size <= places.target_room:
        return _loop(step, places, places.target, size, table)
    kind = "float" if step.expression.real else "int32_t"
    return [
        f"{kind} padded[{size}];",
        "{",
        *_indented(_loop(step, places, "padded", size, table)),
        "}",
        f"for (int i = 0; i < {step.size}; i++)",
        f"    ({places.target})[i] = padded[i];",
    ]


def _padded(step: Map, places: Places) -> int:
    """How many elements to compute: whole vectors of what is dear, if all that is read has room."""
    dear = any(apply.operation in DEAR for apply in operations(step.expression))
    periods = {c.values.size for c in constants(step.expression)} - {1, step.size}
    size = -(-step.size // places.lanes) * places.lanes
    watched = any(apply.watched for apply in operations(step.expression))
    if not dear or periods or watched:
        return step.size
    fits = all(load.index.size == 1 or places.room(load) >= size for load in leaves(step.expression))
    return size if fits else step.size


def _loop(step: Map, places: Places, target: str, size: int, table: Constants) -> list[str]:
    names: dict[int, str] = {}
    before: list[str] = []
    pointers: dict[str, str] = {}
    period = max((c.values.size for c in constants(step.expression)), default=1)
    inner = size if period in (1, step.size) else period
    for load in leaves(step.expression):
        place = places.address(load)
        if place not in pointers:
            pointers[place] = f"x{len(pointers)}"
            before.append(f"const {C_TYPES[load.storage.kind]} *{pointers[place]} = {place};")
        # One element for all is read where it is: nothing writes over it meanwhile.
        names[id(load)] = f"{pointers[place]}[{'0' if load.index.size == 1 and step.size > 1 else 'i'}]"
        if size > step.size and load.index.size > 1 and load.storage.kind == "float32":
            # Behind the array lies whatever was there before; a subnormal number would take 100 times as long.
            names[id(load)] = f"pp_keep({names[id(load)]}, i < {step.size})"
    for held in constants(step.expression):
        names[id(held)] = _constant(held, table, "j" if inner < size else "i", size if inner == size else inner)
    lines, result = _statements(step.expression, names)
    kind = "float" if step.expression.real else "int32_t"
    before.append(f"{kind} *y = {target};")
    body = [*lines, f"y[i] = {result};"]
    if inner == size:
        return [*before, f"for (int i = 0; i < {size}; i++) {{", *_indented(body), "}"]
    outer = [f"for (int k = 0, i = 0; k < {size // inner}; k++)", f"    for (int j = 0; j < {inner}; j++, i++) {{"]
    return [*before, *outer, *_indented(_indented(body)), "    }"]


def _constant(held: Constant, table: Constants, counter: str, size: int) -> str:
    flat = held.values.reshape(-1)
    if flat.size == 1:
        return number(float(flat[0])) if held.real else str(int(flat[0]))
    padded = np.pad(flat, (0, size - flat.size)) if flat.size < size else flat
    return f"{table.add('map', padded)}[{counter}]"


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


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]
