"""An environment of any spaces, and spaces of every kind, for tests that need Stable-Baselines3 to run."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


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
    "six": spaces.Box(-1, 1, (6,), np.float32),
    "normalised_image": spaces.Box(-10, 10, (2, 6, 5), np.float32),
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
