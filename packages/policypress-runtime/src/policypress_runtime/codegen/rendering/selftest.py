"""Golden vectors, and a ``main`` that runs them on every kernel set of the file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from policypress_runtime.codegen.program import Program
from policypress_runtime.codegen.rendering.constants import C_TYPES, number, wrapped
from policypress_runtime.codegen.rendering.interface import Sizes, c_type
from policypress_runtime.codegen.rendering.sequences import check_sequences, state_met, state_untouched

Array = npt.NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Goldens:
    """Observations with what ONNX Runtime makes of them.

    Args:
        inputs: an array ``(count, *shape)`` for each input, in the program's order.
        actions: ``(count, *action)``.
        scores: ``(count, scores)``, or None where actions are not chosen.
        tolerance: how far each component of the scores, or else of the actions, may be off; same shape.
        starts: of a policy with memory, the rows at which an episode begins; the others follow the row before them.
    """

    inputs: tuple[Array, ...]
    actions: Array
    scores: Array | None
    tolerance: Array
    starts: Array | None = None

    @property
    def count(self) -> int:
        """Number of observations."""
        return len(self.actions)


def _array(name: str, kind: str, values: Array) -> str:
    flat = np.asarray(values).reshape(-1)
    items = [number(float(v)) for v in flat.tolist()] if kind == "float" else [str(int(v)) for v in flat.tolist()]
    return f"static const {kind} {name}[{flat.size}] = {{\n{wrapped(items)}}};\n"


def selftest(program: Program, name: str, goldens: Goldens, sizes: Sizes) -> str:
    """Text that stands at the end of the ``.c`` file."""
    prefix = name.upper()
    action = C_TYPES[program.action.kind]
    arrays = [
        _array(f"golden_{part.storage.name}", c_type(part), values)
        for part, values in zip(program.inputs, goldens.inputs, strict=True)
    ]
    arrays.append(_array("golden_action", action, goldens.actions))
    arrays.append(_array("golden_tolerance", "float", goldens.tolerance))
    if program.scores is not None and goldens.scores is not None:
        arrays.append(_array("golden_scores", "float", goldens.scores))
    if program.states:
        starts = np.zeros(goldens.count, np.uint8) if goldens.starts is None else goldens.starts
        arrays.append(_array("golden_starts", "uint8_t", starts))
        body = check_sequences(program, name)
    else:
        body = _discrete(program, name) if program.scores is not None else _continuous(program, name)
    scratch = _scratch(name, sizes)
    return f"""
#ifdef {prefix}_SELFTEST
#include <stdio.h>

