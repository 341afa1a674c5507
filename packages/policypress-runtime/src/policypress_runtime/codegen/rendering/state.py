"""The memory of a policy in C: a struct that the caller keeps for each episode, and the function that begins one."""

from __future__ import annotations

import numpy as np

from policypress_runtime.codegen.expression import Storage
from policypress_runtime.codegen.program import Carried, Program
from policypress_runtime.codegen.rendering.constants import Constants, number


def state_type(name: str) -> str:
    """The struct's name."""
    return f"{name}_state"


def state_parameter(program: Program, name: str) -> list[str]:
    """The first parameter of every function that acts; none where there is no memory."""
    return [f"{state_type(name)} *state"] if program.states else []


def state_argument(program: Program, row: str = "") -> list[str]:
    """What is given for it: the caller's, or those from ``row`` on."""
    return [f"state + {row}" if row else "state"] if program.states else []


def member(storage: Storage, row: str = "") -> str:
    """One tensor of the state of the first observation, or of that of row ``row``."""
    return f"state[{row}].{storage.name}" if row else f"state->{storage.name}"


def state_bytes(program: Program) -> int:
    """Bytes of the struct."""
    return sum(state.storage.size_bytes for state in program.states)


def declaration(program: Program, name: str) -> list[str]:
    """Lines of the header that define the struct."""
    if not program.states:
        return []
    return [
        "/* What the policy remembers of an episode. It belongs to the caller: one for each episode that is played,",
        f"   begun by {name}_reset and given to every step of that episode, in order. */",
        "typedef struct {",
        *(f"    float {state.storage.name}[{state.storage.size}];" for state in program.states),
        f"}} {state_type(name)};",
        "",
        f"#define {name.upper()}_STATE_BYTES {state_bytes(program)}",
        "",
    ]


def reset_declaration(program: Program, name: str) -> list[str]:
    """Lines of the header that declare the function which begins an episode."""
    if not program.states:
        return []
    return [
        "/* Begin an episode: sets what is remembered to what it is before the first observation. */",
        f"void {name}_reset({state_type(name)} *state);",
        "",
    ]


def comment(program: Program) -> list[str]:
    """Lines of the header's comment: names in the ONNX file, shapes, values at the start of an episode."""
    if not program.states:
        return []
    lines = ["State, kept by the caller from one step of an episode to the next, row-major:"]
    for state in program.states:
        shape = " x ".join(map(str, state.spec.shape))
        names = f"{state.spec.name}, {state.spec.next_name} after the step"
        lines.append(f"  {state.storage.name}: float, {shape}; {_start(state)} at the start ({names} in ONNX)")
    return lines


def _start(state: Carried) -> str:
    first = np.unique(np.array(state.spec.initial or (0.0,), np.float32))
    return f"{first[0]:g}" if len(first) == 1 else f"values from {first[0]:g} to {first[-1]:g}"


def reset(program: Program, name: str, table: Constants) -> str:
    """The text of the function that begins an episode."""
    if not program.states:
        return ""
    lines: list[str] = []
    for state in program.states:
        first = np.array(state.spec.initial or (0.0,), np.float32).reshape(-1)
        alike = bool((first.view(np.int32) == first.view(np.int32)[0]).all())
        value = number(float(first[0])) if alike else f"{table.add('initial', first)}[i]"
        lines += [
            f"    for (int i = 0; i < {state.storage.size}; i++)",
            f"        {member(state.storage)}[i] = {value};",
        ]
    return "\n".join([f"\nvoid {name}_reset({state_type(name)} *state)", "{", *lines, "}", ""])
