"""``policypress train``."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from stable_baselines3 import DQN, PPO

import command_line
from policypress_runtime.errors import InputError
from policypress_train.command import train


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return command_line.run("train", *arguments)


def test_an_agent_in_words_and_in_json(tmp_path: Path) -> None:
    agent = tmp_path / "agent.zip"
    command = ["dqn", "CartPole-v1", "--steps", "600", "--set", "net_arch=[8]", "--set", "learning_starts=100"]
    command += ["--eval-every", "300", "--qat-set", "weight_bits=6", "--strip", "-o", str(agent)]
    done = run(*command)
    assert done.returncode == 0, done.stderr
    assert "768 steps" in done.stdout
    assert done.stderr.count("return") == 2
    assert "Qat" in str(DQN.load(agent).policy)
    assert (tmp_path / "agent" / "policy.zip").is_file()
    again = run(*command, "--json")
    told = json.loads(again.stdout)
    assert told["spec"]["qat"]["weight_bits"] == 6
    assert told["spec"]["update"] == "auto"
    assert told["steps"] == 768
    assert "step" not in again.stderr


def test_pinned_kernels_are_those_that_learn(tmp_path: Path) -> None:
    command = [
        "--steps",
        "64",
        "--set",
        "n_steps=64",
        "--set",
        "n_envs=1",
        "--set",
        "net_arch=[8]",
        "--eval-every",
        "0",
    ]
    done = run("ppo", "CartPole-v1", *command, "--kernels", "plain", "--json", "-o", tmp_path / "agent.zip")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["kernels"], told["spec"]["kernels"], told["spec"]["update"]) == ("plain", "plain", "native")
    assert PPO.load(tmp_path / "agent.zip").num_timesteps == 64
    refused = run("ppo", "CartPole-v1", *command, "--kernels", "sse", "-o", tmp_path / "other.zip")
    assert refused.returncode == 2
    assert "amx, avx512, avx2, plain" in refused.stderr


@pytest.mark.parametrize(
    ("algorithm", "environment", "stated", "words"),
    [
        ("ppo2", "CartPole-v1", {}, "Did you mean ppo"),
        ("dqn", "CartPoul-v1", {}, "CartPole-v1"),
        ("dqn", "Pendulum-v1", {}, "cannot be set up"),
        ("sac", "CartPole-v1", {}, "Discrete(2)"),
        ("dqn", "CartPole-v1", {"settings": ["learnin_rate=1"]}, "Did you mean learning_rate"),
        ("dqn", "CartPole-v1", {"settings": ["learning_rate"]}, "name=value"),
        ("dqn", "CartPole-v1", {"qat_settings": ["weight_bits=1"]}, "2 to 8"),
        ("dqn", "CartPole-v1", {"qat_settings": ["weight_bit=4"]}, "Did you mean weight_bits"),
        ("dqn", "CartPole-v1", {"update": "faster"}, "fast, native, stock"),
        ("dqn", "CartPole-v1", {"device": "gpu7"}, "cpu, or cuda"),
    ],
)
def test_bad_input_is_a_typed_error_before_anything_is_written(
    algorithm: str, environment: str, stated: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        train(algorithm, environment, tmp_path / "agent.zip", **stated)
    assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_output_is_a_zip(tmp_path: Path) -> None:
    done = run("dqn", "CartPole-v1", "-o", tmp_path / "agent")
    assert done.returncode == 2
    assert "ends in .zip" in done.stderr
    assert "Traceback" not in done.stderr
