"""What a caller sees: the header with the contract in its comment, and the functions that it declares."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from policypress_runtime.codegen.program import Input, Program
from policypress_runtime.codegen.rendering import state
from policypress_runtime.codegen.text_in_c import block_comment
from policypress_runtime.contract import Box, Contract, Discrete, MultiBinary, MultiDiscrete, Space

C_TYPES = {"float32": "float", "uint8": "uint8_t", "int8": "int8_t", "int32": "int32_t"}
# Longer lists of bounds are summed up here; the JSON beside an ONNX artifact has them all.
SHOWN_BOUNDS = 512
_MASKED = (
    "  The policy was trained with action masks: call the function that ends in _run, and take the best score",
    "  among the actions that are allowed (a bit is on above 0). The action that is written knows no mask.",
)
# Stands for the number of a pair until both files are known.
_NUMBER = "POLICYPRESS_PAIR_NUMBER"


@dataclass(frozen=True)
class Sizes:
    """Bytes that the header states: constants, and working memory of one action and of the batch form.

    ``given`` and ``batch_given``: the caller gives that memory, because it is too large for the stack.
    """

    flash: int
    scratch: int
    batch_scratch: int
    given: bool = False
    batch_given: bool = False


def c_type(part: Input) -> str:
    """C type of an input's elements."""
    return C_TYPES[part.storage.kind]


def parameters(program: Program, name: str, scores: bool = False) -> str:
    """Parameters of the functions that act: state, inputs in the contract's order, scores if wanted, action."""
    given = [f"const {c_type(part)} *{part.storage.name}" for part in program.inputs]
    if scores:
        given.append("float *scores")
    kept = state.state_parameter(program, name)
    return ", ".join([*kept, *given, f"{C_TYPES[program.action.kind]} *action"])


def signature(program: Program, name: str, call: str, given: bool) -> str:
    """A public function and its parameters; ``call`` is act, run, act_batch or run_batch.

    ``given``: the caller gives the working memory, which the function's name says too.
    """
    listed = parameters(program, name, scores=call.startswith("run"))
    count = ", size_t count" if call.endswith("_batch") else ""
    return f"{name}_{call}_with(void *scratch, {listed}{count})" if given else f"{name}_{call}({listed}{count})"


def _macro(name: str) -> str:
    return name.upper()


_MEMORY = {
    False: ("/* Bytes of constants in read-only memory, and of automatic memory (stack) during a call. */",),
    True: (
        "/* Bytes of constants in read-only memory, and of working memory during a call. It is too large for a stack,",
        "   so the caller gives it: `scratch`, that many bytes, which may begin anywhere and hold anything, and which",
        "   nothing else uses during the call. A static array for each thread that acts will do. */",
    ),
}


_NOT_FINITE = {
    False: "/* NaN or infinity in the observation; the action was left as it was. */",
    True: "/* NaN or infinity in the observation or the state; action and state were left as they were. */",
}
_ACTS = {
    False: ("/* One observation in, one action out; returns status bits. Arrays must not overlap. Thread-safe. */",),
    True: (
        "/* One observation in, one action out, and the state is that of the next step; returns status bits.",
        "   Arrays must not overlap. Threads may act at the same time, each with a state of its own: nothing else",
        "   is shared. */",
    ),
}
_ACTS_ON_ROWS = {
    False: (
        "/* `count` observations, one behind the other; returns the OR of their status bits. The action of a row",
        "   that is not finite is left as it was. */",
    ),
    True: (
        "/* `count` observations of as many episodes, one behind the other, and an array of their states; returns",
        "   the OR of their status bits. Action and state of a row that is not finite are left as they were. */",
    ),
}


def _sizes(program: Program, name: str, sizes: Sizes) -> list[str]:
    prefix = _macro(name)
    single = len(program.inputs) == 1
    lines = [
        f"#define {prefix}_{'OBSERVATION' if single else _macro(part.storage.name)}_SIZE {part.storage.size}"
        for part in program.inputs
    ]
    lines.append(f"#define {prefix}_ACTION_SIZE {program.action.size}")
    if program.scores is not None:
        lines.append(f"#define {prefix}_SCORES_SIZE {program.scores.size}")
    return [
        *lines,
        "",
        *_MEMORY[sizes.given or sizes.batch_given],
        *([f"#define {prefix}_SCRATCH_IS_GIVEN 1"] if sizes.given else []),
        *([f"#define {prefix}_BATCH_SCRATCH_IS_GIVEN 1"] if sizes.batch_given else []),
        f"#define {prefix}_FLASH_BYTES {sizes.flash}",
        f"#define {prefix}_SCRATCH_BYTES {sizes.scratch}",
        f"#define {prefix}_BATCH_SCRATCH_BYTES {sizes.batch_scratch}",
        "",
        "/* Status bits; 0 is all well. */",
        "/* A value of the observation was clipped by the normaliser or the first quantizer; the action is valid. */",
        f"#define {prefix}_SATURATED 1",
        _NOT_FINITE[bool(program.states)],
        f"#define {prefix}_NOT_FINITE 2",
    ]


