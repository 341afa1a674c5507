"""``policypress study`` as a person meets it: run, killed, resumed, asked for, refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from policypress.study.reader import STORE_NAME, StoreReader

SPEC = """
policypress-study: 1
name: killed
agents:
  - files: {agent}
recipes: [none, equalize > int8, "prune(l2, 0.1..0.3/0.1)"]
evaluation: {{episodes: 40, runtimes: onnxruntime}}
"""


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "policypress", "study", *map(str, arguments)]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=300)


@pytest.fixture
def spec(tmp_path: Path, own_agents: Path) -> Path:
    path = tmp_path / "killed.yml"
    path.write_text(SPEC.format(agent=own_agents / "dqn-CartPole-v1.zip"))
    return path


def episodes(folder: Path) -> dict[str, tuple[tuple[int, float], ...]]:
    with StoreReader(folder / STORE_NAME) as store:
        return {row.key: tuple((e.seed, e.episode_return) for e in store.episodes(row.key)) for row in store.cells()}


def test_estimate_runs_nothing(spec: Path) -> None:
    told = run("run", spec, "--estimate")
    assert told.returncode == 0
    assert "7 cells left" in told.stderr
    assert list(spec.parent.iterdir()) == [spec]


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_cells(spec: Path, tmp_path: Path) -> None:
    whole = run("run", spec, "-o", tmp_path / "whole", "--executor", "debug")
    assert whole.returncode == 0, whole.stderr
    folder = tmp_path / "parts"
    for pause_s in (2.5, 4.0, 5.0):
        driver = subprocess.Popen(
            command("run", spec, "-o", folder, "--jobs", "2"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(pause_s)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    last = run("run", spec, "-o", folder, "--jobs", "2", "--json")
    assert last.returncode == 0, last.stderr
    told = json.loads(last.stdout)
    assert told["counts"] == {"done": 7, "running": 0, "failed": 0, "pending": 0}
    assert episodes(folder) == episodes(tmp_path / "whole")
    assert "7 of 7 cells done" in run("status", spec, "-o", folder).stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "missing.yml"], "cannot be read"),
        (["status", "missing.yml"], "cannot be read"),
        (["run", "SPEC", "--executor", "slurm"], "local, debug, ray"),
        (["run", "SPEC", "--address", "a:1"], "Only Ray"),
        (["retry", "SPEC", "--jobs", "0"], "--jobs"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(spec: Path, arguments: list[str], expected: str) -> None:
    told = run(*[str(spec) if argument == "SPEC" else argument for argument in arguments])
    assert told.returncode == 2
    assert expected in told.stderr
    assert "Traceback" not in told.stderr
    assert list(spec.parent.iterdir()) == [spec]
