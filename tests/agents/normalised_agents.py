"""A PPO agent trained on normalised observations, its statistics, and what the library does with both."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from spaces_environment import SpacesEnvironment
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecFrameStack, VecNormalize

ACTIONS = spaces.Box(-1, 1, (2,), np.float32)


def environment_of(space: spaces.Space[Any]) -> DummyVecEnv:
    return DummyVecEnv([lambda: SpacesEnvironment(space, ACTIONS)])


def normaliser(space: spaces.Space[Any], seed: int = 0, environment: VecEnv | None = None) -> VecNormalize:
    """A VecNormalize with statistics far from 0 and 1, fixed."""
    made = VecNormalize(environment or environment_of(space))
    made.training = False
    rng = np.random.default_rng(seed)
    for statistics in made.obs_rms.values() if isinstance(made.obs_rms, dict) else [made.obs_rms]:
        statistics.mean = rng.uniform(-50, 50, statistics.mean.shape)
        statistics.var = rng.uniform(0.1, 400, statistics.mean.shape)
    return made


@dataclass(frozen=True)
class NormalisedAgent:
    """A model, the normaliser that it acts behind, and both as files."""

    model: PPO
    layer: VecNormalize
    zipped: bytes
    pickled: bytes

    def write(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.zipped)
        return path

    def observations(self, count: int = 5) -> npt.NDArray[np.float32]:
        mean, deviation = self.layer.obs_rms.mean, np.sqrt(self.layer.obs_rms.var)
        drawn = np.random.default_rng(5).normal(size=(count, *mean.shape))
        return (mean + deviation * drawn).astype(np.float32)

    def expected(self, observations: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """What the library does behind the normaliser."""
        return np.asarray(self.model.predict(self.layer.normalize_obs(observations), deterministic=True)[0])

    def plain(self, observations: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """What it does without."""
        return np.asarray(self.model.predict(observations, deterministic=True)[0])


@cache
def normalised_agent(size: int = 3, frames: int = 1, outer: bool = False) -> NormalisedAgent:
    """An agent that reads ``size`` numbers; with ``frames`` stacked after or (``outer``) before normalisation."""
    space = spaces.Box(-np.inf, np.inf, (size,), np.float32)
    base: VecEnv = VecFrameStack(environment_of(space), frames) if outer else environment_of(space)
    layer = normaliser(space, environment=base)
    seen: VecEnv = VecFrameStack(layer, frames) if frames > 1 and not outer else layer
    model = PPO("MlpPolicy", seen, policy_kwargs={"net_arch": [8, 7]}, seed=3, device="cpu", n_steps=4, batch_size=4)
    model.policy.action_net.weight.data *= 100
    file = BytesIO()
    model.save(file)
    return NormalisedAgent(model, layer, file.getvalue(), pickle.dumps(layer))


def other_statistics(size: int = 3, seed: int = 9) -> bytes:
    """Statistics of another agent of so many numbers."""
    return pickle.dumps(normaliser(spaces.Box(-np.inf, np.inf, (size,), np.float32), seed))
