"""Freshly built Stable-Baselines3 models with tiny networks, saved to a zip."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import sb3_contrib
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm

torch.set_num_threads(1)

OFF_POLICY = ("DQN", "QRDQN", "DDPG", "TD3", "SAC", "TQC", "CrossQ")


class SpacesEnvironment(gym.Env[Any, Any]):
    """Random observations of one space, actions of another, episodes of five steps."""

    def __init__(self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observation_space, action_space
        self.count = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.count += 1
        return self.observation_space.sample(), 0.0, self.count >= 5, False, {}

    def action_masks(self) -> np.ndarray[Any, Any]:
        size = getattr(self.action_space, "nvec", np.asarray([getattr(self.action_space, "n", 1)])).sum()
        return np.ones(int(size), dtype=bool)


OBSERVATIONS: dict[str, spaces.Space[Any]] = {
    "vector": spaces.Box(-1.5, np.float32(2.7), (5,), np.float32),
    "unbounded": spaces.Box(-np.inf, np.inf, (3, 2), np.float64),
    "uneven": spaces.Box(np.array([-0.1, -3e38, 1e-7], np.float32), np.array([0.1, 3e38, 2e-7], np.float32)),
    "discrete": spaces.Discrete(6),
    "multi_discrete": spaces.MultiDiscrete([3, 2]),
    "multi_binary": spaces.MultiBinary(4),
    "image": spaces.Box(0, 255, (36, 36, 3), np.uint8),
    "dict": spaces.Dict(
        {
            "vector": spaces.Box(-1, 1, (4,), np.float32),
            "image": spaces.Box(0, 255, (36, 36, 1), np.uint8),
            "choice": spaces.Discrete(3),
            "bits": spaces.MultiBinary(2),
        }
    ),
    "dict_of_vectors": spaces.Dict(
        {
            "b": spaces.Box(-np.inf, np.inf, (2,), np.float64),
            "a": spaces.Box(np.array([-1, -2.5]), np.array([1, 9.0]), dtype=np.float64),
        }
    ),
}
ACTIONS: dict[str, spaces.Space[Any]] = {
    "box": spaces.Box(np.array([-0.4, -2, 0.1], np.float32), np.array([0.4, 1, 7.3], np.float32)),
    "discrete": spaces.Discrete(4),
    "multi_discrete": spaces.MultiDiscrete([3, 2, 4]),
    "multi_binary": spaces.MultiBinary(3),
}


@dataclass(frozen=True)
class Saved:
    """A live model and the zip it was saved to."""

    model: BaseAlgorithm
    path: Path


Build = Callable[..., Saved]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Build and save a model: ``build("SAC", "MlpPolicy", "vector", "box", activation_fn=…)``."""

    def make(
        algorithm: str, policy: str, observation: str, action: str, name: str = "model.zip", **policy_kwargs: Any
    ) -> Saved:
        kind = getattr(stable_baselines3, algorithm, None) or getattr(sb3_contrib, algorithm)
        settings: dict[str, Any] = {"buffer_size": 50} if algorithm in OFF_POLICY else {}
        if algorithm in ("A2C", "PPO", "TRPO", "MaskablePPO"):
            settings["n_steps"] = 4
        if algorithm in ("PPO", "TRPO", "MaskablePPO"):
            settings["batch_size"] = 4
        if policy_kwargs.pop("use_sde", False):
            settings["use_sde"] = True
        policy_kwargs = {"net_arch": [8, 7], **policy_kwargs}
        if policy == "LinearPolicy":
            del policy_kwargs["net_arch"]
        with warnings.catch_warnings():
            # float64 action spaces, unnormalised bounds: the library's advice to users who train.
            warnings.simplefilter("ignore")
            environment = SpacesEnvironment(OBSERVATIONS[observation], ACTIONS[action])
            model = kind(policy, environment, policy_kwargs=policy_kwargs, seed=3, device="cpu", **settings)
        path = tmp_path / name
        model.save(path)
        return Saved(model, path)

    return make
