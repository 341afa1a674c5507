"""Freshly built Stable-Baselines3 models with tiny networks, saved to a zip."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sb3_contrib
import stable_baselines3
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

sys.path.insert(0, str(Path(__file__).parent))

from spaces_environment import ACTIONS, OBSERVATIONS, SpacesEnvironment

torch.set_num_threads(1)

OFF_POLICY = ("DQN", "QRDQN", "DDPG", "TD3", "SAC", "TQC", "CrossQ")


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
