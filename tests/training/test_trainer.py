"""A training equals the library's own, goes on exactly where it was killed, and leaves what it should."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from policypress.contract import EnvironmentSpec
from policypress.training.algorithms import ALGORITHMS
from policypress.training.preparing import prepare
from policypress.training.settings import library_arguments
from policypress.training.spec import TrainingSpec
from policypress.training.trainer import Manner, Silent, train

SMALL = {"policy_kwargs.net_arch": [16, 16]}
# algorithm, environment, steps, hyperparameters that make a few hundred steps a training
CASES: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "dqn": ("dqn", "CartPole-v1", 400, {"learning_starts": 50, "train_freq": 4, "gradient_steps": 2}),
    "dqn lander": ("dqn", "LunarLander-v3", 300, {"learning_starts": 50}),
    "ddpg": ("ddpg", "Pendulum-v1", 500, {"learning_starts": 100, "noise_type": "ornstein-uhlenbeck"}),
    "td3": ("td3", "Pendulum-v1", 500, {"learning_starts": 100, "buffer_size": 300}),
    "td3 by episodes": ("td3", "Pendulum-v1", 500, {"learning_starts": 100, "train_freq": [1, "episode"]}),
    "sac": ("sac", "HalfCheetah-v4", 300, {"learning_starts": 100}),
    "sac sde": ("sac", "Pendulum-v1", 300, {"learning_starts": 100, "use_sde": True}),
    "ppo": ("ppo", "CartPole-v1", 512, {"n_steps": 32, "n_envs": 2, "batch_size": 32, "n_epochs": 2}),
    "ppo normalised": ("ppo", "Hopper-v4", 512, {"n_steps": 64, "batch_size": 32, "n_epochs": 2}),
    "ppo sde": ("ppo", "Pendulum-v1", 512, {"n_steps": 64, "n_envs": 1, "n_epochs": 2}),
    "trpo": ("trpo", "CartPole-v1", 512, {"n_steps": 64, "n_envs": 2, "batch_size": 64, "n_critic_updates": 2}),
    "trpo normalised": ("trpo", "Hopper-v4", 512, {"n_steps": 64, "n_envs": 2, "batch_size": 64}),
}
QUICK = Manner(evaluate_every=0, checkpoint_every=100)


def spec_of(case: str, **more: Any) -> TrainingSpec:
    algorithm, environment, steps, overrides = CASES[case]
    stated = [*overrides.items(), *SMALL.items(), *more.items()]
    return prepare(algorithm, EnvironmentSpec(environment), steps=steps, seed=3, overrides=stated).spec


def parameters(zip_path: Path, spec: TrainingSpec) -> dict[str, torch.Tensor]:
    return flat(ALGORITHMS[spec.algorithm].stock.load(zip_path, device="cpu"))


def flat(model: BaseAlgorithm) -> dict[str, torch.Tensor]:
    """Every tensor that learning moves, optimizer state included."""
    found: dict[str, torch.Tensor] = {}

    def collect(prefix: str, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            found[prefix] = value
        elif isinstance(value, dict):
            for key, item in value.items():
                collect(f"{prefix}/{key}", item)

    collect("", model.get_parameters())
    for name in model._get_torch_save_params()[1]:
        found[name] = getattr(model, name)
    return found


def assert_equal(got: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert got.keys() == expected.keys()
    different = [name for name in got if not torch.equal(got[name], expected[name])]
    assert different == []


class StopsAt(Silent):
    """A power cut after so many steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def advanced(self, steps: int) -> None:
        if steps >= self.steps:
            raise KeyboardInterrupt


def library_learns(spec: TrainingSpec) -> BaseAlgorithm:
    """The same training by the library's own ``learn``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        environments: Any = make_vec_env(spec.environment.id, int(spec.hyperparameters.get("n_envs", 1)))
    if spec.hyperparameters.get("normalize"):
        environments = VecNormalize(environments, gamma=spec.hyperparameters.get("gamma", 0.99))
    space = environments.action_space
    size = space.shape[0] if isinstance(space, gymnasium.spaces.Box) else 0
    algorithm = ALGORITHMS[spec.algorithm]
    arguments = library_arguments(algorithm, spec.hyperparameters, size)
    model = algorithm.stock("MlpPolicy", environments, seed=spec.seed, device="cpu", **arguments)  # type: ignore[call-arg]
    return model.learn(spec.steps)


@pytest.mark.parametrize("case", CASES)
def test_it_is_the_library_s_own_training_to_the_bit(case: str, tmp_path: Path) -> None:
    spec = spec_of(case)
    with_evaluation = Manner(evaluate_every=150, evaluation_episodes=1, checkpoint_every=100)
    record = train(spec, tmp_path / "agent.zip", manner=with_evaluation)
    expected = library_learns(spec)
    assert record.steps == expected.num_timesteps
    assert_equal(parameters(tmp_path / "agent.zip", spec), flat(expected))
    episodes = [item["r"] for item in expected.ep_info_buffer or ()]
    assert record.episodes.episode_return[-len(episodes) :] == pytest.approx(episodes)


@pytest.mark.parametrize("case", CASES)
def test_interrupted_it_goes_on_exactly(case: str, tmp_path: Path) -> None:
    spec = spec_of(case)
    whole = train(spec, tmp_path / "whole.zip", manner=QUICK)
    with pytest.raises(KeyboardInterrupt):
        train(spec, tmp_path / "cut.zip", manner=QUICK, progress=StopsAt(2 * spec.steps // 3))
    assert not (tmp_path / "cut.zip").exists()
    resumed = train(spec, tmp_path / "cut.zip", manner=QUICK)
    assert_equal(parameters(tmp_path / "cut.zip", spec), parameters(tmp_path / "whole.zip", spec))
    assert resumed.episodes.step == whole.episodes.step
    assert resumed.episodes.episode_return == whole.episodes.episode_return
    assert [exact for _, exact in resumed.resumed] == [True]
    assert not (tmp_path / "cut" / "checkpoint").exists()
