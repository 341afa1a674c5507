"""Models that learn from rollouts in environments in which something happens."""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv

from native_updates import Nothing
from policypress_train.logs import logger_for


class Drifting(Nothing):
    """Something happens, of which actions and chance decide; every tenth step an episode is cut off."""

    def __init__(self, seen: int, done: int, discrete: bool) -> None:
        super().__init__(seen, done, discrete)
        self._steps, self._generator = 0, np.random.default_rng(0)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        self._steps += 1
        reward = float(np.sum(action)) / 10 + float(self._generator.normal())
        return self._seen(), reward, self._steps % 17 == 0, self._steps % 10 == 0, {}

    def _seen(self) -> Any:
        return self._generator.normal(size=self.observation_space.shape).astype(np.float32)


def built(kind: Any, seen: int, done: int, discrete: bool, **more: Any) -> Any:
    """A model in two environments, the same for the same arguments."""
    environments = DummyVecEnv([lambda: Drifting(seen, done, discrete) for _ in range(2)])
    arguments = {"n_steps": 64, "batch_size": 48, "n_epochs": 4, "policy": "MlpPolicy", **more}
    arguments = {name: value for name, value in arguments.items() if value is not None}  # TRPO has no epochs
    model = kind(env=environments, seed=1, device="cpu", **arguments)
    model.set_logger(logger_for(None))
    return model
