"""From a program to the text of its ``.c`` and ``.h`` files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from policypress.artifact.c import kernels
from policypress.artifact.c.expression import Kind
from policypress.artifact.c.kernels import KernelSet, fragment
from policypress.artifact.c.memory import SPARE_BYTES, Memory, allocate
from policypress.artifact.c.program import Dense, Program, Span
from policypress.artifact.c.render_constants import Constants
from policypress.artifact.c.render_interface import C_TYPES, Sizes, c_type, header, paired, parameters, same_pair
from policypress.artifact.c.render_selftest import Goldens, selftest
from policypress.artifact.c.render_steps import StepRenderer
from policypress.artifact.c.targets import Target
from policypress.artifact.c.text_in_c import prefix

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

    ``kernels`` names the kernel sets that the C holds, the best first.
    """

    c: str
    h: str
    weights: bytes | None
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
        constants: in the text, or in a file ``name.bin`` that the assembler includes.
        goldens: for the self-test; without them there is none.

    Raises:
        InputError: ``name`` is no C identifier, or that of a header of the C library.
    """
    return _Renderer(program, target, prefix(name), Constants(name, constants)).source(goldens)


@dataclass
class _Renderer:
    program: Program
    target: Target
    name: str
    constants: Constants

    def __post_init__(self) -> None:
        self.memory: Memory = allocate(self.program, self.target.alignment_bytes)
        scratch = max(self.memory.scratch_bytes(), 1)
        self.tile = max(1, min(self.target.tile, self.target.tile_bytes // scratch))
        self.sets = tuple(one for one in kernels.SETS.get(self.target.name, (kernels.PLAIN,)) if self._worth(one))

    def _worth(self, kernel: KernelSet) -> bool:
        """Whether the program has anything that ``kernel`` does itself."""
        if not kernel.few:
            return True
        integers = [step for step in self.program.steps if isinstance(step, Dense) and step.bits == 8]
        return any(self.tile > 1 or step.geometry.rows > 1 for step in integers)

    @property
    def _scores_size(self) -> int:
        return 0 if self.program.scores is None else self.program.scores.size

    def _has_images(self) -> bool:
        return any(isinstance(step, Dense) and step.geometry.rows > 1 for step in self.program.steps)

    def source(self, goldens: Goldens | None) -> Source:
        name = self.name
        # The best last: it may call another.
        bodies = "".join(self._guarded(kernel) for kernel in reversed(self.sets))
        own = max(kernel.stack_bytes for kernel in self.sets)
        one = self.memory.scratch_bytes() + (own if self._has_images() else 0)
        many = self.memory.scratch_bytes(self.tile) + (own if self.tile > 1 else 0)
        sizes = Sizes(self.constants.size_bytes, one, max(one, many))
        parts = [
            f"/* A policy written by policypress; {name}.h says how to call it. Generated: do not edit. */\n",
            f'#include "{name}.h"\n\n',
            same_pair(name),
            "" if self.target.hosted else _NO_LIBRARY,
            "".join(f"#define {key} {value}\n" for key, value in self.target.layout.defines.items()),
            *(f"\n{fragment(file)}" for file in self._fragments()),
            _INFINITY,
            "\n/* Constants. */\n",
            self.constants.preamble(f"{name}.bin"),
            *self.constants.declarations,
            f"\n/* Observations that are computed at once. */\n#define {name.upper()}_TILE {self.tile}\n",
            bodies,
            self._choice(),
            self._calls(),
            "" if goldens is None else selftest(self.program, name, goldens),
        ]
        blob = bytes(self.constants.blob) if self.constants.form == "incbin" else None
        names = tuple(kernel.name for kernel in self.sets)
        c, h = paired("".join(parts), header(self.program, name, sizes), blob)
        return Source(c, h, blob, sizes, names)

    def _fragments(self) -> tuple[str, ...]:
        known = self.target.name in kernels.SETS
        return kernels.fragments(self.target.name) if known else kernels.FIRST_FRAGMENTS

    def _guarded(self, kernel: KernelSet) -> str:
        text = self._body(kernel) + self._entries(kernel)
        return text if kernel.guard == "1" else f"\n#if {self._guard(kernel)}{text}#endif\n"

    def _guard(self, kernel: KernelSet) -> str:
        """Where a kernel set exists, unless the one who compiles wants the plain one alone."""
        return f"{kernel.guard} && !defined({self.name.upper()}_ONLY_PLAIN)"

    def _body(self, kernel: KernelSet) -> str:
        """Everything between observation and action, for ``rows`` of at most ``tile`` observations."""
        renderer = StepRenderer(self.memory, self.constants, self.target, kernel.name)
        lines = [line for step in self.program.steps for line in renderer.lines(step)]
        if self.program.scores is not None:
            lines += _scores_out(renderer, self.program)
        pools = "float *f, uint8_t *u, int32_t *n"
        given = [f"const {c_type(p)} *restrict {p.storage.name}" for p in self.program.inputs]
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
        arrays: list[str] = []
        for pool, kind, c in POOLS:
            count = self.memory.elements.get(kind, 0) * (1 if form == "one" else self.tile)
            spare = SPARE_BYTES if kind == "uint8" and count else 0
            arrays.append(f"    {c} {pool}[{max(count + spare, 1)}] PP_ALIGN({self.target.alignment_bytes});\n")
        given = ", ".join([*(part.storage.name for part in self.program.inputs), "action", "scores", rows, tile])
        return f"""
{kernel.attribute}
static int {name}_{form}_{kernel.name}({self._parameters()}{more})
{{
{check}{"".join(arrays)}{self._cleared(form)}    const int status = {name}_body_{kernel.name}({given}, f, u, n);
{f"    {kernel.end}{chr(10)}" if kernel.end else ""}    return status;
}}
"""

    def _parameters(self) -> str:
        given = [f"const {c_type(p)} *{p.storage.name}" for p in self.program.inputs]
        return ", ".join([*given, f"{C_TYPES[self.program.action.kind]} *action", "float *scores"])

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
        if not real:
            return ""
        tests = " || ".join(f"!pp_all_finite({s.name}{f' + {row} * {s.size}' if row else ''}, {s.size})" for s in real)
        return f"{indent}if ({tests})\n{indent}    {what} {self.name.upper()}_NOT_FINITE;\n"

    def _choice(self) -> str:
        """The table of kernel sets, and how one of them is chosen: when loaded, or by the compiler."""
        name, macro = self.name, self.name.upper()
        types = [f"const {c_type(p)} *" for p in self.program.inputs]
        signature = ", ".join([*types, f"{C_TYPES[self.program.action.kind]} *", "float *"])
        rows = "".join(self._row(kernel) for kernel in self.sets)
        many = f"    int (*many)({signature}, size_t);\n" if self.tile > 1 else ""
        return f"""