def _functions(program: Program, name: str, sizes: Sizes) -> list[str]:
    prefix = _macro(name)

    def declared(call: str) -> str:
        return f"int {signature(program, name, call, sizes.batch_given if call.endswith('_batch') else sizes.given)};"

    remembers = bool(program.states)
    lines = [
        *state.reset_declaration(program, name),
        *_ACTS[remembers],
        declared("act"),
        "",
        *_ACTS_ON_ROWS[remembers],
        declared("act_batch"),
    ]
    if program.scores is not None:
        lines += [
            "",
            "/* The same, with the scores among which the action was chosen. */",
            declared("run"),
            declared("run_batch"),
        ]
    return [
        *lines,
        "",
        "/* Name of the kernels in use, e.g. avx512vnni or plain. */",
        f"const char *{name}_kernel(void);",
        "",
        f"#if defined({prefix}_SELECTABLE) || defined({prefix}_SELFTEST)",
        "/* Use the kernels of this name; returns non-zero where this machine or file does not have them. */",
        f"int {name}_use_kernel(const char *kernel);",
        "#endif",
    ]


def header(program: Program, name: str, sizes: Sizes) -> str:
    """The text of the ``.h`` file; :func:`paired` puts in the number that its source has too."""
    guard = f"{_macro(name)}_H"
    lines = [
        block_comment(_comment(program)),
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        "#include <stddef.h>",
        "#include <stdint.h>",
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        "/* The source has the same number, and compiles with no other header. */",
        f"#define {_macro(name)}_PAIR {_NUMBER}",
        "",
        *_sizes(program, name, sizes),
        "",
        *state.declaration(program, name),
        *_functions(program, name, sizes),
        "",
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def same_pair(name: str) -> str:
    """What stands in a source, behind the line that includes its header."""
    return f"""#if {_macro(name)}_PAIR != {_NUMBER}
#error "{name}.h is not the header of this file: export both again"
#endif

"""


def paired(c: str, h: str, weights: bytes | None) -> tuple[str, str]:
    """Source and header with the number that they share: 60 bits of a hash of both, and of the weights beside them."""
    digest = hashlib.sha256(b"\0".join([c.encode(), h.encode(), weights or b""])).hexdigest()
    number = f"0x{digest[:15]}"
    return c.replace(_NUMBER, number), h.replace(_NUMBER, number)


def _comment(program: Program) -> list[str]:
    """The contract in words."""
    lines = ["A policy written by policypress. Generated: do not edit.", "", "Inputs, row-major:"]
    contract = program.contract
    spaces = _spaces(contract)
    for part in program.inputs:
        shape = " x ".join(map(str, part.spec.shape)) or "1"
        space = spaces.get(part.spec.name)
        lines.append(f"  {part.storage.name}: {c_type(part)}, {shape}{_layout(part, contract)}{_within(space)}")
    shape = f"{C_TYPES[program.action.kind]}, {program.action.size}"
    lines.append(f"Action: {shape}{_within(contract.action_space if contract else None)}")
    if program.scores is not None:
        lines.append(f"Scores: float, {program.scores.size}; the best decides")
        if contract is not None and contract.masked:
            lines += _MASKED
    lines += state.comment(program)
    return [*lines, *(_provenance(contract) if contract else [])]


def _provenance(contract: Contract) -> list[str]:
    lines = ["", f"Algorithm: {contract.algorithm}"]
    if contract.environment is not None:
        lines.append(f"Environment: {contract.environment.id}")
    lines += [
        f"Computed inside: {', '.join(contract.folded) or 'the network alone'}",
        f"The caller supplies: {', '.join(contract.caller_supplies) or 'the observation, raw'}",
        *(f"Assumed: {sentence}" for sentence in contract.assumptions),
        *(() if contract.checked is None else (f"Compared with the author's own code: {contract.checked.in_words()}",)),
        f"Recipe: {contract.recipe or 'none'}  Precision: {contract.precision}",
        *_source(contract),
    ]
    if contract.parent_sha256 is not None:
        lines.append(f"Made from sha256: {contract.parent_sha256}")
    if contract.measured_return is not None:
        got = contract.measured_return
        percent = f"{100 * got.confidence:g} %"
        lines.append(
            f"Return: {got.mean:g} [{got.lower:g}, {got.upper:g}] at {percent} confidence, {got.count} episodes"
        )
    return lines


def _source(contract: Contract) -> list[str]:
    """What the file before it calls things, and says beside its network."""
    if contract.source is None:
        return []
    names = f"{', '.join(contract.source.inputs)} -> {contract.source.output}"
    return [f"Names in its file: {names}", *(f"  {key}: {text}" for key, text in contract.source.metadata)]


def _spaces(contract: Contract | None) -> dict[str, Space]:
    if contract is None:
        return {}
    space = contract.observation_space
    parts = space.spaces if hasattr(space, "spaces") else (("", space),)
    return {spec.name: part for spec, (_, part) in zip(contract.inputs, parts, strict=False)}


def _layout(part: Input, contract: Contract | None) -> str:
    """Which axis of an image is which."""
    layout = "" if contract is None else contract.layout_of(part.spec)
    return f" ({layout})" if layout else ""


def _within(space: Space | None) -> str:
    match space:
        case Box():
            low, high = (np.unique(bound) for bound in space.bounds())
            if len(low) == 1 and len(high) == 1:
                return f", each in [{low[0]:g}, {high[0]:g}]"
            first, last = (bound.reshape(-1) for bound in space.bounds())
            if len(first) <= SHOWN_BOUNDS:
                return ", in " + " ".join(f"[{a:g}, {b:g}]" for a, b in zip(first, last, strict=True))
            return f", bounds from {low[0]:g} to {high[-1]:g}"
        case Discrete():
            return f", {space.start} to {space.start + space.n - 1}"
        case MultiDiscrete():
            return ", below " + ", ".join(map(str, space.nvec))
        case MultiBinary():
            return ", 0 or 1"
        case _:
            return ""
