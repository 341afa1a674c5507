"""Asking a built program which kernels this processor gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from policypress_runtime.codegen.kernels import SETS
from policypress_runtime.errors import NativeBuildError
from policypress_runtime.runtimes.native.probe import kernels_here
from policypress_runtime.runtimes.native.processor import left_out
from policypress_runtime.toolchain.compiler import Compiler, find_compiler
from policypress_runtime.toolchain.processor import features_here


@pytest.mark.usefixtures("every_kernel")
def test_the_kernels_of_this_machine() -> None:
    try:
        compiler = find_compiler()
    except NativeBuildError as error:
        pytest.skip(str(error))
    name = kernels_here(compiler)
    assert name in {kernel.name for sets in SETS.values() for kernel in sets}
    # What is left out of builds for this processor is never what it would choose.
    assert f"-DPP_WITHOUT_{name.upper()}" not in left_out(features_here())


def test_a_compiler_that_fails() -> None:
    with pytest.raises(NativeBuildError, match="does not build programs"):
        kernels_here(Compiler(("/bin/false",), Path("/")))