/* Kernel sets, the best first. */
struct {name}_kernel_set {{
    const char *name;
    int (*available)(void);
    int (*one)({signature});
{many}}};
{"".join(self._availability(kernel) for kernel in self.sets)}
static const struct {name}_kernel_set {name}_kernels[] = {{
{rows}}};
#define {macro}_KERNELS ((int)(sizeof {name}_kernels / sizeof {name}_kernels[0]))

{_DISPATCH if self.target.dispatches else _STATIC}""".replace("NAME", name).replace("MACRO", macro)

    def _availability(self, kernel: KernelSet) -> str:
        text = f"static int {self.name}_has_{kernel.name}(void) {{ return ({kernel.available}) ? 1 : 0; }}\n"
        return text if kernel.guard == "1" else f"#if {self._guard(kernel)}\n{text}#endif\n"

    def _row(self, kernel: KernelSet) -> str:
        fields = ["has", "one", *(["many"] if self.tile > 1 else [])]
        text = ", ".join(f"{self.name}_{field}_{kernel.name}" for field in fields)
        row = f'    {{"{kernel.name}", {text}}},\n'
        return row if kernel.guard == "1" else f"#if {self._guard(kernel)}\n{row}#endif\n"

    def _calls(self) -> str:
        """The public functions."""
        name, program = self.name, self.program
        names = ", ".join(part.storage.name for part in program.inputs)
        text = f"""
