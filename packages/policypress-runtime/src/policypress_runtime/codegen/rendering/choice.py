"""How a generated file chooses its kernels, and the functions that it offers."""

from __future__ import annotations

from dataclasses import dataclass

from policypress_runtime.codegen.kernels import KernelSet
from policypress_runtime.codegen.program import Program
from policypress_runtime.codegen.rendering.interface import C_TYPES, Sizes, c_type, signature
from policypress_runtime.codegen.rendering.state import state_argument, state_type
from policypress_runtime.codegen.targets import Target


def guard(kernel: KernelSet, name: str) -> str:
    """Where a kernel set exists, unless the one who compiles wants the plain one alone."""
    return f"{kernel.guard} && !defined({name.upper()}_ONLY_PLAIN)"


def scores_size(program: Program) -> int:
    """Scores of one observation; 0 where there are none."""
    return 0 if program.scores is None else program.scores.size


def row_of(program: Program, scores: str, given: bool) -> str:
    """Arguments of a call for the observations from ``row`` on; ``given``: with the caller's working memory."""
    parts = [f"{p.storage.name} + row * {p.storage.size}" for p in program.inputs]
    kept = state_argument(program, "row")
    return ", ".join([*(["scratch"] if given else []), *kept, *parts, f"action + row * {program.action.size}", scores])


@dataclass(frozen=True)
class Calls:
    """What stands at the end of a generated file: the table of its kernel sets, and its public functions."""

    program: Program
    target: Target
    name: str
    sets: tuple[KernelSet, ...]
    tile: int
    sizes: Sizes

    @property
    def _given(self) -> tuple[bool, bool]:
        return self.sizes.given, self.sizes.batch_given

    def choice(self) -> str:
        """The table of kernel sets, and how one of them is chosen: when loaded, or by the compiler."""
        name, macro = self.name, self.name.upper()
        types = [f"const {c_type(p)} *" for p in self.program.inputs]
        types = [f"{state_type(name)} *", *types] if self.program.states else types
        signature = ", ".join([*types, f"{C_TYPES[self.program.action.kind]} *", "float *"])
        one, many_too = (f"void *, {signature}" if given else signature for given in self._given)
        rows = "".join(self._row(kernel) for kernel in self.sets)
        many = f"    int (*many)({many_too}, size_t);\n" if self.tile > 1 else ""
        return f"""
/* Kernel sets, the best first. */
struct {name}_kernel_set {{
    const char *name;
    int (*available)(void);
    int (*one)({one});
{many}}};
{"".join(self._availability(kernel) for kernel in self.sets)}
static const struct {name}_kernel_set {name}_kernels[] = {{
{rows}}};
#define {macro}_KERNELS ((int)(sizeof {name}_kernels / sizeof {name}_kernels[0]))

{_DISPATCH if self.target.dispatches else _STATIC}""".replace("NAME", name).replace("MACRO", macro)

    def _availability(self, kernel: KernelSet) -> str:
        text = f"static int {self.name}_has_{kernel.name}(void) {{ return ({kernel.available}) ? 1 : 0; }}\n"
        return text if kernel.guard == "1" else f"#if {guard(kernel, self.name)}\n{text}#endif\n"

    def _row(self, kernel: KernelSet) -> str:
        fields = ["has", "one", *(["many"] if self.tile > 1 else [])]
        text = ", ".join(f"{self.name}_{field}_{kernel.name}" for field in fields)
        row = f'    {{"{kernel.name}", {text}}},\n'
        return row if kernel.guard == "1" else f"#if {guard(kernel, self.name)}\n{row}#endif\n"

    def calls(self) -> str:
        """The public functions."""
        program, (given, given_many) = self.program, self._given
        kept, scratch = state_argument(program), ["scratch"] if given else []
        names = ", ".join([*scratch, *kept, *(part.storage.name for part in program.inputs)])
        chosen = f"{self.name}_chosen->one"
        one = signature(program, self.name, "act", given)
        text = f"\nint {one} {{ return {chosen}({names}, action, NULL); }}\n"
        text += self._batch(f"int {signature(program, self.name, 'act_batch', given_many)}", "NULL")
        if program.scores is not None:
            both = signature(program, self.name, "run", given)
            text += f"\nint {both} {{ return {chosen}({names}, action, scores); }}\n"
            text += self._batch(f"int {signature(program, self.name, 'run_batch', given_many)}", "scores")
        return text

    def _batch(self, declared: str, scores: str) -> str:
        if self.tile > 1:
            scratch = ["scratch"] if self.sizes.batch_given else []
            kept = state_argument(self.program)
            given = ", ".join([*scratch, *kept, *(part.storage.name for part in self.program.inputs), "action"])
            return f"""
{declared} {{ return {self.name}_chosen->many({given}, {scores}, count); }}
"""
        scores = "NULL" if scores == "NULL" else f"scores + row * {scores_size(self.program)}"
        return f"""
{declared}
{{
    int status = 0;
    for (size_t row = 0; row < count; row++)
        status |= {self.name}_chosen->one({row_of(self.program, scores, self.sizes.given)});
    return status;
}}
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
