"""Which kernels are left out of a build for one processor."""

from __future__ import annotations

import pytest

from policypress_runtime.codegen.kernels import SETS
from policypress_runtime.runtimes.native.processor import left_out

AVX2 = {"avx2", "fma", "sse2"}
AVX512 = AVX2 | {"avx512f", "avx512bw", "avx512dq", "avx512vl"}


@pytest.mark.parametrize(
    ("features", "kept"),
    [
        (AVX2, {"AVX2"}),
        (AVX512, {"AVX2"}),
        (AVX2 | {"avx_vnni"}, {"AVXVNNI"}),
        (AVX512 | {"avx512_vnni", "avx_vnni"}, {"AVX512VNNI"}),
        (AVX512 | {"avx512_vnni", "avx_vnni", "amx_tile", "amx_int8"}, {"AMX", "AVX512VNNI"}),
    ],
)
def test_the_best_is_kept(features: set[str], kept: set[str]) -> None:
    names = {"AVX2", "AVXVNNI", "AVX512VNNI", "AMX"} - kept
    assert set(left_out(frozenset(features))) == {f"-DPP_WITHOUT_{name}" for name in names}


def test_nothing_is_left_out_where_nothing_is_known() -> None:
    assert left_out(frozenset()) == left_out(frozenset({"sse2", "avx"})) == ()


def test_every_kernel_that_is_left_out_has_its_macro() -> None:
    guards = {kernel.name.upper(): kernel.guard for kernel in SETS["host"]}
    for flag in left_out(frozenset(AVX2 | {"avx_vnni"})):
        assert f"!defined({flag.removeprefix('-D')})" in guards[flag.removeprefix("-DPP_WITHOUT_")]
