"""Observations that float32 is too coarse for: told, or refused; the way on that is told leads to right actions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from policypress import Policy
from policypress.agents.bundle import Normaliser
from policypress.agents.loading import load_agent
from policypress.agents.overrides import Overrides
from policypress.policy.importers.from_agent import policy_from_agent
from policypress_runtime.errors import UnsupportedAgentError


class Still(gym.Env[Any, Any]):
    def __init__(self, seen: spaces.Space[Any], actions: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = seen, actions

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        return self.observation_space.sample(), {}


UNIT = spaces.Box(-1, 1, (2,), np.float32)


def agent(
    folder: Path, mean: list[float], deviation: list[float], dtype: Any = np.float64, kind: Any = PPO
) -> tuple[Any, VecNormalize, Path]:
    """A model behind a normaliser with these statistics, saved with them."""
    seen = spaces.Box(-np.inf, np.inf, (len(mean),), dtype) if np.dtype(dtype).kind == "f" else None
    seen = seen or spaces.Box(-(2**30), 2**30, (len(mean),), dtype)
    actions = spaces.Discrete(3) if kind is DQN else UNIT
    layer = VecNormalize(DummyVecEnv([lambda: Still(seen, actions)]))
    layer.training = False
    layer.obs_rms.mean, layer.obs_rms.var = np.array(mean), np.square(deviation)
    settings = {"buffer_size": 10} if kind is DQN else {"n_steps": 4, "batch_size": 4}
    model = kind("MlpPolicy", layer, policy_kwargs={"net_arch": [16, 16]}, seed=3, device="cpu", **settings)
    if kind is PPO:
        model.policy.action_net.weight.data *= 50
    folder.mkdir(exist_ok=True)
    model.save(folder / "a.zip")
    layer.save(str(folder / "v.pkl"))
    return model, layer, folder / "a.zip"


EASTING = ([5e6, 0.0, 3.0], [1.0, 1.0, 2.0])
SECONDS = ([1.7e9, 0.0, 3.0], [1e3, 1.0, 2.0])


@pytest.mark.parametrize(("mean", "deviation"), [EASTING, SECONDS])
def test_digits_that_the_policy_needs_are_refused_and_the_way_on_works(
    tmp_path: Path, mean: list[float], deviation: list[float]
) -> None:
    model, layer, source = agent(tmp_path / "x", mean, deviation)
    with pytest.raises(UnsupportedAgentError, match=r"0 \(mean [\s\S]*--normalizer FILE") as caught:
        policy_from_agent(load_agent(source))
    assert "2 (mean" not in str(caught.value)
    offset = np.array([mean[0], 0.0, 0.0])
    observations = np.array(mean) + np.array(deviation) * np.random.default_rng(0).normal(size=(50, 3))
    expected = model.predict(layer.normalize_obs(observations), deterministic=True)[0]
    layer.obs_rms.mean -= offset
    layer.save(str(tmp_path / "moved.pkl"))
    policy = policy_from_agent(load_agent(source, overrides=Overrides(normalizer=str(tmp_path / "moved.pkl"))))
    with torch.no_grad():
        got = policy(torch.from_numpy((observations - offset).astype(np.float32))).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_a_little_is_told(tmp_path: Path) -> None:
    model, _, source = agent(tmp_path / "x", [5e5, 0.0, 3.0], [1.0, 1.0, 2.0])
    model.policy.action_net.weight.data /= 50
    model.save(source)
    policy = policy_from_agent(load_agent(source))
    assert any("lose digits" in notice for notice in policy.origin.notices)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_what_is_no_finer_than_float32_loses_nothing(tmp_path: Path, dtype: Any) -> None:
    mean = [5e6, 0.0, 3.0]
    _, _, source = agent(tmp_path / "x", mean, [1.0, 1.0, 2.0], dtype)
    assert not any("lose digits" in notice for notice in policy_from_agent(load_agent(source)).origin.notices)


def test_large_integers_and_discrete_actions(tmp_path: Path) -> None:
    _, _, source = agent(tmp_path / "x", [1e9, 0.0], [50.0, 1.0], np.int64)
    with pytest.raises(UnsupportedAgentError, match="lose digits"):
        policy_from_agent(load_agent(source))
    _, _, source = agent(tmp_path / "y", *EASTING, kind=DQN)
    with pytest.raises(UnsupportedAgentError, match="lose digits"):
        policy_from_agent(load_agent(source))


def test_constant_features_are_no_reason(tmp_path: Path) -> None:
    _, _, source = agent(tmp_path / "x", [1024.0, 0.0, 3.0], [0.0, 1.0, 2.0])
    policy = policy_from_agent(load_agent(source))
    assert policy.folded()[0] == "normalise"
    assert not any("lose digits" in notice for notice in policy.origin.notices)


def test_a_module_with_a_normaliser() -> None:
    seen = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    statistics = Normaliser(np.array([5e6, 0.0]), np.ones(2), 1e-8, 10.0)
    module = torch.nn.Linear(2, 2)
    with pytest.raises(UnsupportedAgentError, match="lose digits"):
        Policy.from_module(module, seen, UNIT, normaliser=statistics)
    near = Normaliser(np.array([5.0, 0.0]), np.ones(2), 1e-8, 10.0)
    policy = Policy.from_module(module, seen, UNIT, normaliser=near)
    assert policy.origin.notices == ()
