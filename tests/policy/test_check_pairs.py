"""Agents whose author's own code acts: refused, or proven by the actions that this code gave."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import own_nets
import pytest
import torch
from sb3_models import OBSERVATIONS, SpacesEnvironment, draw, randomise
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import nn

from policypress.agents.overrides import Overrides
from policypress.agents.sb3.activation_text import stated_activation
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.policy.importers.check_pairs import check_pairs
from policypress.policy.policy import Policy
from policypress_runtime.contract import Discrete, box
from policypress_runtime.errors import AgentError, NetworkError, ObservationError, UndeterminedAgentError

Make = Callable[..., BaseAlgorithm]
BOX = OBSERVATIONS["vector"]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A model with random tensors, saved to ``agent.zip``, and 100 pairs of its ``predict`` in ``pairs.npz``."""

    def made(kind: Any, policy: Any, observation: Any = BOX, action: Any = None, **kwargs: Any) -> BaseAlgorithm:
        action = action or box_space()
        settings: dict[str, Any] = {"buffer_size": 2} if kind in (DQN, SAC) else {"n_steps": 4, "batch_size": 4}
        model: BaseAlgorithm = kind(
            policy, SpacesEnvironment(observation, action), policy_kwargs=kwargs, device="cpu", **settings
        )
        randomise(model, 1)
        model.save(tmp_path / "agent.zip")
        observations = draw(observation, 100, np.random.default_rng(0))
        save_pairs(tmp_path / "pairs.npz", observations, model.predict(observations, deterministic=True)[0])
        return model

    return made


def box_space() -> Any:
    from gymnasium import spaces

    return spaces.Box(-3, 2, (2,), np.float32)


def save_pairs(path: Path, observations: Any, actions: Any) -> None:
    np.savez(path, observations=observations, actions=actions)


def read(folder: Path, check: bool = True, activation: str | None = None, **stated: Any) -> Policy:
    overrides = Overrides(
        check=str(folder / "pairs.npz") if check else None,
        activation=None if activation is None else stated_activation(activation),
        **stated,
    )
    return agent_in_environment(folder / "agent.zip", overrides=overrides, needs_environment=False).policy


def assert_acts_like(policy: Policy, model: BaseAlgorithm, space: Any = BOX) -> None:
    observations = draw(space, 200, np.random.default_rng(5))
    with torch.no_grad():
        got = policy(torch.as_tensor(observations)).numpy()
    np.testing.assert_allclose(got, model.predict(observations, deterministic=True)[0], atol=2e-5)


PROVEN = [
    ("ReluPolicy", {}, None, "relu"),
    ("ReluPolicy", {"activation_fn": nn.Tanh}, None, "relu"),
    ("ReluPolicy", {"activation_fn": nn.Tanh}, "relu", "relu"),
    ("NormPolicy", {}, "relu", "relu"),
    ("NormFirstPolicy", {}, None, "relu"),
    ("BatchNormPolicy", {}, None, "elu and batch normalisation with epsilon 0.001"),
]


@pytest.mark.parametrize(("name", "kwargs", "activation", "words"), PROVEN)
def test_a_policy_class_of_the_authors_own(
    make: Make, tmp_path: Path, name: str, kwargs: dict[str, Any], activation: str | None, words: str
) -> None:
    model = make(PPO, getattr(own_nets, name), **kwargs)
    with pytest.raises(UndeterminedAgentError, match=r"own code[\s\S]*--check pairs.npz"):
        read(tmp_path, check=False, activation=activation)
    policy = read(tmp_path, activation=activation)
    assert_acts_like(policy, model)
    notice = policy.origin.notices[-1]
    assert f"read as {words}; that gives the actions of pairs.npz (100 observations)" in notice


@pytest.mark.parametrize("name", ["ResidualPolicy", "MixedPolicy"])
def test_what_its_tensors_do_not_show_is_refused_with_numbers(make: Make, tmp_path: Path, name: str) -> None:
    make(PPO, getattr(own_nets, name))
    for activation in (None, "relu"):
        with pytest.raises(NetworkError, match=r"pairs.npz[\s\S]*row 0: component \d is .*rows differ") as caught:
            read(tmp_path, activation=activation)
        assert "Policy.from_module(model)" in str(caught.value)