int {name}_act({parameters(program)}) {{ return {name}_chosen->one({names}, action, NULL); }}
"""
        text += self._batch(f"int {name}_act_batch({parameters(program)}, size_t count)", "NULL")
        if program.scores is not None:
            both = parameters(program, scores=True)
            text += f"\nint {name}_run({both}) {{ return {name}_chosen->one({names}, action, scores); }}\n"
            text += self._batch(f"int {name}_run_batch({both}, size_t count)", "scores")
        return text

    def _batch(self, signature: str, scores: str) -> str:
        if self.tile > 1:
            given = ", ".join([*(part.storage.name for part in self.program.inputs), "action"])
            return f"""
{signature} {{ return {self.name}_chosen->many({given}, {scores}, count); }}
"""
        row = "NULL" if scores == "NULL" else f"scores + row * {self._scores_size}"
        return f"""
{signature}
{{
    int status = 0;
    for (size_t row = 0; row < count; row++)
        status |= {self.name}_chosen->one({self._row_of(row)});
    return status;
}}
"""

    def _row_of(self, scores: str) -> str:
        """Arguments of a call for the observations from ``row`` on."""
        parts = [f"{p.storage.name} + row * {p.storage.size}" for p in self.program.inputs]
        return ", ".join([*parts, f"action + row * {self.program.action.size}", scores])

    def _many(self, kernel: KernelSet) -> str:
        """Any number of observations; here, so that the instruction set may look for what is not finite."""
        name, macro = self.name, self.name.upper()
        size = self._scores_size
        call = self._row_of(f"scores == NULL ? NULL : scores + row * {size}" if size else "scores")
        finite = self._finite("            ", "(row + (size_t)rows)", "break; /*")
        check = finite.replace(f"break; /* {macro}_NOT_FINITE;", "break;")
        few = f"""        else if (rows < {kernel.fewer_than})
            status |= {name}_tile_{kernel.few}({call}, rows);
"""
        return f"""
{kernel.attribute}
static int {name}_many_{kernel.name}({self._parameters()}, size_t count)
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
            status |= {name}_one_{kernel.name}({call});
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

_DISPATCH = """/* Chosen when the program is loaded; until then, and where that cannot be, the plain ones. */
static const struct NAME_kernel_set *NAME_chosen = &NAME_kernels[sizeof NAME_kernels / sizeof NAME_kernels[0] - 1];

#if defined(__GNUC__)
__attribute__((constructor)) static void NAME_choose(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
    int i = 0;
    while (i < MACRO_KERNELS - 1 && !NAME_kernels[i].available())
        i++;
    NAME_chosen = &NAME_kernels[i];
}
#endif

const char *NAME_kernel(void) { return NAME_chosen->name; }

#if defined(MACRO_SELECTABLE) || defined(MACRO_SELFTEST)
int NAME_use_kernel(const char *kernel)
{
    for (int i = 0; i < MACRO_KERNELS; i++) {
        const char *a = NAME_kernels[i].name, *b = kernel;
        while (*a != 0 && *a == *b) {
            a++;
            b++;
        }
        if (*a == *b && NAME_kernels[i].available()) {
            NAME_chosen = &NAME_kernels[i];
            return 0;
        }
    }
    return 1;
}
#endif
"""

_STATIC = """/* The best that the compiler was told of. */
#if defined(MACRO_SELECTABLE) || defined(MACRO_SELFTEST)
static const struct NAME_kernel_set *NAME_chosen = &NAME_kernels[0];
#else
static const struct NAME_kernel_set *const NAME_chosen = &NAME_kernels[0];
#endif

""" + _DISPATCH[_DISPATCH.index("const char *NAME_kernel") :]


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
