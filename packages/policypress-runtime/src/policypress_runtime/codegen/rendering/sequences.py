"""The self-test of a policy with memory: golden sequences, alone and as rows of a batch, and refusals."""

from __future__ import annotations

from policypress_runtime.codegen.program import Program
from policypress_runtime.codegen.rendering.interface import C_TYPES, c_type
from policypress_runtime.codegen.rendering.state import state_type

# Rows of the batch, each with a state of its own.
_ROWS = 2


def check_sequences(program: Program, name: str) -> str:
    """The function that plays the golden sequences; each begins with a reset."""
    size, action = program.action.size, C_TYPES[program.action.kind]
    scores = 0 if program.scores is None else program.scores.size
    kept, wrong = state_type(name), f"{name.upper()}_NOT_FINITE"
    given = [(c_type(part), part.storage.name, part.storage.size) for part in program.inputs]
    rows = "".join(f"    static {kind} rows_{part}[{_ROWS * count}];\n" for kind, part, count in given)
    filled = "".join(
        f"        for (int i = 0; i < {_ROWS * count}; i++)\n"
        f"            rows_{part}[i] = golden_{part}[row * {count} + i % {count}];\n"
        for _, part, count in given
    )
    golden = ", ".join(f"golden_{p.storage.name} + row * {p.storage.size}" for p in program.inputs)
    doubled = ", ".join(f"rows_{p.storage.name}" for p in program.inputs)
    call, more, batch_more = ("run", "scores, ", "both_scores, ") if scores else ("act", "", "")
    declared = f"        float scores[{scores}], both_scores[{_ROWS * scores}];\n" if scores else ""
    return f"""static int check_goldens(void)
{{
    static {kept} alone, both[{_ROWS}];
{rows}    int right = 1;
    for (int row = 0; row < GOLDEN_COUNT; row++) {{
        {action} one[{size}], many[{_ROWS * size}];
{declared}        if (golden_starts[row] != 0) {{
            {name}_reset(&alone);
            for (int i = 0; i < {_ROWS}; i++)
                {name}_reset(&both[i]);
        }}
{filled}        right &= ({name}_{call}(&alone, {golden}, {more}one) & {wrong}) == 0;
        right &= ({name}_{call}_batch(both, {doubled}, {batch_more}many, {_ROWS}) & {wrong}) == 0;
{_scored(size, scores) if scores else _near(size)}    }}
    return right;
}}
"""


def _near(size: int) -> str:
    return f"""        const float *want = golden_action + row * {size}, *tolerance = golden_tolerance + row * {size};
        right &= near_golden(one, want, tolerance, {size});
        for (int i = 0; i < {_ROWS}; i++)
            right &= near_golden(many + i * {size}, want, tolerance, {size});
"""


def _scored(size: int, scores: int) -> str:
    return f"""        const float *want = golden_scores + row * {scores};
        const float *tolerance = golden_tolerance + row * {scores};
        right &= near_golden(scores, want, tolerance, {scores});
        for (int i = 0; i < {_ROWS}; i++)
            right &= near_golden(both_scores + i * {scores}, want, tolerance, {scores});
        for (int i = 0, at = row * {size}; i < {size}; i++, at++)
            if (one[i] != golden_action[at] || many[i] != one[i] || many[{size} + i] != one[i]) {{
                printf("observation %d: action %d, expected %d\\n", row, (int)one[i], (int)golden_action[at]);
                right = 0;
            }}
"""


def state_met(program: Program, name: str) -> str:
    """Lines that give the test of refusals a state after one step: ``kept``, and a copy of it."""
    if not program.states:
        return ""
    golden = ", ".join(f"golden_{p.storage.name}" for p in program.inputs)
    return f"""    static {state_type(name)} kept, was;
    {name}_reset(&kept);
    (void){name}_act(&kept, {golden}, action);
    was = kept;
"""


def state_untouched(program: Program, name: str) -> str:
    """Lines that check that a refusal left ``kept`` as it was, and is refused where not finite."""
    if not program.states:
        return ""
    golden = ", ".join(f"golden_{p.storage.name}" for p in program.inputs)
    same = "".join(
        f"    for (int i = 0; i < {s.storage.size}; i++)\n"
        f"        right &= kept.{s.storage.name}[i] == was.{s.storage.name}[i];\n"
        for s in program.states
    )
    return f"""{same}    kept.{program.states[-1].storage.name}[0] = PP_INFINITY;
    right &= {name}_act(&kept, {golden}, action) == {name.upper()}_NOT_FINITE;
"""
