"""From a program to the text of its ``.c`` and ``.h`` files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from policypress_runtime.codegen import kernels
from policypress_runtime.codegen.expression import Kind
from policypress_runtime.codegen.kernels import KernelSet, fragment
from policypress_runtime.codegen.memory import MOST_SCRATCH_BYTES, SPARE_BYTES, Memory, allocate
from policypress_runtime.codegen.program import Dense, Program, Span
from policypress_runtime.codegen.rendering.choice import Calls, guard, row_of, scores_size
from policypress_runtime.codegen.rendering.constants import Constants
from policypress_runtime.codegen.rendering.interface import C_TYPES, Sizes, c_type, header, paired, same_pair
from policypress_runtime.codegen.rendering.reach import check_constants, check_operations
from policypress_runtime.codegen.rendering.selftest import Goldens, selftest
from policypress_runtime.codegen.rendering.state import member, reset, state_argument, state_parameter
from policypress_runtime.codegen.rendering.steps import StepRenderer
from policypress_runtime.codegen.targets import Target
from policypress_runtime.codegen.text_in_c import prefix
from policypress_runtime.errors import NetworkError

# Bytes behind an array that kernels may read with it, and multiply by weights of 0.
READ_BEHIND = 8
POOLS: tuple[tuple[str, Kind, str], ...] = (
    ("f", "float32", "float"),
    ("u", "uint8", "uint8_t"),
    ("n", "int32", "int32_t"),
)


@dataclass(frozen=True)
class Source:
    """The files of one policy: C, header, and the weights where they are not in the C.

    ``weights_file`` is the name under which the C includes ``weights``; ``kernels`` names the kernel sets that the C
    holds, the best first.
    """

    c: str
    h: str
    weights: bytes | None
    weights_file: str
    sizes: Sizes
    kernels: tuple[str, ...]


def render(
    program: Program,
    target: Target,
    name: str = "policy",
    constants: Literal["text", "incbin"] = "text",
    goldens: Goldens | None = None,
) -> Source:
    """C for ``program``.

    Args:
        program: what is computed.
        target: what for.
        name: prefix of every public name; the header is ``name.h``.
        constants: in the text, or in a file of their own that the assembler includes.
        goldens: for the self-test; without them there is none.

    Raises:
        InputError: ``name`` is no C identifier, or that of a header of the C library.
        NetworkError: the network needs too much working memory, or is too large for the target.
    """
    return _Renderer(program, target, prefix(name), Constants(name, constants, target.alignment_bytes)).source(goldens)


@dataclass
class _Renderer:
    program: Program
    target: Target
    name: str
    constants: Constants

    def __post_init__(self) -> None:
        self.memory: Memory = allocate(self.program, self.target.alignment_bytes)
        scratch = max(self.memory.scratch_bytes(), 1)
        if scratch > MOST_SCRATCH_BYTES:
            raise NetworkError(
                "The network needs more working memory for one observation than C is written for.",
                got=f"{scratch / 2**20:.0f} MiB",
                expected=f"at most {MOST_SCRATCH_BYTES / 2**20:.0f} MiB",
                hint="Act with the ONNX artifact under ONNX Runtime.",
            )
        check_operations(self.program, self.target)
        self.tile = max(1, min(self.target.tile, self.target.tile_bytes // scratch))
        self.sets = tuple(one for one in kernels.sets_of(self.target.name) if self._worth(one))

    def _worth(self, kernel: KernelSet) -> bool:
        """Whether the program has anything that ``kernel`` does itself."""
        if not kernel.few:
            return True
        integers = [step for step in self.program.steps if isinstance(step, Dense) and step.bits == 8]
        return any(self.tile > 1 or step.geometry.rows > 1 for step in integers)

    def _has_images(self) -> bool:
        return any(isinstance(step, Dense) and step.geometry.rows > 1 for step in self.program.steps)

    def source(self, goldens: Goldens | None) -> Source:
        name = self.name
        # The best last: it may call another.
        bodies = "".join(self._guarded(kernel) for kernel in reversed(self.sets))
        begins = reset(self.program, name, self.constants)
        check_constants(self.constants, self.target)
        sizes = self._sizes()
        calls = Calls(self.program, self.target, name, self.sets, self.tile, sizes)
        parts = [
            f"/* A policy written by policypress; {name}.h says how to call it. Generated: do not edit. */\n",
            f'#include "{name}.h"\n\n',
            same_pair(name),
            "" if self.target.hosted else _NO_LIBRARY,
            "".join(f"#define {key} {value}\n" for key, value in self.target.layout.defines.items()),
            *(f"\n{fragment(file)}" for file in self._fragments()),
            _INFINITY,
            "\n/* Constants. */\n",
            self.constants.preamble(),
            *self.constants.declarations,
            f"\n/* Observations that are computed at once. */\n#define {name.upper()}_TILE {self.tile}\n",
            bodies,
            calls.choice(),
            begins,
            calls.calls(),
            "" if goldens is None else selftest(self.program, name, goldens, sizes),
        ]
        blob = bytes(self.constants.blob) if self.constants.form == "incbin" else None
        names = tuple(kernel.name for kernel in self.sets)
        c, h = paired("".join(parts), header(self.program, name, sizes), blob)
        return Source(c, h, blob, self.constants.file, sizes, names)

    def _given(self, form: str) -> bool:
        """Whether the caller gives the working memory of ``one`` or ``many``, because it is too large for the stack."""
        rows = 1 if form == "one" else self.tile
        return self.memory.scratch_bytes(rows) > self.target.stack_bytes

    def _sizes(self) -> Sizes:
        own = max(kernel.stack_bytes for kernel in self.sets)
        one = self.memory.scratch_bytes() + (own if self._has_images() else 0)
        many = self.memory.scratch_bytes(self.tile) + (own if self.tile > 1 else 0)
        given, alignment = self._given("one"), self.target.alignment_bytes
        if given:
            one = self.memory.given_bytes(1, alignment)
        if self._given("many"):
            many = self.memory.given_bytes(self.tile, alignment)
        return Sizes(self.constants.size_bytes, one, max(one, many), given, self._given("many"))

    def _fragments(self) -> tuple[str, ...]:
        return kernels.fragments(self.target.name)

    def _guarded(self, kernel: KernelSet) -> str:
        text = self._body(kernel) + self._entries(kernel)
        return text if kernel.guard == "1" else f"\n#if {guard(kernel, self.name)}{text}#endif\n"

    def _body(self, kernel: KernelSet) -> str:
        """Everything between observation and action, for ``rows`` of at most ``tile`` observations."""
        renderer = StepRenderer(self.memory, self.constants, self.target, kernel.name)
        lines = [line for step in self.program.steps for line in renderer.lines(step)]
        if self.program.scores is not None:
            lines += _scores_out(renderer, self.program)
        pools = "float *f, uint8_t *u, int32_t *n"
        given = [f"const {c_type(p)} *restrict {p.storage.name}" for p in self.program.inputs]
        given = [*(part.replace("*", "*restrict ") for part in state_parameter(self.program, self.name)), *given]
        outputs = f"{C_TYPES[self.program.action.kind]} *restrict action, float *scores"
        text = "\n".join(f"    {line}" for line in lines)
        return f"""
{kernel.attribute}
PP_INLINE int {self.name}_body_{kernel.name}({", ".join(given)}, {outputs}, int rows, int tile, {pools})
{{
    int saturated = 0;
    (void)f, (void)u, (void)n, (void)scores, (void)tile;
{text}
    return saturated != 0 ? {self.name.upper()}_SATURATED : 0;
}}
"""

    def _entries(self, kernel: KernelSet) -> str:
        if kernel.few and not self._has_images():
            # One observation is a row, which the other set does as well.
            one = f"\n#define {self.name}_one_{kernel.name} {self.name}_one_{kernel.few}\n"
        else:
            one = self._entry(kernel, "one", "", "1", "1", self._finite("    ", "", "return"))
        if self.tile == 1:
            return one
        tile = self._entry(kernel, "tile", ", int rows", "rows", f"{self.name.upper()}_TILE", "")
        return one + tile + self._many(kernel)

    def _entry(self, kernel: KernelSet, form: str, more: str, rows: str, tile: str, check: str) -> str:
        name = self.name
        arrays = self._arrays(form)
        kept, observed = state_argument(self.program), (part.storage.name for part in self.program.inputs)
        given = ", ".join([*kept, *observed, "action", "scores", rows, tile])
        return f"""
{kernel.attribute}
static int {name}_{form}_{kernel.name}({self._parameters(form)}{more})
{{
{check}{arrays}{self._cleared(form)}    const int status = {name}_body_{kernel.name}({given}, f, u, n);
{f"    {kernel.end}{chr(10)}" if kernel.end else ""}    return status;
}}
"""

    def _arrays(self, form: str) -> str:
        """Working memory for one observation or a tile of them: on the stack, or where the caller says."""
        rows, alignment = 1 if form == "one" else self.tile, self.target.alignment_bytes
        if self._given(form):
            places = self.memory.places(rows, alignment)
            lines = [f"uint8_t *const memory = (uint8_t *)scratch + -(uintptr_t)scratch % {alignment};"]
            lines += [f"{c} *const {pool} = ({c} *)(void *)(memory + {places[kind]});" for pool, kind, c in POOLS]
            return "".join(f"    {line}\n" for line in lines)
        arrays: list[str] = []
        for pool, kind, c in POOLS:
            count = self.memory.elements.get(kind, 0) * rows
            spare = SPARE_BYTES if kind == "uint8" and count else 0
            arrays.append(f"    {c} {pool}[{max(count + spare, 1)}] PP_ALIGN({alignment});\n")
        return "".join(arrays)

    def _parameters(self, form: str) -> str:
        scratch = ["void *scratch"] if self._given(form) else []
        given = [f"const {c_type(p)} *{p.storage.name}" for p in self.program.inputs]
        kept = state_parameter(self.program, self.name)
        return ", ".join([*scratch, *kept, *given, f"{C_TYPES[self.program.action.kind]} *action", "float *scores"])

    def _cleared(self, form: str) -> str:
        """Zeros behind arrays of bytes that kernels read in groups: what they read has been written."""
        tile = 1 if form == "one" else self.tile
        lines: list[str] = []
        for storage, offset in sorted(self.memory.offsets.items(), key=lambda item: item[1]):
            rest = -storage.size % READ_BEHIND
            if storage.kind != "uint8" or not rest:
                continue
            place = f"u[{offset * tile} + r * {self.memory.strides[storage]} + {storage.size} + i] = 0;"
            line = (
                f"    for (int r = 0; r < {tile}; r++)\n        for (int i = 0; i < {rest}; i++)\n            {place}\n"
            )
            if line not in lines:
                lines.append(line)
        return "".join(lines)

    def _finite(self, indent: str, row: str, what: str) -> str:
        real = [part.storage for part in self.program.inputs if part.storage.kind == "float32"]
        read = [(f"{s.name}{f' + {row} * {s.size}' if row else ''}", s.size) for s in real]
        read += [(member(state.storage, row), state.storage.size) for state in self.program.states]
        if not read:
            return ""
        tests = " || ".join(f"!pp_all_finite({values}, {size})" for values, size in read)
        return f"{indent}if ({tests})\n{indent}    {what} {self.name.upper()}_NOT_FINITE;\n"

    def _many(self, kernel: KernelSet) -> str:
        """Any number of observations; here, so that the instruction set may look for what is not finite."""
        name, macro = self.name, self.name.upper()
        size = scores_size(self.program)
        scores = f"scores == NULL ? NULL : scores + row * {size}" if size else "scores"
        one, call = (row_of(self.program, scores, self._given(form)) for form in ("one", "many"))
        finite = self._finite("            ", "(row + (size_t)rows)", "break; /*")
        check = finite.replace(f"break; /* {macro}_NOT_FINITE;", "break;")
        few = f"""        else if (rows < {kernel.fewer_than})
            status |= {name}_tile_{kernel.few}({call}, rows);
