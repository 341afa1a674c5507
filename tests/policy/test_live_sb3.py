"""Live models of Stable-Baselines3, their policies, actors and Q-networks, as ``predict`` answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import own_nets
import pytest
import torch
from gymnasium import spaces
from sb3_models import (
    ACTIONS,
    OBSERVATIONS,
    Configuration,
    SpacesEnvironment,
    assert_equal_actions,
    build_model,
    draw,
    randomise,
)
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

from policypress.policy.policy import Policy
from policypress_runtime.contract import Box, Discrete
from policypress_runtime.errors import NetworkError

C = Configuration
RNG = np.random.default_rng(0)
FEW = {"features_extractor_kwargs": {"cnn_output_dim": 8}}


def assert_acts_like(policy: Policy, model: Any, space: Any) -> None:
    observations = draw(space, 60, RNG)
    assert_equal_actions(policy, observations, model.predict(observations, deterministic=True)[0])


@pytest.mark.parametrize(
    "configuration",
    [
        C("PPO", "MlpPolicy", "vector", "uneven"),
        C("PPO", "MlpPolicy", "vector", "multi_binary"),
        C("PPO", "MlpPolicy", "vector", "uneven", {"squash_output": True}, True),
        C("A2C", "MlpPolicy", "discrete", "from_three"),
        C("TRPO", "MlpPolicy", "multi_discrete", "multi_discrete"),
        C("MaskablePPO", "MlpPolicy", "vector", "discrete"),
        pytest.param(C("MaskablePPO", "MlpPolicy", "vector", "multi_binary"), marks=pytest.mark.slow),
        C("SAC", "MlpPolicy", "vector", "uneven", {}, True),
        C("TD3", "MlpPolicy", "matrix", "matrix"),
        pytest.param(C("DDPG", "MlpPolicy", "vector", "large"), marks=pytest.mark.slow),
        pytest.param(C("TQC", "MlpPolicy", "vector", "unit"), marks=pytest.mark.slow),
        pytest.param(C("CrossQ", "MlpPolicy", "vector", "uneven"), marks=pytest.mark.slow),
        C("QRDQN", "MlpPolicy", "vector", "discrete", {"n_quantiles": 5}),
        C("ARS", "MlpPolicy", "vector", "uneven"),
        C("DQN", "CnnPolicy", "gray", "discrete", {"features_extractor_kwargs": {"features_dim": 8}}),
        C("SAC", "MultiInputPolicy", "dict", "uneven", FEW),
        pytest.param(C("PPO", "MultiInputPolicy", "dict_of_all", "unit", FEW), marks=pytest.mark.slow),
        C("PPO", "MlpPolicy", "integers", "double"),
    ],
    ids=str,
)
def test_a_model_itself(configuration: Configuration) -> None:
    model = build_model(configuration)
    policy = Policy.from_module(model)
    # What the environment gives, images with the channels last included.
    assert_acts_like(policy, model, OBSERVATIONS[configuration.observation])
    assert policy.origin.algorithm.replace("_", "") == configuration.algorithm.lower()
    if configuration.action == "from_three":
        assert policy.action_space == Discrete(4, 3)


@pytest.mark.parametrize(
    ("algorithm", "part", "action"),
    [("PPO", "policy", "uneven"), ("SAC", "actor", "uneven"), ("TD3", "actor", "large"), ("DQN", "q_net", "discrete")],
)
def test_the_parts_that_errors_recommend(algorithm: str, part: str, action: str) -> None:
    model = build_model(C(algorithm, "MlpPolicy", "vector", action))
    network = model.policy if part == "policy" else getattr(model.policy, part)
    before = network.training
    policy = Policy.from_module(network, model.observation_space, model.action_space)
    assert network.training == before
    assert_acts_like(policy, model, OBSERVATIONS["vector"])
    assert policy.origin.algorithm == "module"


def own_model(policy: Any, observation: str = "vector", **kwargs: Any) -> Any:
    environment = SpacesEnvironment(OBSERVATIONS[observation], ACTIONS["uneven"])
    model = PPO(policy, environment, policy_kwargs=kwargs, n_steps=4, batch_size=4, device="cpu")
    randomise(model, 2)
    return model


@pytest.mark.parametrize("name", ["ResidualPolicy", "MixedPolicy", "NormPolicy", "BatchNormPolicy"])
def test_networks_of_the_authors_own_are_traced_through_their_code(name: str) -> None:
    model = own_model(getattr(own_nets, name))
    assert_acts_like(Policy.from_module(model), model, OBSERVATIONS["vector"])


def test_extractors_and_activations_of_the_authors_own() -> None:
    model = own_model(
        "MlpPolicy", features_extractor_class=own_nets.FirstThree, activation_fn=lambda: nn.LeakyReLU(0.2)
    )
    assert_acts_like(Policy.from_module(model.policy), model, OBSERVATIONS["vector"])
    scaled = {"features_extractor_class": own_nets.TanhCnn, "features_extractor_kwargs": {"scale": 3.0}}
    model = own_model("CnnPolicy", "gray", **scaled)
    assert_acts_like(Policy.from_module(model), model, OBSERVATIONS["gray"])
    # The caller may state that images come as the environment gives them; the policy's own has them channels first.
    policy = Policy.from_module(model.policy, OBSERVATIONS["gray"], model.action_space)
    assert_acts_like(policy, model, OBSERVATIONS["gray"])
    own = Policy.from_module(model.policy).observation_space
    assert isinstance(own, Box)
    assert own.shape == (1, 40, 36)
    with pytest.raises(NetworkError, match="is not the model's"):
        Policy.from_module(model.policy, OBSERVATIONS["vector"], model.action_space)


class Halved(PPO):
    """A model whose ``predict`` does something else than its policy."""

    def predict(self, *arguments: Any, **named: Any) -> Any:
        action, state = super().predict(*arguments, **named)
        return action / 2, state


def test_a_predict_of_the_authors_own_is_not_passed_over() -> None:
    environment = SpacesEnvironment(OBSERVATIONS["vector"], ACTIONS["unit"])
    with pytest.raises(NetworkError, match="does not compute what the original computes"):
        Policy.from_module(Halved("MlpPolicy", environment, n_steps=4, batch_size=4, device="cpu"))


def test_statistics_of_the_model_are_applied_or_told(tmp_path: Path) -> None:
    raw = spaces.Box(-np.inf, np.inf, (5,), np.float32)
    venv = VecNormalize(DummyVecEnv([lambda: SpacesEnvironment(raw, ACTIONS["unit"])]))
    venv.obs_rms.mean, venv.obs_rms.var = RNG.normal(size=5), 1 + RNG.random(5)  # type: ignore[union-attr]
    model = PPO("MlpPolicy", venv, n_steps=4, batch_size=4, device="cpu")
    randomise(model, 1)
    policy = Policy.from_module(model)
    assert policy.origin.notices == ("Observations are normalised with the statistics of the model's VecNormalize.",)
    observations = draw(raw, 60, RNG)
    answered = model.predict(venv.normalize_obs(observations), deterministic=True)[0]
    assert_equal_actions(policy, observations, answered)
    np.savez(tmp_path / "pairs.npz", observations=observations, actions=answered)
    checked = Policy.from_module(model, check=tmp_path / "pairs.npz")
    assert "pairs.npz" in checked.origin.notices[-1]
    model.save(tmp_path / "model.zip")
    (notice,) = Policy.from_module(PPO.load(tmp_path / "model.zip", device="cpu")).origin.notices
    assert "normaliser=" in notice
    with pytest.raises(NetworkError, match="does not compute the actions in"):
        Policy.from_module(PPO.load(tmp_path / "model.zip", device="cpu"), check=tmp_path / "pairs.npz")


def test_what_cannot_be_a_policy() -> None:
    model = build_model(C("SAC", "MlpPolicy", "vector", "unit"))
    with pytest.raises(NetworkError, match="without both spaces"):
        Policy.from_module(model.policy.critic)
    with pytest.raises(NetworkError, match="without both spaces"):
        Policy.from_module(nn.Linear(2, 2))
    from sb3_contrib import RecurrentPPO

    environment = SpacesEnvironment(OBSERVATIONS["vector"], ACTIONS["unit"])
    recurrent = RecurrentPPO("MlpLstmPolicy", environment, n_steps=4, batch_size=4, device="cpu")
    with pytest.raises(NetworkError, match="Recurrent"):
        Policy.from_module(recurrent)


def test_nothing_of_torch_stays_changed() -> None:
    before = torch.distributions.Distribution._validate_args, torch.distributions.normal.broadcast_all
    Policy.from_module(build_model(C("SAC", "MlpPolicy", "vector", "unit")))
    assert (torch.distributions.Distribution._validate_args, torch.distributions.normal.broadcast_all) == before
