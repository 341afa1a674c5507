"""A user's own environment on the command line: what it raises is its own, and the advice given works."""

from __future__ import annotations

import subprocess
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO

import command_line

MODULE = """
import gymnasium as gym, numpy as np
from gymnasium import spaces as S
class Whole(gym.Env):
    observation_space = S.Box(-1, 1, (3,), np.float32)
    action_space = S.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.np_random.uniform(-1, 1, 3).astype(np.float32), {}
    def step(self, a):
        self.t += 1
        return self.np_random.uniform(-1, 1, 3).astype(np.float32), 1.0 + float(a), self.t >= 8, False, {}
class Old(Whole):
    def reset(self):
        return super().reset()[0]
    def step(self, a):
        o, r, done, _, i = super().step(a)
        return o, r, done, i
class Late(Whole):
    def step(self, a):
        if self.t == 6:
            return self.speeds["north"]
        return super().step(a)
class Shy(Whole):
    def __init__(self): raise FileNotFoundError("track.json")
class Endless(Whole):
    def step(self, a):
        o, r, _, _, i = super().step(a)
        return o, r, False, False, i
class NaN(Whole):
    def step(self, a):
        o, r, done, cut, i = super().step(a)
        return (o * np.nan if self.t == 5 else o), r, done, cut, i
for env in (Whole, Old, Late, Shy, Endless, NaN):
    gym.register(f"User{env.__name__}-v0", env)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``user_envs.py`` and an agent that fits its environments."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "user_envs.py").write_text(MODULE)

    class Spaces(gymnasium.Env[object, object]):
        observation_space = spaces.Box(-1, 1, (3,), np.float32)
        action_space = spaces.Discrete(2)

    torch.manual_seed(0)
    PPO("MlpPolicy", Spaces(), n_steps=64, device="cpu").save(folder / "agent.zip")  # type: ignore[arg-type]
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        return command_line.run(*arguments, cwd=folder)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ("UserLate-v0", ["step() failed", "AttributeError", "user_envs.py:", "in step"]),
        ("UserShy-v0", ["cannot be made", "FileNotFoundError: track.json", "user_envs.py:", "in __init__"]),
        ("UserOld-v0", ["does not follow gymnasium's interface", "--wrapper OldGymApi"]),
        (
            "UserNaN-v0",
            ["The environment returned an observation", "not finite", "after 5 steps of the episode with seed"],
        ),
    ],
)
def test_evaluate_blames_the_environment(folder: Path, env: str, words: list[str]) -> None:
    result = run(folder, "evaluate", "agent.zip", "--env", f"user_envs:{env}", "--episodes", "2")
    assert result.returncode == 2, result.stderr
    assert "internal error" not in result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


def test_the_advice_for_old_interfaces_works(folder: Path) -> None:
    options = ["--env", "user_envs:UserOld-v0", "--wrapper", "OldGymApi", "--episodes", "2"]
    result = run(folder, "evaluate", "agent.zip", *options)
    assert result.returncode == 0, result.stderr


def test_compress_finds_it_before_anything_is_written(folder: Path) -> None:
    options = ["--env", "user_envs:UserOld-v0", "--recipe", "int8", "--episodes", "2", "-o", "nothing"]
    result = run(folder, "compress", "agent.zip", *options)
    assert result.returncode == 2, result.stderr
    assert "--wrapper OldGymApi" in result.stderr
    assert not (folder / "nothing").exists()


@pytest.mark.slow
def test_workers_blame_the_environment_and_the_way_on_works(folder: Path) -> None:
    options = ["--env", "user_envs:UserLate-v0", "--recipe", "int8", "--episodes", "2", "--jobs", "2", "--no-costs"]
    result = run(folder, "compress", "agent.zip", *options, "-o", "late")
    assert result.returncode == 2, result.stderr
    assert "step() failed" in result.stderr
    assert "user_envs.py:" in result.stderr
    assert "the same command with --retry-failed" in result.stderr
    text = (folder / "user_envs.py").read_text()
    (folder / "user_envs.py").write_text(text.replace("if self.t == 6", "if self.t == 600"))
    again = run(folder, "compress", "agent.zip", *options, "-o", "late", "--retry-failed")
    (folder / "user_envs.py").write_text(text)
    assert again.returncode == 0, again.stderr


@pytest.mark.slow
def test_train_blames_the_environment(folder: Path) -> None:
    result = run(folder, "train", "ppo", "user_envs:UserLate-v0", "--steps", "64", "-o", "trained.zip")
    assert result.returncode == 2, result.stderr
    assert "user_envs.py:" in result.stderr
