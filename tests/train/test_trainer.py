"""A training equals the library's own, goes on exactly where it was killed, and leaves what it should."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from policypress.agents.loading import load_agent
from policypress.environments.trust import user_environment
from policypress.policy.importers.from_agent import policy_from_agent
from policypress.training_package import TrainingRequest
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import TrainingInputError
from policypress_train.algorithms import ALGORITHMS
from policypress_train.hyperparameters.preparing import prepare
from policypress_train.hyperparameters.settings import library_arguments
from policypress_train.qat.config import QatConfig
from policypress_train.record import TrainingRecord
from policypress_train.spec import TrainingSpec, Update
from policypress_train.trainer import Silent, TrainOptions, train
from policypress_train.vector_envs.making import evaluation_environment, learning_environments

SMALL = {"policy_kwargs.net_arch": [16, 16]}
# algorithm, environment, steps, hyperparameters that make a few hundred steps a training
CASES: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "dqn": ("dqn", "CartPole-v1", 400, {"learning_starts": 50, "train_freq": 4, "gradient_steps": 2}),
    "dqn lander": ("dqn", "LunarLander-v3", 300, {"learning_starts": 50}),
    "ddpg": ("ddpg", "Pendulum-v1", 500, {"learning_starts": 100, "noise_type": "ornstein-uhlenbeck"}),
    "td3": ("td3", "Pendulum-v1", 250, {"learning_starts": 100, "buffer_size": 150}),
    "td3 by episodes": ("td3", "Pendulum-v1", 500, {"learning_starts": 100, "train_freq": [1, "episode"]}),
    "sac": ("sac", "HalfCheetah-v4", 300, {"learning_starts": 100}),
    "sac sde": ("sac", "Pendulum-v1", 220, {"learning_starts": 100, "use_sde": True}),
    "ppo": ("ppo", "CartPole-v1", 512, {"n_steps": 32, "n_envs": 2, "batch_size": 32, "n_epochs": 2}),
    "ppo normalised": ("ppo", "Hopper-v4", 512, {"n_steps": 64, "batch_size": 32, "n_epochs": 2}),
    "ppo sde": ("ppo", "Pendulum-v1", 512, {"n_steps": 64, "n_envs": 1, "n_epochs": 2}),
    "trpo": ("trpo", "CartPole-v1", 512, {"n_steps": 64, "n_envs": 2, "batch_size": 64, "n_critic_updates": 2}),
    "trpo normalised": ("trpo", "Hopper-v4", 512, {"n_steps": 64, "n_envs": 2, "batch_size": 64}),
}
QUICK = TrainOptions(evaluate_every=0, checkpoint_every=100)


def spec_of(case: str, update: Update = "fast") -> TrainingSpec:
    algorithm, environment, steps, overrides = CASES[case]
    stated = [*overrides.items(), *SMALL.items()]
    return prepare(
        TrainingRequest(algorithm, EnvironmentSpec(environment), steps=steps, seed=3, overrides=stated, update=update)
    ).spec


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


EVERY = ("dqn", "td3", "sac sde", "ppo normalised", "trpo")
MORE = [pytest.param(case, marks=() if case in EVERY else pytest.mark.slow) for case in CASES]


@pytest.mark.parametrize("case", MORE)
def test_it_is_the_library_s_own_training_to_the_bit(case: str, tmp_path: Path) -> None:
    spec = spec_of(case, "stock")
    with_evaluation = TrainOptions(evaluate_every=150, evaluation_episodes=1, checkpoint_every=100)
    record = train(spec, tmp_path / "agent.zip", options=with_evaluation)
    expected = library_learns(spec)
    assert record.steps == expected.num_timesteps
    assert_equal(parameters(tmp_path / "agent.zip", spec), flat(expected))
    episodes = [item["r"] for item in expected.ep_info_buffer or ()]
    assert record.episodes.episode_return[-len(episodes) :] == pytest.approx(episodes)


@pytest.mark.parametrize("case", MORE)
def test_interrupted_it_goes_on_exactly(case: str, tmp_path: Path) -> None:
    spec = spec_of(case)
    whole = train(spec, tmp_path / "whole.zip", options=QUICK)
    with pytest.raises(KeyboardInterrupt):
        train(spec, tmp_path / "cut.zip", options=QUICK, progress=StopsAt(2 * spec.steps // 3))
    assert not (tmp_path / "cut.zip").exists()
    resumed = train(spec, tmp_path / "cut.zip", options=QUICK)
    assert_equal(parameters(tmp_path / "cut.zip", spec), parameters(tmp_path / "whole.zip", spec))
    assert resumed.episodes.step == whole.episodes.step
    assert resumed.episodes.episode_return == whole.episodes.episode_return
    assert [exact for _, exact in resumed.resumed] == [True]
    assert not (tmp_path / "cut" / "checkpoint").exists()


@pytest.mark.parametrize("case", ["td3", "ppo", "dqn"])
def test_quantization_aware_it_goes_on_exactly(case: str, tmp_path: Path) -> None:
    """Observers keep what they have seen in buffers that no zip holds."""
    spec = replace(spec_of(case), qat=QatConfig(networks="all"), steps=192)
    options = replace(QUICK, checkpoint_every=50)
    train(spec, tmp_path / "whole.zip", options=options)
    with pytest.raises(KeyboardInterrupt):
        train(spec, tmp_path / "cut.zip", options=options, progress=StopsAt(150))
    assert train(spec, tmp_path / "cut.zip", options=options).resumed[0][1]
    assert_equal(parameters(tmp_path / "cut.zip", spec), parameters(tmp_path / "whole.zip", spec))


@pytest.mark.parametrize("case", ["dqn", "ppo"])
def test_a_budget_in_episodes_ends_with_the_last_one(case: str, tmp_path: Path) -> None:
    """It learns what a longer training in steps had learned by then, and goes on exactly where it was stopped."""
    by_steps = spec_of(case)
    longer = train(by_steps, tmp_path / "longer.zip", options=QUICK)
    count = len(longer.episodes.step) - 1
    spec = replace(by_steps, episodes=count)
    record = train(spec, tmp_path / "whole.zip", options=QUICK)
    assert record.steps == record.episodes.step[-1] == longer.episodes.step[count - 1]
    assert record.episodes.episode_return == longer.episodes.episode_return[:count]
    with pytest.raises(KeyboardInterrupt):
        train(spec, tmp_path / "cut.zip", options=QUICK, progress=StopsAt(max(count // 2, 1)))
    assert train(spec, tmp_path / "cut.zip", options=QUICK).resumed[0][1]
    assert_equal(parameters(tmp_path / "cut.zip", spec), parameters(tmp_path / "whole.zip", spec))
    assert load_agent(tmp_path / "whole.zip").environment is not None


@pytest.mark.parametrize("update", ["fast", "auto"])
def test_killed_it_goes_on_exactly(update: Update, tmp_path: Path) -> None:
    """SIGKILL, in a process of its own, at no particular place."""
    command = [sys.executable, "-m", "policypress", "train", "sac", "Pendulum-v1", "--steps", "300", "--seed", "3"]
    command += ["--set", "net_arch=[16,16]", "--eval-every", "0", "--checkpoint-every", "50"]
    command += ["--update", update]
    process = subprocess.Popen(
        [*command, "-o", str(tmp_path / "cut.zip")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    learning = tmp_path / "cut" / "checkpoint" / "transitions-150-200.npz"
    while not learning.is_file() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    overrides = [("net_arch", [16, 16])]
    spec = prepare(
        TrainingRequest("sac", user_environment("Pendulum-v1"), steps=300, seed=3, overrides=overrides, update=update)
    ).spec
    resumed = train(spec, tmp_path / "cut.zip", options=QUICK)
    train(spec, tmp_path / "whole.zip", options=QUICK)
    ((step, exact),) = resumed.resumed
    assert exact
    assert 0 < step < 300
    assert_equal(parameters(tmp_path / "cut.zip", spec), parameters(tmp_path / "whole.zip", spec))


def test_what_it_leaves_is_read_by_the_library_and_by_us(tmp_path: Path) -> None:
    spec = spec_of("ppo normalised")
    record = train(spec, tmp_path / "agent.zip", source="a test", options=replace(QUICK, stripped=True))
    model = PPO.load(tmp_path / "agent.zip", device="cpu")
    layer = VecNormalize.load(str(tmp_path / "agent" / "vecnormalize.pkl"), learning_environments(spec))
    for path in (tmp_path / "agent.zip", tmp_path / "agent" / "policy.zip", tmp_path / "agent"):
        bundle = load_agent(path)
        assert bundle.environment is not None
        assert bundle.environment.id == "Hopper-v4"
        policy = policy_from_agent(bundle)
        env = evaluation_environment(spec)
        observation, _ = env.reset(seed=1)
        expected, _ = model.predict(layer.normalize_obs(observation), deterministic=True)
        got = policy(torch.from_numpy(observation.astype(np.float32))[None]).detach().numpy()[0]
        np.testing.assert_allclose(got, expected, atol=1e-5)
    assert (tmp_path / "agent" / "policy.zip").stat().st_size < (tmp_path / "agent.zip").stat().st_size
    assert TrainingRecord.from_json(json.loads((tmp_path / "agent" / "training.json").read_text())) == record
    assert record.memory.peak_rss_bytes >= record.memory.before_rss_bytes > record.memory.replay_bytes > 0


def test_what_is_done_is_not_repeated_and_another_s_output_is_not_touched(tmp_path: Path) -> None:
    record = train(spec_of("dqn"), tmp_path / "agent.zip", options=QUICK)
    before = (tmp_path / "agent.zip").stat().st_mtime_ns
    assert train(spec_of("dqn"), tmp_path / "agent.zip", options=QUICK) == record
    assert not (tmp_path / "agent" / "policy.zip").exists()
    train(spec_of("dqn"), tmp_path / "agent.zip", options=replace(QUICK, stripped=True))
    assert (tmp_path / "agent" / "policy.zip").is_file()
    with pytest.raises(TrainingInputError, match="another training"):
        train(replace(spec_of("dqn"), seed=4), tmp_path / "agent.zip", options=QUICK)
    assert (tmp_path / "agent.zip").stat().st_mtime_ns == before
    with pytest.raises(TrainingInputError, match=r"ends in \.zip"):
        train(spec_of("dqn"), tmp_path / "agent", options=QUICK)


def test_evaluations_are_deterministic_and_on_the_same_seeds(tmp_path: Path) -> None:
    options = TrainOptions(evaluate_every=200, evaluation_episodes=2)
    first = train(spec_of("dqn"), tmp_path / "a.zip", options=options)
    second = train(spec_of("dqn"), tmp_path / "b.zip", options=options)
    assert first.evaluations == second.evaluations
    assert [evaluation.step for evaluation in first.evaluations] == [200, 400]
    assert len({evaluation.seeds for evaluation in first.evaluations}) == 1


def test_tensorboard_gets_the_library_s_logs(tmp_path: Path) -> None:
    train(spec_of("ppo"), tmp_path / "agent.zip", options=replace(QUICK, tensorboard=tmp_path / "logs"))
    written = b"".join(path.read_bytes() for path in (tmp_path / "logs").iterdir())
    assert b"rollout/ep_rew_mean" in written
    assert b"train/loss" in written


LEARN = {
    "dqn": ("CartPole-v1", 475),
    "ppo": ("CartPole-v1", 475),
    "trpo": ("CartPole-v1", 475),
    "ddpg": ("Pendulum-v1", -200),
    "td3": ("Pendulum-v1", -200),
    "sac": ("Pendulum-v1", -200),
}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("algorithm", LEARN)
def test_it_learns(algorithm: str, tmp_path: Path) -> None:
    """The published hyperparameters reach what the field calls solved, by the end or at one of the last evaluations."""
    environment, floor = LEARN[algorithm]
    spec = prepare(TrainingRequest(algorithm, EnvironmentSpec(environment), seed=0)).spec
    record = train(spec, tmp_path / "agent.zip", options=TrainOptions(evaluation_episodes=20))
    assert max(evaluation.mean_return for evaluation in record.evaluations[-5:]) >= floor
