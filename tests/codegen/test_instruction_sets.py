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
from compiled_policies import model_of, observations_for, source_of, written
from cortex_m import BOARDS, run_on
from small_policies import mlp, quantized

from kernels_here import RUN_HERE
from policypress_runtime.codegen import kernels
from policypress_runtime.codegen.packing import LAYOUTS

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
    cases = some_cases(4 if "-O0" in flags else 11)  # Unrolled and not optimised, they are megabytes.
    source = program(cases, LAYOUTS["host"], kernel, "host")
    assert run(built(tmp_path, source, compiler, *flags)) == RIGHT


@pytest.mark.slow
@pytest.mark.parametrize("kernel", HOST, ids=lambda one: one.name)
def test_sanitizers_find_nothing(tmp_path: Path, kernel: kernels.KernelSet) -> None:
    source = program(some_cases(3), LAYOUTS["host"], kernel, "host")
    assert run(built(tmp_path, source, "gcc", *SANITIZERS)) == RIGHT


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


# Runs before the choice of kernels. With an argument of the compiler, Linux refuses tiles, as a sandbox does.
REFUSED = """
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#if defined(REFUSE)
__attribute__((constructor(101))) static void refuse(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 158, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x1023, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        puts("no filter");
}
#endif
int main(void)
{
    static const float observations[20 * POLICY_OBSERVATION_SIZE];
    static float actions[20 * POLICY_ACTION_SIZE];
    puts(policy_kernel());
    return policy_act_batch(observations, actions, 20) & POLICY_NOT_FINITE;
}
"""


def test_without_permission_to_use_tiles_other_kernels_are_chosen(tmp_path: Path) -> None:
    if "AMX" not in RUN_HERE:
        pytest.skip("this machine has no amx")
    plain = mlp()
    model = model_of(quantized(plain, observations_for(plain)))
    file = written(source_of(model), tmp_path)
    file.write_text(file.read_text() + REFUSED)
    chosen = []
    for flag in ("-DALLOW", "-DREFUSE"):
        command = ["gcc", "-O1", "-DPP_WITHOUT_AVX2", "-DPP_WITHOUT_AVXVNNI", flag, str(file), "-o", tmp_path / "p"]
        subprocess.run(command, check=True)
        chosen.append(run(tmp_path / "p"))
    if chosen[0] != "amx":
        pytest.skip("this system does not let amx be used")
    assert chosen[1] == "avx512vnni"


def test_every_target_has_a_layout_and_kernels() -> None:
    assert set(kernels.SETS) == set(LAYOUTS)
    for target, sets in kernels.SETS.items():
        assert sets[-1] == kernels.PLAIN
        assert all(kernels.fragment(name).startswith("/*") for name in kernels.fragments(target))


FREESTANDING = """
extern const int8_t w[];
extern const int32_t bias[];
extern const float multiplier[], scale[];
int act(const float *x, float *out);
int act(const float *x, float *out)
{
    uint8_t input[84], hidden[192];
    if (!pp_all_finite(x, 17))
        return 2;
    const int clipped = pp_quantize_plain(x, 17, 0.1f, -128.0f, 127.0f, 128, input);
    pp_qdense_u8_plain(input, 1, 0, 1, 0, 20, w, bias, multiplier, 128, 0.0f, 255.0f, 0, hidden, 0);
    pp_qdense_f32_plain(hidden, 1, 0, 1, 0, 128, w, bias, multiplier, 6, out, 0);
    pp_tanh_n(out, 6, out);
    pp_sqrt_n(out, 6, out);
    pp_log_n(out, 6, out);
    return clipped;
}
"""


@pytest.mark.parametrize("compiler", ["gcc", "clang", "aarch64-linux-gnu-gcc"])
def test_freestanding_code_calls_nothing(tmp_path: Path, compiler: str) -> None:
    """Neither libm nor libc: what the object wants of others are the weights."""
    source = "".join(f"#define {macro} {value}\n" for macro, value in LAYOUTS["freestanding"].defines.items())
    source += "".join(kernels.fragment(name) for name in kernels.fragments("freestanding")) + FREESTANDING
    thing = built(tmp_path, source, compiler, "-O2", "-ffreestanding", "-c")
    names = subprocess.run(["nm", "--undefined-only", "-j", str(thing)], capture_output=True, text=True, check=True)
    assert set(names.stdout.split()) <= {"w", "bias", "multiplier"}
