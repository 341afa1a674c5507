"""Every example runs, in a process of its own, as its first lines say."""

from __future__ import annotations

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