"""
        return f"""
{kernel.attribute}
static int {name}_many_{kernel.name}({self._parameters("many")}, size_t count)
{{
    int status = 0;
    for (size_t row = 0; row < count;) {{
        int rows = 0;
        while (rows < {macro}_TILE && row + (size_t)rows < count) {{
{check}            rows++;
        }}
        if (rows == 0) {{
            status |= {macro}_NOT_FINITE;
            row++;
            continue;
        }}
        if (rows == 1)
            status |= {name}_one_{kernel.name}({one});
{few if kernel.few and not self._has_images() else ""}        else
            status |= {name}_tile_{kernel.name}({call}, rows);
        row += (size_t)rows;
    }}
    return status;
}}
"""


_INFINITY = """
#if defined(__GNUC__)
#define PP_INFINITY __builtin_inff()
#else
#include <math.h>
#define PP_INFINITY INFINITY
#endif
"""

# Compilers see memcpy in a loop that copies. Clang leaves it alone with -ffreestanding; gcc has to be told.
_NO_LIBRARY = """#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-tree-loop-distribute-patterns")
#endif
"""


def _scores_out(renderer: StepRenderer, program: Program) -> list[str]:
    """Copy the scores to where the caller wants them, if anywhere."""
    if program.scores is None:
        return []
    size = program.scores.size
    return [
        "if (scores != NULL)",
        "    for (int r = 0; r < rows; r++)",
        f"        for (int i = 0; i < {size}; i++)",
        f"            scores[r * {size} + i] = ({renderer.pointer(Span(program.scores), 'r')})[i];",
    ]
