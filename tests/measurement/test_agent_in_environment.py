"""What is measured: an agent in whatever form, and the environment it fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from small_policies import cnn, finished, mlp

from policypress.agents.loading import load_agent
from policypress.environments.making import SpecFactory
from policypress.environments.spaces import from_gymnasium
from policypress.measurement.agent_in_environment import (
    UNBOUNDED_STEPS,
    agent_in_environment,
    described_callable,
    spaces_from,
    step_limit,
)
from policypress.policy import layers
from policypress.policy.policy import GraphBuilder, Policy
from policypress_runtime.contract import Discrete, EnvironmentSpec, box
from policypress_runtime.errors import AgentError, EnvironmentInputError, SpaceMismatchError, UnknownEnvironmentError

CARTPOLE = EnvironmentSpec("CartPole-v1")


class Endless(gym.Env[Any, Any]):
    """Observations and actions of the small policies; no limit, no registration."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (5,), np.float32)
    action_space = gym.spaces.Box(np.array([-0.4, -2, 0.1], np.float32), np.array([0.4, 1, 7.3], np.float32))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(5, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.zeros(5, np.float32), 1.0, False, False, {}


def for_cartpole(**origin: Any) -> Policy:
    graph = GraphBuilder()
    value = graph.add("hidden", layers.Linear(4, 8), "observation")
    space = from_gymnasium(gym.make("CartPole-v1").observation_space)
    return finished(graph, space, Discrete(2), value, **origin)


def test_from_a_file(own_agents: Path) -> None:
    path = own_agents / "dqn-CartPole-v1.zip"
    subject = agent_in_environment(path)
    assert subject.environment == CARTPOLE
    assert subject.factory == SpecFactory(CARTPOLE)
    assert subject.max_steps is None
    assert subject.source == str(path)
    assert subject.library_version
    assert subject.policy.origin.environment == CARTPOLE
    by_bundle = agent_in_environment(load_agent(path))
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(by_bundle.policy(x), subject.policy(x))
    assert str(agent_in_environment(str(path)).source) == str(path)


def test_environment_that_the_user_names_wins(own_agents: Path) -> None:
    path = own_agents / "dqn-CartPole-v1.zip"
    for named in ("CartPole-v0", EnvironmentSpec("CartPole-v0")):
        subject = agent_in_environment(path, env=named)
        assert subject.environment is not None
        assert subject.environment.id == "CartPole-v0"
        assert subject.policy.origin.environment == subject.environment


def test_an_environment_of_other_spaces_is_refused(own_agents: Path) -> None:
    with pytest.raises(SpaceMismatchError, match=r"\(4,\)|shape"):
        agent_in_environment(own_agents / "sac-HalfCheetah-v4.zip", env="CartPole-v1")
    with pytest.raises(SpaceMismatchError):
        agent_in_environment(for_cartpole(), env="Pendulum-v1")
    with pytest.raises(SpaceMismatchError):
        agent_in_environment(mlp(Discrete(4)), env_fn=Endless)
    with pytest.raises(UnknownEnvironmentError, match="CartPole"):
        agent_in_environment(for_cartpole(), env="CartPoole-v1")


def test_without_an_environment(own_agents: Path) -> None:
    """Recorded observations, plain export: no environment is made, the one it names stays in the contract."""
    subject = agent_in_environment(own_agents / "sac-HalfCheetah-v4.zip", needs_environment=False)
    assert subject.factory is None
    assert subject.environment is None
    assert subject.max_steps is None
    assert subject.policy.origin.environment is not None
    bare = agent_in_environment(mlp())
    assert (bare.factory, bare.environment, bare.source) == (None, None, "Policy")


def test_policy_brings_its_environment() -> None:
    policy = for_cartpole(environment=CARTPOLE, notices=("a notice",))
    subject = agent_in_environment(policy)
    assert subject.policy is policy
    assert subject.environment == CARTPOLE
    assert subject.notices == ("a notice",)
    assert agent_in_environment(policy, needs_environment=False).factory is None


def test_the_user_s_own_environment() -> None:
    subject = agent_in_environment(mlp(environment=CARTPOLE), env_fn=Endless)
    assert subject.factory is Endless
    assert subject.max_steps == UNBOUNDED_STEPS
    assert subject.environment is not None
    assert subject.environment.id.endswith("Endless")


def test_moved_environments_are_told(own_agents: Path) -> None:
    policy = agent_in_environment(own_agents / "sac-HalfCheetah-v4.zip", needs_environment=False).policy
    subject = agent_in_environment(policy, env=EnvironmentSpec("HalfCheetah-v3"))
    assert subject.environment is not None
    assert subject.environment.id == "HalfCheetah-v4"
    assert any("HalfCheetah-v3" in notice and "HalfCheetah-v4" in notice for notice in subject.notices)


def test_images_are_transposed_where_the_environment_has_them_last() -> None:
    class Camera(Endless):
        observation_space = gym.spaces.Box(0, 255, (12, 10, 2), np.uint8)

    class Wide(Camera):
        observation_space = gym.spaces.Box(0, 255, (9, 9, 2), np.uint8)

    assert agent_in_environment(cnn(transposed=True), env_fn=Camera).factory is Camera
    with pytest.raises(SpaceMismatchError):
        agent_in_environment(
            cnn(), env_fn=type("Wide", (Camera,), {"observation_space": gym.spaces.Box(0, 255, (9, 9, 2), np.uint8)})
        )


def test_agents_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(AgentError):
        agent_in_environment(tmp_path / "absent.zip")
    with pytest.raises((EnvironmentInputError, AgentError)):
        agent_in_environment(tmp_path / "absent.zip", env="NoSuchThing-v0")


def test_limits() -> None:
    assert step_limit(lambda: gym.make("CartPole-v1")) is None
    assert step_limit(Endless) == UNBOUNDED_STEPS


def test_spaces_and_names_of_a_callable() -> None:
    observation, action = spaces_from(Endless)
    assert observation == box((5,), "float32", -np.inf, np.inf)
    assert action == from_gymnasium(Endless.action_space)
    assert described_callable(Endless).id == f"{__name__}.Endless"
    assert "lambda" in described_callable(lambda: Endless()).id
