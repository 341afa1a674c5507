"""Every real agent beside the repository: the policy does what Stable-Baselines3 itself does with the file."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sb3_contrib
import stable_baselines3
import torch
from sb3_models import assert_equal_actions, rounded
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from policypress.environments.extremes import extremes
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.seeding import generator

torch.set_num_threads(1)

CLASSES: dict[str, type[BaseAlgorithm]] = {
    name.lower(): getattr(module, name)
    for module, names in ((stable_baselines3, ("DQN", "A2C", "PPO", "DDPG", "TD3", "SAC")), (sb3_contrib, ("TRPO",)))
    for name in names
}
STEPS = 300


def loaded(path: Path, algorithm: str, env: Any) -> BaseAlgorithm:
    """The file by Stable-Baselines3; what old Pythons and old gym pickled is replaced, as its documentation says."""
    replaced = {
        "learning_rate": 0.0,
        "lr_schedule": lambda _: 0.0,
        "clip_range": lambda _: 0.0,
        "exploration_schedule": lambda _: 0.0,
        "observation_space": env.observation_space,
        "action_space": env.action_space,
        "buffer_size": 1,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fields of old versions that cannot be unpickled and are not needed
        return CLASSES[algorithm].load(path, device="cpu", custom_objects=replaced)


@pytest.mark.shared
def test_equal_to_predict(shared_agent: Path) -> None:
    folder, name = shared_agent, shared_agent.name
    subject = agent_in_environment(folder)
    assert subject.factory is not None
    env = subject.factory()
    model = loaded(next(folder.glob("*.zip")), name.partition("-")[0], env)
    normalise = (lambda batch: batch) if not (folder / "vecnormalize.pkl").exists() else statistics_of(folder, env)

    visited: list[Any] = []
    observation, _ = env.reset(seed=5)
    for _ in range(STEPS):
        visited.append(rounded(np.asarray(observation)))
        action, _ = model.predict(normalise(visited[-1]), deterministic=True)
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            observation, _ = env.reset()
    env.close()

    batch = np.stack(visited)
    assert_equal_actions(subject.policy, batch, model.predict(normalise(batch), deterministic=True)[0])
    far = np.asarray(extremes(subject.policy.observation_space, batch, 100, generator(0, "extremes")))
    near = rounded(batch + generator(0, "noise").normal(size=batch.shape) * batch.std(0)).astype(batch.dtype)
    for other in (near, far):
        want = model.predict(normalise(other), deterministic=True)[0]
        assert_equal_actions(subject.policy, other, want)


class OldGym(pickle.Unpickler):
    """Reads what old versions pickled of gym as gymnasium."""

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "gym":
            module = "gymnasium" + module[3:]
        return super().find_class(module, name)


def statistics_of(folder: Path, env: Any) -> Callable[[Any], Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (folder / "vecnormalize.pkl").open("rb") as file:
            vec: VecNormalize = OldGym(file).load()
        vec.set_venv(DummyVecEnv([lambda: env]))
    return vec.normalize_obs