def test_activations_of_the_authors_own(make: Make, tmp_path: Path) -> None:
    model = make(PPO, "MlpPolicy", activation_fn=lambda: nn.LeakyReLU(0.2))
    with pytest.raises(UndeterminedAgentError, match="--check"):
        read(tmp_path, check=False, activation="leaky_relu(0.2)")
    with pytest.raises(NetworkError, match="tried relu"):
        read(tmp_path, activation="relu")
    assert_acts_like(read(tmp_path, activation="leaky_relu(0.2)"), model)
    model = make(SAC, "MlpPolicy", activation_fn=own_nets.Swish)
    assert_acts_like(read(tmp_path), model)
    make(SAC, "MlpPolicy", activation_fn=nn.LogSigmoid)
    with pytest.raises(NetworkError, match="tried"):
        read(tmp_path)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_a_cnn_of_the_authors_own(make: Make, tmp_path: Path, scale: float) -> None:
    space = OBSERVATIONS["gray"]
    kwargs = {"features_extractor_class": own_nets.TanhCnn, "features_extractor_kwargs": {"scale": scale}}
    model = make(PPO, "CnnPolicy", space, **kwargs)
    with pytest.raises(UndeterminedAgentError, match="--check"):
        read(tmp_path, check=False)
    if scale != 1.0:
        with pytest.raises(NetworkError, match="tried"):
            read(tmp_path)
        return
    # The pairs hold images as the environment gives them; without one, the policy takes them channels first.
    policy = read(tmp_path)
    images = draw(space, 20, np.random.default_rng(3))
    with torch.no_grad():
        got = policy(torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))).numpy()
    np.testing.assert_allclose(got, model.predict(images, deterministic=True)[0], atol=2e-5)


def test_an_extractor_that_its_tensors_do_not_tell(make: Make, tmp_path: Path) -> None:
    make(PPO, "MlpPolicy", features_extractor_class=own_nets.FirstThree)
    with pytest.raises(UndeterminedAgentError, match=r"do not determine[\s\S]*Policy.from_module\(model\)"):
        read(tmp_path)


def test_choices_that_do_not_decide_and_scores_that_do(make: Make, tmp_path: Path) -> None:
    from gymnasium import spaces

    model = make(DQN, "MlpPolicy", action=spaces.Discrete(2), activation_fn=partial(own_nets.Swish))
    observations = draw(BOX, 40, np.random.default_rng(0))
    with torch.no_grad():
        scores = model.policy.q_net(torch.as_tensor(observations)).numpy()  # type: ignore[operator,union-attr]
    # Two actions on 40 observations are those of many networks, unless the activation is stated.
    save_pairs(tmp_path / "pairs.npz", observations, scores.argmax(1))
    with pytest.raises(ObservationError, match="do not determine which network"):
        read(tmp_path)
    assert_acts_like(read(tmp_path, activation="swish"), model)
    save_pairs(tmp_path / "pairs.npz", observations, scores)
    assert_acts_like(read(tmp_path), model)
    save_pairs(tmp_path / "pairs.npz", observations, scores + 0.1)
    with pytest.raises(NetworkError):
        read(tmp_path)


def test_a_librarys_agent_may_be_checked_too(make: Make, tmp_path: Path) -> None:
    model = make(SAC, "MlpPolicy")
    policy = read(tmp_path)
    (notice,) = policy.origin.notices
    said = "The policy gives the actions of pairs.npz (100 observations), compared before anything is written: largest"
    assert notice.startswith(said)
    checked = policy.origin.checked
    assert checked is not None
    assert (checked.file, checked.pairs, checked.by_choice) == ("pairs.npz", 100, False)
    assert 0.0 < checked.worst < 0.1
    assert checked.sha256 == hashlib.sha256((tmp_path / "pairs.npz").read_bytes()).hexdigest()
    assert_acts_like(policy, model)
    with np.load(tmp_path / "pairs.npz") as pairs:
        observations, actions = pairs["observations"], pairs["actions"]
    save_pairs(tmp_path / "pairs.npz", observations, actions + np.float32(0.01))
    with pytest.raises(NetworkError, match="100 of 100 rows differ"):
        read(tmp_path)


def test_a_damaged_agent_is_damaged_with_pairs_and_without(make: Make, tmp_path: Path) -> None:
    make(SAC, "MlpPolicy")
    content = (tmp_path / "agent.zip").read_bytes()
    (tmp_path / "agent.zip").write_bytes(content[: len(content) // 2])
    for check in (False, True):
        with pytest.raises(AgentError, match="not a readable zip"):
            read(tmp_path, check=check)


def test_a_module_of_ones_own(tmp_path: Path) -> None:
    layer = nn.Linear(3, 4)
    policy = Policy.from_module(layer, box((3,), "float32", -np.inf, np.inf), Discrete(4))
    observations = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    choices = layer(torch.from_numpy(observations)).argmax(1).numpy()
    np.savez(tmp_path / "p.npz", x=observations, y=choices)
    assert check_pairs(policy, tmp_path / "p.npz") is policy
    np.savez(tmp_path / "p.npz", x=observations, y=(choices + 1) % 4)
    with pytest.raises(NetworkError, match=r"row 0: choice \d \(200 of 200"):
        check_pairs(policy, tmp_path / "p.npz")
