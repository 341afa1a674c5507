"""A C program that checks kernels on the machine it runs on: cases with their answers inside, sizes as constants.

It returns the number of wrong answers, and prints a hash of the bits that the functions of floats give.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from c_kernels import SPARE_BYTES, Case

from policypress_runtime.codegen import kernels
from policypress_runtime.codegen.packing import Layout, pack_bias, pack_int4, pack_int8, pack_vector

FUNCTIONS = (
    "exp", "log", "tanh", "sigmoid", "erf", "silu", "gelu", "gelu_tanh", "softplus", "softsign", "mish", "hard_swish",
    "sin", "cos", "sqrt", "round", "floor", "ceil",
)  # fmt: skip
HASH = """
/* Bit patterns all over the floats, and numbers near 0: what functions make of them, as one number. */
static uint32_t hash_of_functions(void)
{
    uint32_t hash = 2166136261u;
    static float x[FLOATS], y[FLOATS];
    for (uint32_t i = 0; i < FLOATS; i++)
        x[i] = i % 2u != 0u ? pp_float(i * 2654435769u) : ((float)(int32_t)(i * 2654435769u >> 8) - 8388608.0f) * 1e-6f;
    for (uint32_t i = 0; i < FLOATS; i++)
        if ((pp_bits(x[i]) & 0x7F800000u) == 0x7F800000u)
            x[i] = 0.0f;
#define MIX                              \\
    for (int i = 0; i < FLOATS; i++)     \\
        hash = (hash ^ (y[i] == y[i] ? pp_bits(y[i]) : 0u)) * 16777619u;
@CALLS@
    return hash;
}
"""


def array(kind: str, name: str, values: np.ndarray) -> str:
    if values.dtype == np.float32:
        text = ", ".join(f"{value.hex()}f" for value in values.reshape(-1).astype(float))
    else:
        text = ", ".join(f"({value} - 1)" if value == -(2**31) else str(value) for value in values.reshape(-1).tolist())
    return f"static const {kind} {name}[] PP_ALIGN(64) = {{{text}}};\n"


def functions(floats: int) -> str:
    calls = "".join(f"    pp_{name}_n(x, FLOATS, y);\n    MIX\n" for name in FUNCTIONS)
    calls += "    pp_elu_n(x, FLOATS, y, 1.0f);\n    MIX\n    pp_celu_n(x, FLOATS, y, 0.5f);\n    MIX\n"
    calls += (
        "    for (int i = 0; i < FLOATS; i++)\n        y[i] = x[i] > 0.0f ? pp_sqrt_by_bits(x[i]) : 0.0f;\n    MIX\n"
    )
    return f"#define FLOATS {floats}\n" + HASH.replace("@CALLS@", calls)


def check(case: Case, number: int, bits: int, layout: Layout, kernel: kernels.KernelSet) -> str:
    """Data of one case and a function that counts its wrong answers."""
    n, segments, _ = case.weight.shape
    lo, hi = float(-case.zero), float(255 - case.zero)
    packed = pack_int8(case.weight, layout) if bits == 8 else pack_int4(case.weight, layout)
    four = "4" if bits == 4 else ""
    text = array("int8_t" if bits == 8 else "uint8_t", f"w{number}", packed)
    text += array("int32_t", f"bias{number}", pack_bias(case.bias, case.weight, layout))
    text += array("float", f"multiplier{number}", pack_vector(case.multiplier, layout))
    text += array("uint8_t", f"x{number}", np.concatenate([case.x, np.full(SPARE_BYTES, 255, np.uint8)]))
    text += array("uint8_t", f"bytes{number}", case.integers(lo, hi))
    text += array("float", f"floats{number}", case.values())
    shape = f"x{number}, {case.rows}, {case.x_stride}, {segments}, {case.segment_stride}, {case.padded_run}"
    layer = f"{shape}, w{number}, bias{number}, multiplier{number}, {n}"
    size = case.rows * n
    return (
        text
        + f"""
{kernel.attribute} static int wrong{number}(void)
{{
    static uint8_t bytes[{size}];
    static float floats[{size}];
    int wrong = 0;
    pp_qdense{four}_u8_{kernel.name}({layer}, {lo}f, {hi}f, {case.zero}, bytes, {n});
    pp_qdense{four}_f32_{kernel.name}({layer}, floats, {n});
    for (int i = 0; i < {size}; i++)
        wrong += bytes[i] != bytes{number}[i] || pp_bits(floats[i]) != pp_bits(floats{number}[i]);
    return wrong;
}}
"""
    )


def program(
    cases: Sequence[tuple[Case, int]], layout: Layout, kernel: kernels.KernelSet, target: str, floats: int = 40_000
) -> str:
    """The whole program: ``cases`` with the bits of their weights, for one kernel of one target."""
    text = "".join(f"#define {macro} {value}\n" for macro, value in layout.defines.items())
    text += "".join(kernels.fragment(name) for name in kernels.fragments(target))
    text += "#include <stdio.h>\n" + functions(floats)
    text += "".join(check(case, number, bits, layout, kernel) for number, (case, bits) in enumerate(cases))
    calls = "".join(f"    wrong += wrong{number}();\n" for number in range(len(cases)))
    return (
        text
        + f"""
int main(void)
{{
    int wrong = 0;
    if (!({kernel.available}))
        return 77;
{calls}
    printf("wrong %d functions %08lx\\n", wrong, (unsigned long)hash_of_functions());
    return wrong > 0;
}}
"""
    )


def random_case(random: np.random.Generator, bits: int, n: int, segments: int, run: int, rows: int) -> Case:
    """A case of given sizes with full-range weights and inputs."""
    top = 2 ** (bits - 1)
    return Case(
        random.integers(-top, top, (n, segments, run)).astype(np.int8),
        random.integers(-(2**16), 2**16, n).astype(np.int32),
        (10.0 ** random.uniform(-4, -2, n)).astype(np.float32),
        random.integers(0, 256, (rows + segments) * segments * run * 2).astype(np.uint8),
        rows,
        2 * run,
        run + 1,
        int(random.integers(0, 256)),
    )


def some_cases(count: int = 11) -> list[tuple[Case, int]]:
    """Shapes that take every path of every kernel: each width of a panel's rest, rows in tiles and beside them."""
    random = np.random.default_rng(1)
    shapes = [
        (6, 1, 33, 1), (16, 1, 24, 7), (24, 2, 17, 2), (40, 1, 12, 8), (48, 3, 9, 3), (64, 1, 36, 4), (96, 1, 20, 5),
        (100, 2, 16, 1), (136, 1, 64, 6), (256, 1, 40, 1), (256, 1, 12, 13),
    ][:count]  # fmt: skip
    return [(random_case(random, bits, *shape), bits) for shape in shapes for bits in (8, 4)]
