"""Every example runs, in a process of its own, as its first lines say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import run

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
# What these do is also looked at in the process of the tests, in tests/examples.
LOOKED_AT = ("onnx_agent.py", "own_network.py")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.name, marks=pytest.mark.slow if path.name in LOOKED_AT else ())
        for path in sorted(EXAMPLES.glob("*.py"))
    ],
)
def test_example_runs(name: str, tmp_path: Path) -> None:
    result = run(tmp_path / "out", cwd=EXAMPLES, script=EXAMPLES / name)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


def test_the_users_own_environment_by_name(tmp_path: Path) -> None:
    arguments = ["--env", "own_environment:WindyCartPole-v0", "--env-kwargs", "wind=0.3", "--recipe", "ptdq"]
    options = ["--episodes", "2", "--no-costs", "--jobs", "1", "-o", str(tmp_path)]
    command = ["compress", "agents/dqn-CartPole-v1.zip", *arguments, *options]
    result = run(*command, cwd=EXAMPLES)
    assert result.returncode == 0, result.stderr
    assert "ptdq" in result.stdout


def test_the_users_own_robot_by_name(tmp_path: Path) -> None:
    """The weights that the example writes, its model and its observation code; the arm keeps what it could."""
    made = run(tmp_path, cwd=EXAMPLES, script=EXAMPLES / "own_robot.py")
    assert made.returncode == 0, made.stderr
    told = ["--layers", "0,2", "--activation", "relu", "--squash", "none", "--normalizer", "none"]
    where = ["--env", "own_robot:PointingArm-v0", "--env-kwargs", "payload_kg=0.1", "--recipe", "equalize > int8"]
    options = ["--episodes", "4", "--no-costs", "--jobs", "1", "-o", str(tmp_path / "by_name"), "--json"]
    result = run("compress", str(tmp_path / "arm.pt"), *told, *where, *options, cwd=EXAMPLES)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    parts = (found["variants"][0], found["baseline"], found["random"])
    compressed, baseline, random = (part["mean_return"]["mean"] for part in parts)
    assert compressed > 0.95 * baseline > 1.5 * random
