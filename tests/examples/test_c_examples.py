"""The C and C++ of examples/c, compiled with a policy and run: as a ROS 2 node, a control loop and on a bare Cortex-M.

ROS and the board are stand-ins, in stand_ins/.
"""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from kernels_here import PLAIN_ALONE
from policypress_runtime.codegen.reader import read_program
from policypress_runtime.codegen.render import render
from policypress_runtime.codegen.targets import TARGETS
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES, STAND_INS = ROOT / "examples" / "c", Path(__file__).parent / "stand_ins"
RECIPE = "prune(l2, 0.5) > equalize > int8"
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror")
Floats = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def benchmark() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks" / "cortex_m.py"))


@pytest.fixture(scope="module")
def policy(
    benchmark: dict[str, Any], own_agents: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, bytes, Floats, Floats]:
    """A folder with the policy's C and its object, the model, observations, and the actions they lead to."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    made, observations = benchmark["artifacts"](own_agents / "sac-HalfCheetah-v4.zip", (RECIPE,), 12)
    source = render(read_program(made[RECIPE].model), TARGETS["host"])
    folder = tmp_path_factory.mktemp("policy")
    (folder / "policy.c").write_text(source.c)
    (folder / "policy.h").write_text(source.h)
    compiled("gcc", folder, "-std=c99", "-O1", *PLAIN_ALONE, "-c", "policy.c", "-o", "policy.o")
    return folder, made[RECIPE].model, observations, benchmark["host_actions"](made[RECIPE], observations)


def compiled(compiler: str, folder: Path, *arguments: str | Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    command = [compiler, *WARNINGS, *(str(argument) for argument in arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]


def spelled(observation: Floats) -> str:
    return " ".join(repr(float(value)) for value in observation)


def run(program: Path, lines: list[str]) -> tuple[list[list[str]], str]:
    """Words of each line that the program prints, and its messages."""
    done = subprocess.run([program], input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()], done.stderr


def floats(words: list[str]) -> list[float]:
    return [float.fromhex(word) for word in words]


def test_ros2_node(policy: Any, tmp_path: Path) -> None:
    folder, _, observations, actions = policy
    node, program = EXAMPLES / "ros2_node" / "policy_node.cpp", tmp_path / "node"
    compiled("g++", folder, "-std=c++17", "-isystem", STAND_INS, "-I", ".", node, "policy.o", "-o", program)
    broken = observations[0].copy()
    broken[3] = np.nan
    far = observations[0] * 1e6
    lines = [spelled(row) for row in (observations[0], broken, observations[1], far)]
    printed, said = run(program, [*lines, "1.0 2.0"])
    assert [words[0] for words in printed] == ["action"] * 3
    assert floats(printed[0][1:]) == actions[0].tolist()
    assert floats(printed[1][1:]) == actions[1].tolist()
    assert "info: acts with plain kernels" in said
    assert "error: an observation is not finite" in said
    assert "warn: an observation is outside the calibrated range" in said
    assert "error: 2 values instead of 17" in said


ACTS, HOLDS, FAILSAFE = "0", "1", "2"


def test_control_loop(policy: Any, tmp_path: Path) -> None:
    folder, _, observations, actions = policy
    loop, program = EXAMPLES / "control_loop", tmp_path / "loop"
    sources = [loop / "control_loop.c", STAND_INS / "scheduler.c", "policy.o"]
    compiled("gcc", folder, "-std=c99", "-I", loop, "-I", ".", *sources, "-o", program)
    broken = np.full_like(observations[0], np.inf)
    # Time, age of the sensors, observation; then the mode and whose action the actuators have.
    periods = [
        (10_000, 0, observations[0], ACTS, 0),
        (20_000, 20_000, observations[1], ACTS, 1),
        (30_000, 20_001, observations[2], HOLDS, 1),
        (40_000, 0, broken, HOLDS, 1),
        (50_000, 0, observations[3], ACTS, 3),
        (110_000, 0, broken, HOLDS, 3),
        (110_001, 0, broken, FAILSAFE, 3),
        (120_000, 0, observations[4], FAILSAFE, 3),
    ]
    printed, _ = run(program, [f"{now} {age} {spelled(observation)}" for now, age, observation, *_ in periods])
    assert [words[0] for words in printed] == [mode for *_, mode, _ in periods]
    assert [floats(words[3:]) for words in printed] == [actions[row].tolist() for *_, row in periods]
    written_at = [int(words[1]) for words in printed]
    assert written_at == [10_000, 20_000, 30_000, 40_000, 50_000, 110_000, 110_000, 110_000]
    again, _ = run(program, [f"10000 0 {spelled(observations[0] * 1e6)}"])
    assert again[0][2] == "1"


@pytest.mark.parametrize("processor", ["cortex-m4", "cortex-m7"])
def test_bare_metal(benchmark: dict[str, Any], policy: Any, processor: str, tmp_path: Path) -> None:
    """The timer's interrupt sets the pace; without sensors the last action is held for some periods, then all stops."""
    if missing := benchmark["missing_tools"]():
        pytest.skip(f"{', '.join(missing)}: not on this machine (Debian: gcc-arm-none-eabi, qemu-system-arm)")
    _, model, observations, actions = policy
    observations, actions = observations.copy(), actions.copy()
    observations[2, 5], actions[2] = np.nan, actions[1]
    target = TARGETS[processor]
    source = render(read_program(model), target)
    (tmp_path / "policy.c").write_text(source.c)
    (tmp_path / "policy.h").write_text(source.h)
    numbers = ",".join("NAN" if np.isnan(value) else f"{float(value).hex()}f" for value in observations.reshape(-1))
    constants = f"static const float observations[] = {{{numbers}}};\n"
    head = f"#include <math.h>\n#define OBSERVATIONS {len(observations)}u\n"
    (tmp_path / "observations.h").write_text(head + constants)
    board, main = STAND_INS / "mps2_board.c", EXAMPLES / "bare_metal" / "main.c"
    includes = ["-I", EXAMPLES / "bare_metal"]
    program = benchmark["link"](
        tmp_path, target, "policy.c", main, board, *includes, include=ROOT / "benchmarks" / "cortex_m"
    )
    *words, last = benchmark["emulated"](program, target).split()
    assert last == "stop"
    got = np.array([int(word, 16) for word in words], np.uint32).view(np.float32).reshape(-1, actions.shape[1])
    held = np.repeat(actions[-1:], 3, axis=0)
    assert np.array_equal(got, np.concatenate([actions, held]))


def blocks(language: str) -> list[str]:
    text = (ROOT / "docs" / "runtimes.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_documentation_quotes_the_examples() -> None:
    quotes = blocks("c") + blocks("cpp")
    assert len(quotes) == 3
    for quote in quotes:
        first, _, rest = quote.partition("\n")
        assert rest in (ROOT / first.strip("/* ")).read_text()


def test_the_documentation_acts(policy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python that loads an artifact, as it stands there."""
    _, model, *_ = policy
    (tmp_path / "policy.onnx").write_bytes(model)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(blocks("python")[0], names)
    assert names["action"].tolist() == OnnxRuntime(model).act(np.zeros(17, np.float32)).tolist()