#define GOLDEN_COUNT {goldens.count}
{"".join(arrays)}
{scratch}{_NEAR}
{body}
{_main(program, name)}
#endif
"""


def _scratch(name: str, sizes: Sizes) -> str:
    """Working memory where the caller gives it, and the calls of the self-test as they are without."""
    lines = []
    if sizes.given or sizes.batch_given:
        lines.append(f"static uint8_t golden_scratch[{name.upper()}_BATCH_SCRATCH_BYTES];")
    for given, call in ((sizes.given, ""), (sizes.batch_given, "_batch")):
        if given:
            lines += [
                f"#define {name}_{verb}{call}(...) {name}_{verb}{call}_with(golden_scratch, __VA_ARGS__)"
                for verb in ("act", "run")
            ]
    return "".join(f"{line}\n" for line in lines)


_NEAR = """static int near_golden(const float *got, const float *want, const float *tolerance, int count)
{
    for (int i = 0; i < count; i++) {
        const float difference = got[i] > want[i] ? got[i] - want[i] : want[i] - got[i];
        if (!(difference <= tolerance[i])) {
            printf("value %d: got %.9g, expected %.9g\\n", i, (double)got[i], (double)want[i]);
            return 0;
        }
    }
    return 1;
}
"""


def _arguments(program: Program, row: str = "") -> str:
    parts = []
    for part in program.inputs:
        offset = f" + {row} * {part.storage.size}" if row else ""
        parts.append(f"golden_{part.storage.name}{offset}")
    return ", ".join(parts)


def _continuous(program: Program, name: str) -> str:
    size = program.action.size
    return f"""static int check_goldens(void)
{{
    static {C_TYPES[program.action.kind]} many[GOLDEN_COUNT * {size}];
    int right = ({name}_act_batch({_arguments(program)}, many, GOLDEN_COUNT) & {name.upper()}_NOT_FINITE) == 0;
    for (int row = 0; row < GOLDEN_COUNT; row++) {{
        float one[{size}];
        right &= ({name}_act({_arguments(program, "row")}, one) & {name.upper()}_NOT_FINITE) == 0;
        const float *want = golden_action + row * {size}, *tolerance = golden_tolerance + row * {size};
        right &= near_golden(one, want, tolerance, {size}) & near_golden(many + row * {size}, want, tolerance, {size});
    }}
    return right;
}}
"""


def _discrete(program: Program, name: str) -> str:
    size = program.action.size
    scores = program.scores.size if program.scores is not None else 0
    return f"""static int check_goldens(void)
{{
    static int32_t many[GOLDEN_COUNT * {size}];
    int right = ({name}_act_batch({_arguments(program)}, many, GOLDEN_COUNT) & {name.upper()}_NOT_FINITE) == 0;
    for (int row = 0; row < GOLDEN_COUNT; row++) {{
        int32_t one[{size}];
        float scores[{scores}];
        right &= ({name}_run({_arguments(program, "row")}, scores, one) & {name.upper()}_NOT_FINITE) == 0;
        right &= near_golden(scores, golden_scores + row * {scores}, golden_tolerance + row * {scores}, {scores});
        for (int i = 0, at = row * {size}; i < {size}; i++, at++)
            if (one[i] != golden_action[at] || many[at] != one[i]) {{
                printf("observation %d: action %d, expected %d\\n", row, (int)one[i], (int)golden_action[at]);
                right = 0;
            }}
    }}
    return right;
}}
"""


def _main(program: Program, name: str) -> str:
    real = next((p for p in program.inputs if p.storage.kind == "float32"), None)
    refused = "" if real is None else _refusal(program, name, real.storage.name)
    call = "" if real is None else "    right &= refuses_what_is_not_finite();\n"
    return f"""{refused}int main(void)
{{
    int right = 1;
    for (int i = 0; i < {name.upper()}_KERNELS; i++) {{
        if ({name}_use_kernel({name}_kernels[i].name) != 0) {{
            printf("%s: not on this machine\\n", {name}_kernels[i].name);
            continue;
        }}
        const int passed = check_goldens();
        printf("%s: %s\\n", {name}_kernel(), passed ? "passed" : "FAILED");
        right &= passed;
    }}
{call}    printf("%d observations: %s\\n", GOLDEN_COUNT, right ? "passed" : "FAILED");
    return right ? 0 : 1;
}}
"""


def _refusal(program: Program, name: str, real: str) -> str:
    size = program.action.size
    kind = C_TYPES[program.action.kind]
    width = next(part.storage.size for part in program.inputs if part.storage.name == real)
    given = ("wrong" if p.storage.name == real else f"golden_{p.storage.name}" for p in program.inputs)
    arguments = ", ".join([*(["&kept"] if program.states else []), *given])
    return f"""static int refuses_what_is_not_finite(void)
{{
    static float wrong[{width}];
    {kind} action[{size}];
{state_met(program, name)}    for (int i = 0; i < {width}; i++)
        wrong[i] = golden_{real}[i];
    for (int i = 0; i < {size}; i++)
        action[i] = 7;
    wrong[{width - 1}] = PP_INFINITY;
    int right = {name}_act({arguments}, action) == {name.upper()}_NOT_FINITE;
    for (int i = 0; i < {size}; i++)
        right &= action[i] == 7;
{state_untouched(program, name)}    printf("what is not finite: %s\\n", right ? "refused" : "ACCEPTED");
    return right;
}}

"""
