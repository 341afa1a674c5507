"""Commands in a folder that holds modules with the names of known ones: none of them runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = (
    "json",
    "numpy",
    "typing",
    "threading",
    "struct",
    "torch",
    "onnx",
    "sitecustomize",
    "usercustomize",
    "gymnasium",
)
# Python's own start of -m imports some modules of the standard library before anything of ours can run.
LATER_NAMES = ("json", "numpy", "typing", "torch", "onnx", "gymnasium", "struct")
COMMANDS = {
    "export": ["export", "a.zip", "-o", "p.so"],
    "bench": ["bench", "a.zip", "--samples", "20", "--runtime", "native"],
    "evaluate": ["evaluate", "a.zip", "--episodes", "1", "--runtime", "native"],
    "compress": ["compress", "a.zip", "--recipe", "int8", "--episodes", "2", "--jobs", "2", "-o", "out"],
}


def hostile(folder: Path, agents: Path, names: tuple[str, ...]) -> None:
    shutil.copy(agents / "dqn-CartPole-v1.zip", folder / "a.zip")
    for name in names:
        (folder / f"{name}.py").write_text(f"open({str(folder / 'RAN')!r}, 'a').write({name!r} + chr(10))\n")


def run(folder: Path, python: list[str], command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    cache = {"XDG_CACHE_HOME": str(folder.parent / "cache"), "CFLAGS": "-O1"}
    return subprocess.run(
        [sys.executable, *python, "-m", "policypress", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, **cache, **variables},
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_nothing_of_the_current_folder_runs(command: list[str], tmp_path: Path, own_agents: Path) -> None:
    folder = tmp_path / "downloaded"
    folder.mkdir()
    hostile(folder, own_agents, NAMES)
    done = run(folder, ["-P"], command)  # as the installed command starts
    assert done.returncode == 0, done.stderr
    assert not (folder / "RAN").exists(), (folder / "RAN").read_text()


@pytest.mark.slow
def test_nor_with_python_m(tmp_path: Path, own_agents: Path) -> None:
    hostile(tmp_path, own_agents, LATER_NAMES)
    done = run(tmp_path, [], COMMANDS["export"], PYTHONSAFEPATH="")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "RAN").exists(), (tmp_path / "RAN").read_text()


OWN = """
import json
import gymnasium
import numpy
assert "downloaded" not in json.__file__ + numpy.__file__
gymnasium.register("Own-v0", "gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=9)
"""


@pytest.mark.slow
def test_a_module_that_the_user_names_is_found_by_workers_and_hides_nothing(tmp_path: Path, own_agents: Path) -> None:
    folder = tmp_path / "downloaded"
    folder.mkdir()
    hostile(folder, own_agents, NAMES)
    (folder / "own.py").write_text(OWN)
    done = run(folder, [], [*COMMANDS["compress"], "--env", "own:Own-v0", "--no-costs"], PYTHONSAFEPATH="1")
    assert done.returncode == 0, done.stderr
    assert "report:" in done.stdout
    assert not (folder / "RAN").exists(), (folder / "RAN").read_text()
