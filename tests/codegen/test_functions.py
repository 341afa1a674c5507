"""The functions of floats: how far from the truth, and that compilers and instruction sets agree on every bit.

The largest errors over 45 million floats (every 97th bit pattern of either sign, and two million near 0), in units in
the last place: exp 0.95, log 0.80, tanh 2.4, sigmoid 2.5, erf 2.5, softplus 2.0, elu 0.9, sin and cos 1.6 (|x| <= 1e8),
sqrt 0.5. The ones that cross 0 or die away (silu, gelu, mish, hard swish) are within 2e-7 (1 + |y|); the proof that an
artifact equals its policy allows 1e-5 (1 + |y|).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from c_kernels import compile_c, pointer
from c_selfcheck import FUNCTIONS
from scipy import special

from policypress_runtime.codegen import kernels

TRUTH: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "exp": (np.exp, 0.95),
    "log": (np.log, 0.81),
    "tanh": (np.tanh, 2.4),
    "sigmoid": (special.expit, 2.5),
    "erf": (special.erf, 2.5),
    "softplus": (lambda x: np.logaddexp(0, x), 2.0),
    "softsign": (lambda x: x / (1 + np.abs(x)), 1.5),
    "elu": (lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), 0.9),
    "sin": (np.sin, 1.6),
    "cos": (np.cos, 1.6),
    "sqrt": (np.sqrt, 0.5),
    "sqrt_by_bits": (np.sqrt, 0.5),
    "round": (np.rint, 0),
    "floor": (np.floor, 0),
    "ceil": (np.ceil, 0),
}
"""Truth in float64, and the bound in units in the last place of a normal float."""
DYING: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "silu": lambda x: x * special.expit(x),
    "gelu": lambda x: x * special.ndtr(x),
    "gelu_tanh": lambda x: x * special.expit(2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "hard_swish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
}
EXPORT = """
{head} void map_{name}(const float *x, int n, float *out);
void map_{name}(const float *x, int n, float *out) {{ {body}; }}
"""
BODIES = {name: f"pp_{name}_n(x, n, out)" for name in FUNCTIONS} | {
    "elu": "pp_elu_n(x, n, out, 1.0f)",
    "sqrt_by_bits": "for (int i = 0; i < n; i++) out[i] = pp_sqrt_by_bits(x[i])",
}


class Functions:
    """The functions of one compiled library."""

    def __init__(self, folder: Path, head: str, compiler: str, *flags: str) -> None:
        text = kernels.fragment("platform.h") + kernels.fragment("functions.h")
        text += "".join(EXPORT.format(head=head, name=name, body=body) for name, body in BODIES.items())
        self.shared_object = ctypes.CDLL(str(compile_c(folder, text, *flags, compiler=compiler)))

    def __call__(self, name: str, x: np.ndarray) -> np.ndarray:
        out = np.empty_like(x)
        getattr(self.shared_object, f"map_{name}")(pointer(x), x.size, pointer(out))
        return out


def floats(positive: bool = False) -> np.ndarray:
    """Finite floats of every magnitude, and many near 0."""
    patterns = np.arange(0, 2**31 - 2**23, 9973, dtype=np.uint32).view(np.float32)
    near = np.random.default_rng(0).normal(0, [[0.1], [1], [8]], (3, 40_000)).astype(np.float32).reshape(-1)
    values = np.concatenate([patterns, -patterns, near, np.float32([0.5, 1.5, 2.5, 8388607.5, -0.5, 0.0, -0.0])])
    return np.abs(values[values != 0]) if positive else values


@pytest.fixture(scope="module")
def gcc(tmp_path_factory: pytest.TempPathFactory) -> Functions:
    return Functions(tmp_path_factory.mktemp("functions"), "", "gcc", "-O1")


@pytest.mark.parametrize("name", TRUTH)
def test_units_in_the_last_place(gcc: Functions, name: str) -> None:
    truth, bound = TRUTH[name]
    x = floats(positive=name in ("log", "sqrt", "sqrt_by_bits"))
    if name in ("sin", "cos"):
        x = x[np.abs(x) <= 1e8]
    with np.errstate(over="ignore"):
        right = truth(x.astype(np.float64))
    found = gcc(name, x)
    overflow = np.abs(right) > np.finfo(np.float32).max
    assert np.isinf(found[overflow]).all()
    normal = (np.abs(right) > np.finfo(np.float32).tiny) & ~overflow
    unit = np.spacing(np.abs(right[normal]).astype(np.float32)).astype(np.float64)
    assert (np.abs(found[normal] - right[normal]) / unit).max() <= bound
    below = ~normal & ~overflow
    assert np.abs(found[below] - right[below]).max(initial=0) <= np.finfo(np.float32).tiny


@pytest.mark.parametrize("name", DYING)
def test_absolute_error(gcc: Functions, name: str) -> None:
    x = floats()
    x = x[np.abs(x) < 1e6]
    right = DYING[name](x.astype(np.float64))
    assert (np.abs(gcc(name, x) - right) / (1 + np.abs(right))).max() < 2e-7


def test_what_is_no_positive_number(gcc: Functions) -> None:
    special_values = np.float32([-1.0, 0.0, np.inf])
    assert np.array_equal(gcc("sqrt", special_values), np.float32([np.nan, 0, np.inf]), equal_nan=True)
    assert np.array_equal(gcc("log", special_values), np.float32([np.nan, -np.inf, np.inf]), equal_nan=True)


@pytest.mark.parametrize(
    ("compiler", "head", "flags"),
    [
        ("gcc", "", ("-O3",)),
        ("gcc", "PP_TARGET_AVX512VNNI", ("-O3", "-std=gnu99")),
        ("clang", "PP_TARGET_AVX2", ("-O3", "-std=gnu99")),
        ("clang", "", ("-O0",)),
    ],
)
def test_every_build_gives_the_same_bits(
    gcc: Functions, tmp_path: Path, compiler: str, head: str, flags: tuple[str, ...]
) -> None:
    """Also with FMA instructions at hand, and with the compilers' own standard, which would contract."""
    if head:
        cpu = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
        if ("avx512_vnni" if "512" in head else "avx2") not in cpu:
            pytest.skip(f"this machine cannot run {head}")
    other = Functions(tmp_path, head, compiler, *flags)
    x = floats()
    for name in (*FUNCTIONS, "elu"):
        one, two = gcc(name, x), other(name, x)
        assert np.array_equal(np.isnan(one), np.isnan(two)), name
        assert np.array_equal(one.view(np.uint32)[~np.isnan(one)], two.view(np.uint32)[~np.isnan(two)]), name
