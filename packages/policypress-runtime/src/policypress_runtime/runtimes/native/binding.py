"""The C that describes a policy's arrays to the extension module: everything that the contract decides."""

from __future__ import annotations

import json
import math
from importlib.resources import files

from policypress_runtime.codegen.text_in_c import literal, literals
from policypress_runtime.contract import Box, Contract, Discrete, TensorSpec

NAME = "policy"
"""Prefix of the generated policy's C names."""
SOURCE = "policy.c"
STACK_BYTES = 8 << 10
"""Most memory that a call takes from the stack for one purpose. A thread of Python may have 32 KiB for everything."""
# More than this is not converted here; numpy does it before the call.
_CONVERTED_LIMIT_BYTES = 1 << 18
# An action, and what is held of each input, lie on the stack.
_MOST_ACTION, _MOST_INPUTS = 1 << 10, 64
_ALIGNMENT_BYTES = 64
# dtype in the contract → format, C type and bytes in the generated C.
_ELEMENTS = {
    "float32": ("PB_REAL32", "float", 4),
    "uint8": ("PB_BYTE", "uint8_t", 1),
    "int8": ("PB_SIGNED_BYTE", "int8_t", 1),
    "int32": ("PB_INT32", "int32_t", 4),
    "int64": ("PB_INT32", "int32_t", 4),
}


def binding_source(contract: Contract, module: str) -> str:
    """A C file that includes the generated :data:`SOURCE` and makes of it the extension module ``module``.

    Raises:
        KeyError: the contract has a dtype that no artifact has.
        ValueError: more numbers in an action, or more inputs, than the module is written for; says how many.
    """
    rows, shapes, casts, converted = [], [], [], 0
    stepped = []
    for number, spec in enumerate(contract.inputs):
        kind, c_type, item_bytes = _ELEMENTS[spec.dtype]
        size_bytes = math.prod(spec.shape) * item_bytes
        place = -1
        if item_bytes == 4 and converted + size_bytes <= _CONVERTED_LIMIT_BYTES:
            place = converted
            converted += size_bytes + -size_bytes % _ALIGNMENT_BYTES
        shapes.append(f"static const Py_ssize_t pb_shape_{number}[] = {{{', '.join(map(str, spec.shape)) or '0'}}};")
        key = literal(spec.name.partition(".")[2])
        size = f"{item_bytes}, {math.prod(spec.shape)}, {len(spec.shape)}"
        rows.append(f"    {{{key}, {kind}, {size}, pb_shape_{number}, {place}}},")
        casts.append(f"(const {c_type} *)inputs[{number}]")
        stepped.append(f"{casts[-1]} + row * {math.prod(spec.shape)}")
    if len(contract.inputs) > _MOST_INPUTS:
        raise ValueError(f"{len(contract.inputs)} inputs; at most {_MOST_INPUTS}")
    action = next(spec for spec in contract.outputs if spec.name == "action")
    if math.prod(action.shape) > _MOST_ACTION:
        raise ValueError(f"an action of {math.prod(action.shape)} numbers; at most {_MOST_ACTION}")
    scores = next((math.prod(spec.shape) for spec in contract.outputs if spec.name == "scores"), 0)
    integer = not isinstance(contract.action_space, Box)
    lines = [
        "#define PY_SSIZE_T_CLEAN",
        "#include <Python.h>",
        f"#define {NAME.upper()}_SELECTABLE 1",
        f'#include "{SOURCE}"',
        f"#define PB_MODULE {module}",
        f"#define PB_INPUTS {len(contract.inputs)}",
        f"#define PB_CONVERTED_BYTES {max(converted, 1)}",
        f"#define PB_STACK_BYTES {STACK_BYTES // 2}",
        f"#define PB_CALL_INPUTS {', '.join(casts)}",
        f"#define PB_ROW_INPUTS {', '.join(stepped)}",
        f"#define PB_SCORES {scores}",
        f"#define PB_ACTION_ELEMENT {'int32_t' if integer else 'float'}",
        f"#define PB_ACTION_INTEGER {int(integer)}",
        f"#define PB_ACTION_SCALAR {int(isinstance(contract.action_space, Discrete))}",
        f"#define PB_ACTION_SIZE {max(math.prod(action.shape), 1)}",
        f"#define PB_EXPECTED {literal(expected(contract.inputs))}",
        f"#define PB_EXPECTED_ACTION {literal(described(action))}",
        f"#define PB_EXPECTED_STATE {literal(_state(contract))}",
        _DECLARATIONS,
        *shapes,
        "static const struct pb_input pb_inputs[] = {",
        *rows,
        "};",
        f"static const char pb_contract[] =\n{literals(json.dumps(contract.to_json()))};",
        (files("policypress_runtime.runtimes.native") / "extension.c").read_text(encoding="utf-8"),
    ]
    return "\n".join(lines)


def _state(contract: Contract) -> str:
    """The state of one observation in words."""
    parts = ", ".join(f"{spec.name} {spec.shape}" for spec in contract.state)
    return f"{sum(math.prod(spec.shape) for spec in contract.state)} float32 numbers: {parts}"


_DECLARATIONS = """
/* One element of one of the formats that Python and numpy have for arrays. */
enum { PB_OTHER, PB_REAL32, PB_REAL64, PB_BYTE, PB_SIGNED_BYTE, PB_INT32, PB_INT64 };

/* An input as the policy reads it. `converted`: where in a buffer its elements go that come as others; -1: nowhere. */
struct pb_input {
    const char *key;
    int format;
    Py_ssize_t item_bytes, size;
    int ndim;
    const Py_ssize_t *shape;
    Py_ssize_t converted;
};
"""


def described(spec: TensorSpec) -> str:
    """An array in words: ``float32 of shape (17,)``."""
    return f"{spec.dtype} of shape {spec.shape}"


def expected(inputs: tuple[TensorSpec, ...]) -> str:
    """The observation in words."""
    if len(inputs) == 1 and not inputs[0].name.partition(".")[2]:
        return described(inputs[0])
    return "a dict of " + ", ".join(f"{spec.name.partition('.')[2]}: {described(spec)}" for spec in inputs)
