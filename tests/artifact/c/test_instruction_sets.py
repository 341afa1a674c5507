"""Kernels with sizes as constants, built by every compiler for every processor that can be run here, emulated or not.

Each program holds its cases with numpy's answers, and prints a hash of what the functions of floats give: the same
number from every compiler, at every level of optimisation, on every processor.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from c_kernels import WARNINGS
from c_selfcheck import program, some_cases
from cortex_m import BOARDS, run_on

from policypress.artifact.c import kernels
from policypress.artifact.c.packing import LAYOUTS

RIGHT = "wrong 0 functions f9e787ce"
NO_SUCH_INSTRUCTIONS = 77
HOST = kernels.SETS["host"]
SANITIZERS = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def built(folder: Path, source: str, compiler: str, *flags: str) -> Path:
    """An executable; warnings are errors."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    file, executable = folder / "check.c", folder / "check"
    file.write_text(source)
    done = subprocess.run(
        [compiler, *WARNINGS, *flags, str(file), "-o", str(executable)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return executable


def run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300)
    if done.returncode == NO_SUCH_INSTRUCTIONS:
        pytest.skip("this processor has no such instructions")
    return (done.stdout + done.stderr).strip()


@pytest.mark.parametrize("kernel", HOST, ids=lambda one: one.name)
def test_constant_sizes(tmp_path: Path, kernel: kernels.KernelSet) -> None:
    source = program(some_cases(2), LAYOUTS["host"], kernel, "host")
    assert run(built(tmp_path, source, "gcc", "-O2")) == RIGHT


@pytest.mark.slow
@pytest.mark.parametrize("kernel", HOST, ids=lambda one: one.name)
@pytest.mark.parametrize(
    ("compiler", "flags"),
    [("gcc", ("-O3",)), ("gcc", ("-O0",)), ("gcc", ("-O2", "-std=gnu17")), ("clang", ("-O3",)), ("clang", ("-O0",))],
)
def test_every_shape(tmp_path: Path, kernel: kernels.KernelSet, compiler: str, flags: tuple[str, ...]) -> None:
    source = program(some_cases(), LAYOUTS["host"], kernel, "host")
    assert run(built(tmp_path, source, compiler, *flags)) == RIGHT


@pytest.mark.slow
@pytest.mark.parametrize("kernel", HOST, ids=lambda one: one.name)
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_sanitizers_find_nothing(tmp_path: Path, kernel: kernels.KernelSet, compiler: str) -> None:
    source = program(some_cases(4), LAYOUTS["host"], kernel, "host")
    assert run(built(tmp_path, source, compiler, *SANITIZERS)) == RIGHT


@pytest.mark.slow
@pytest.mark.parametrize("kernel", kernels.SETS["aarch64"], ids=lambda one: one.name)
@pytest.mark.parametrize("processor", ["max", "cortex-a53"])
def test_aarch64(tmp_path: Path, kernel: kernels.KernelSet, processor: str) -> None:
    """With a processor that has sdot, and with one that has not."""
    if shutil.which("qemu-aarch64") is None:
        pytest.skip("qemu-aarch64 is not installed (Debian: qemu-user)")
    source = program(some_cases(), LAYOUTS["aarch64"], kernel, "aarch64")
    executable = built(tmp_path, source, "aarch64-linux-gnu-gcc", "-O2", "-static")
    assert run("qemu-aarch64", "-cpu", processor, executable) == RIGHT


@pytest.mark.slow
@pytest.mark.parametrize("kernel", kernels.SETS["cortex-m4"], ids=lambda one: one.name)
@pytest.mark.parametrize("processor", BOARDS)
def test_cortex_m(tmp_path: Path, kernel: kernels.KernelSet, processor: str) -> None:
    source = program(some_cases(8), LAYOUTS[processor], kernel, processor)
    assert run_on(processor, tmp_path, source).strip() == RIGHT


def test_every_target_has_a_layout_and_kernels() -> None:
    assert set(kernels.SETS) == set(LAYOUTS)
    for target, sets in kernels.SETS.items():
        assert sets[-1] == kernels.PLAIN
        assert all(kernels.fragment(name).startswith("/*") for name in kernels.fragments(target))
