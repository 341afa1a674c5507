"""Live objects go into the public functions as they are, or are refused by name with the way on."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from policypress import compress, evaluate
from policypress.agents.overrides import NO_OVERRIDES
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.measurement.live_agents import KEPT_BY_RUNNER, read_live
from policypress_runtime.contract import box
from policypress_runtime.errors import NetworkError, UndeterminedAgentError

SPACES = (box((3,), "float32", -np.inf, np.inf), box((1,), "float32", -2.0, 2.0))
ENV = "Pendulum-v1"


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.ELU(), nn.Linear(8, 1))


class Normalisation(nn.Module):
    """As rsl_rl's."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("_mean", torch.tensor([[0.1, -0.2, 0.3]]))
        self.register_buffer("_std", torch.tensor([[0.5, 1.5, 2.0]]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self._mean) / (self._std + 0.01)


class ActorCritic(nn.Module):
    """As rsl_rl has them up to version 3: ``forward`` says nothing."""

    def __init__(self, *, normalised: bool) -> None:
        super().__init__()
        self.actor, self.critic = network(), nn.Linear(3, 1)
        if normalised:
            self.actor_obs_normalizer = Normalisation()

    def forward(self) -> None:
        raise NotImplementedError

    def act_inference(self, observations: torch.Tensor) -> torch.Tensor:
        before = getattr(self, "actor_obs_normalizer", nn.Identity())
        return self.actor(before(observations))


class MLPModel(nn.Module):
    """As rsl_rl has them since version 5."""

    def __init__(self) -> None:
        super().__init__()
        self.obs_normalizer, self.mlp = Normalisation(), network()


class TensorDictModuleBase(nn.Module):
    """As tensordict's."""


def actions(thing: Any) -> np.ndarray:
    """What the policy that is read of ``thing`` does, on a few observations."""
    agent = agent_in_environment(thing, env=ENV)
    with torch.no_grad():
        return agent.policy(torch.linspace(-1, 1, 12).reshape(4, 3)).numpy()


def test_modules_act_as_they_did() -> None:
    given = torch.linspace(-1, 1, 12).reshape(4, 3)
    with torch.no_grad():
        plain = network()(given).clip(-2, 2).numpy()
        normal = network()(Normalisation()(given)).clip(-2, 2).numpy()
    np.testing.assert_allclose(actions(network()), plain, atol=1e-6)
    np.testing.assert_allclose(actions(ActorCritic(normalised=True)), normal, atol=1e-6)
    np.testing.assert_allclose(actions(MLPModel()), normal, atol=1e-6)


def test_where_an_actor_critic_has_no_statistics_it_is_told() -> None:
    told = agent_in_environment(ActorCritic(normalised=False), env=ENV).notices
    assert KEPT_BY_RUNNER in told
    assert KEPT_BY_RUNNER not in agent_in_environment(ActorCritic(normalised=True), env=ENV).notices


def test_torchscript_is_read_as_its_file_would_be() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        script = torch.jit.script(network())
    np.testing.assert_allclose(actions(script), actions(network()), atol=1e-6)
    assert agent_in_environment(script, env=ENV).source.startswith("a live ")


def test_a_live_network_is_evaluated_and_compressed(tmp_path: Path) -> None:
    assert len(evaluate(network(), env=ENV, episodes=2).episodes) == 2
    done = compress(
        ActorCritic(normalised=True), ["ptdq"], output=tmp_path, env=ENV, episodes=2, executor="debug", costs=False
    )
    assert not done.outcome.failed


@pytest.mark.slow
def test_a_live_model_of_stable_baselines3_is_its_zip(tmp_path: Path) -> None:
    library = pytest.importorskip("stable_baselines3")
    model = library.DQN("MlpPolicy", "CartPole-v1", buffer_size=10, device="cpu", seed=1)
    model.save(tmp_path / "agent.zip")
    found, known = (evaluate(agent, env="CartPole-v1", episodes=3) for agent in (model, tmp_path / "agent.zip"))
    assert [row.episode_return for row in found.episodes] == [row.episode_return for row in known.episodes]


def recurrent() -> ActorCritic:
    made = ActorCritic(normalised=True)
    made.memory_a = nn.LSTM(3, 4)
    return made


def headless() -> ActorCritic:
    made = ActorCritic(normalised=True)
    del made.actor
    return made


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (TensorDictModuleBase(), "tensordict"),
        (recurrent(), "with memory is not read"),
        (headless(), "what of this module acts"),
        (network().forward, "not an agent"),
        (3.0, "not an agent"),
    ],
)
def test_what_is_not_taken_is_refused_with_the_way_on(thing: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message) as caught:
        read_live(thing, lambda: SPACES, NO_OVERRIDES)
    assert caught.value.hint


def test_a_network_without_an_environment_says_nothing_of_its_spaces() -> None:
    with pytest.raises(UndeterminedAgentError, match="env_fn="):
        evaluate(network())
