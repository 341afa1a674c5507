"""The shipped HalfCheetah agent on emulated processors: Cortex-M4 and M7, and aarch64 with and without ``sdot``.

Instructions are counted by the emulator, so that their number is the same on every machine.
"""

from __future__ import annotations

import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled_policies import STRICT, compiler, written

from policypress.export.c_source import prove_c
from policypress_runtime.codegen.reader import read_program
from policypress_runtime.codegen.render import render
from policypress_runtime.codegen.targets import TARGETS

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]
INT8, PRUNED = "equalize > int8", "prune(l2, 0.5) > equalize > int8"
# Most instructions, bytes of flash and bytes of RAM: the goal of the pruned policy, and what holds without pruning.
LIMITS = {PRUNED: (55_000, 32_000, 4_000), INT8: (160_000, 96_000, 4_000)}


@pytest.fixture(scope="module")
def benchmark() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks" / "cortex_m.py"))


@pytest.fixture(scope="module")
def pressed(benchmark: dict[str, Any], own_agents: Path) -> tuple[dict[str, Any], Any]:
    """Both recipes' artifacts, and the observations to run them on."""
    artifacts, observations = benchmark["artifacts"](own_agents / "sac-HalfCheetah-v4.zip", (INT8, PRUNED))
    return artifacts, observations


@pytest.mark.parametrize("recipe", LIMITS)
@pytest.mark.parametrize("processor", ["cortex-m4", "cortex-m7"])
def test_cortex_m(benchmark: dict[str, Any], pressed: Any, recipe: str, processor: str, tmp_path: Path) -> None:
    if missing := benchmark["missing_tools"]():
        pytest.skip(f"{', '.join(missing)}: not on this machine (Debian: gcc-arm-none-eabi, qemu-system-arm)")
    compiler()
    artifacts, observations = pressed
    target = TARGETS[processor]
    source = render(read_program(artifacts[recipe].model), target)
    got = benchmark["measure"](source, target, observations, tmp_path)
    print(f"{recipe} on {processor}: {got.instructions:,.0f} instructions, {got.flash_bytes} + {got.ram_bytes} bytes")
    assert got.kernel == "dsp"
    assert got.outside == ()
    wanted = benchmark["host_actions"](artifacts[recipe], observations)
    assert np.array_equal(got.actions.view(np.uint32), wanted.view(np.uint32))
    instructions, flash, ram = LIMITS[recipe]
    assert got.most_instructions <= instructions
    assert got.flash_bytes < flash
    # The header's promise is of the arrays; spilled registers and return addresses come on top.
    assert source.sizes.scratch <= got.ram_bytes < min(ram, source.sizes.scratch + 512)


PRINT = """
#include <stdio.h>
#include <string.h>
#include "policy.h"
static const float observations[] = {%s};
int main(int count, char **arguments)
{
    if (count != 2 || policy_use_kernel(arguments[1]) != 0)
        return 77;
    for (int row = 0; row < %d; row++) {
        float action[POLICY_ACTION_SIZE];
        policy_act(observations + row * POLICY_OBSERVATION_SIZE, action);
        for (int i = 0; i < POLICY_ACTION_SIZE; i++) {
            unsigned bits;
            memcpy(&bits, action + i, sizeof bits);
            printf("%%08x\\n", bits);
        }
    }
    return 0;
}
"""


@pytest.mark.parametrize(("processor", "best"), [("max", "dotprod"), ("cortex-a53", "neon")])
def test_aarch64(benchmark: dict[str, Any], pressed: Any, processor: str, best: str, tmp_path: Path) -> None:
    """The self-test passes with what the processor has, and every kernel's actions are this machine's, to the bit."""
    cross = compiler("aarch64-linux-gnu-gcc")
    if shutil.which("qemu-aarch64") is None:
        pytest.skip("qemu-aarch64 is not installed (Debian: qemu-user)")
    artifacts, observations = pressed
    artifact = artifacts[PRUNED]
    file = written(prove_c(artifact, observations, TARGETS["aarch64"], "policy").source, tmp_path)
    numbers = ",".join(float(value).hex() + "f" for value in observations.reshape(-1))
    (tmp_path / "print.c").write_text(PRINT % (numbers, len(observations)))
    build = [cross, *STRICT, "-O2", "-static", file.name]
    subprocess.run([*build, "-DPOLICY_SELFTEST", "-o", "selftest"], cwd=tmp_path, check=True)
    subprocess.run([*build, "-DPOLICY_SELECTABLE", "print.c", "-o", "print"], cwd=tmp_path, check=True)

    def emulated(*command: str) -> subprocess.CompletedProcess[str]:
        run = ["qemu-aarch64", "-cpu", processor, *command]
        return subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    tested = emulated("./selftest")
    assert tested.returncode == 0, tested.stdout
    assert f"{best}: passed" in tested.stdout
    assert ("dotprod: not on this machine" in tested.stdout) == (best == "neon")
    wanted = [f"{bits:08x}" for bits in benchmark["host_actions"](artifact, observations).view(np.uint32).reshape(-1)]
    for kernel in {best, "neon", "plain"}:
        printed = emulated("./print", kernel)
        assert (printed.returncode, printed.stdout.split()) == (0, wanted)
    assert emulated("./print", "avx2").returncode == 77
