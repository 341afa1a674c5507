"""Small agents of the six algorithms that learned a little with quantization-aware training."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm

from policypress_train.algorithms import ALGORITHMS
from policypress_train.qat.config import QatConfig
from policypress_train.qat.policies import quantized_policy

OFF_POLICY = {"learning_starts": 40, "batch_size": 16, "buffer_size": 400}
CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "dqn": ("CartPole-v1", {**OFF_POLICY, "target_update_interval": 8, "tau": 0.5}, 120),
    "ddpg": ("Pendulum-v1", OFF_POLICY, 80),
    "td3": ("Pendulum-v1", OFF_POLICY, 80),
    "sac": ("Pendulum-v1", OFF_POLICY, 80),
    "ppo": ("CartPole-v1", {"n_steps": 32, "batch_size": 16, "n_epochs": 2}, 96),
    "trpo": ("CartPole-v1", {"n_steps": 64, "batch_size": 32, "n_critic_updates": 2}, 192),
}
NAMES = tuple(CASES)


class Pictures(gymnasium.Env[Any, Any]):
    """Noise, as images, vectors, or both in a dict; the action does not matter."""

    def __init__(self, kind: str, discrete: bool) -> None:
        image = spaces.Box(0, 255, (3, 36, 36), np.uint8)
        both = spaces.Dict({"image": image, "vector": spaces.Box(-10.0, 10.0, (3,), np.float32)})
        self.observation_space = image if kind == "image" else both
        self.action_space = spaces.Discrete(2) if discrete else spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(0 if seed is None else seed)
        self._steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        return self.observation_space.sample(), 1.0, False, self._steps >= 10, {}


def untrained(
    name: str,
    config: QatConfig | None = None,
    environment: Any = None,
    policy: str = "MlpPolicy",
    *,
    net_arch: Any = (16, 16),
    **more: Any,
) -> BaseAlgorithm:
    """An agent of a quantized policy; of the library's own where ``config`` is None."""
    stated, arguments, _ = CASES[name]
    kind: Any = policy
    kwargs: dict[str, Any] = {"net_arch": net_arch if isinstance(net_arch, dict) else list(net_arch), **more}
    if config is not None:
        kind, added = quantized_policy(name, config, policy)
        kwargs |= added
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return ALGORITHMS[name].stock(
            kind, environment or stated, seed=0, device="cpu", policy_kwargs=kwargs, **arguments
        )  # type: ignore[call-arg]


def trained(name: str, config: QatConfig | None = None, *arguments: Any, **more: Any) -> BaseAlgorithm:
    """The same after a few dozen steps."""
    return untrained(name, config or QatConfig(), *arguments, **more).learn(CASES[name][2])
