"""From what a user states to a spec."""

from __future__ import annotations

from typing import get_args

import pytest

from policypress.training_package import TrainingRequest
from policypress_runtime.contract import EnvironmentSpec, WrapperSpec
from policypress_runtime.errors import TrainingInputError, UnknownEnvironmentError
from policypress_train.hyperparameters.preparing import checked_update, prepare
from policypress_train.spec import Update


def test_published_values_and_overrides() -> None:
    prepared = prepare(TrainingRequest("PPO", EnvironmentSpec("HalfCheetah-v3"), overrides=[("gamma", 0.5)], seed=7))
    spec = prepared.spec
    assert spec.environment.id == "HalfCheetah-v4"
    assert spec.environment.trained_id == "HalfCheetah-v3"
    assert (spec.algorithm, spec.steps, spec.seed) == ("ppo", 1_000_000, 7)
    assert spec.hyperparameters["gamma"] == 0.5
    assert spec.hyperparameters["n_epochs"] == 20
    assert "HalfCheetah" in prepared.source
    assert "gamma=0.5" in prepared.source
    assert any("no longer exists" in notice for notice in prepared.notices)


def test_the_order_of_overrides_does_not_matter() -> None:
    stated = [("gamma", 0.5), ("net_arch", (8, 8)), ("tau", 0.1)]
    specs = [
        prepare(TrainingRequest("sac", EnvironmentSpec("Pendulum-v1"), overrides=order)).spec
        for order in (stated, stated[::-1])
    ]
    assert specs[0].hash == specs[1].hash
    assert specs[0].hyperparameters["policy_kwargs"] == {"net_arch": [8, 8]}


def test_defaults_are_told() -> None:
    prepared = prepare(TrainingRequest("dqn", EnvironmentSpec("Acrobot-v1")))
    assert any("no hyperparameters" in notice for notice in prepared.notices)


@pytest.mark.parametrize(("env_id", "kwargs"), [("PongNoFrameskip-v4", ()), ("ALE/Pong-v5", (("frameskip", 1),))])
def test_atari_gets_its_wrapper(env_id: str, kwargs: tuple[tuple[str, object], ...]) -> None:
    spec = prepare(TrainingRequest("dqn", EnvironmentSpec(env_id))).spec
    assert spec.environment.wrappers == (WrapperSpec("AtariWrapper"),)
    assert spec.environment.kwargs == kwargs
    assert spec.hyperparameters["frame_stack"] == 4
    assert "env_wrapper" not in spec.hyperparameters


@pytest.mark.parametrize(
    ("stated", "budget"),
    [
        ({}, (200, 25_000)),
        ({"episodes": 5}, (5, 25_000)),
        ({"steps": 900}, (None, 900)),
        ({"steps": 900, "episodes": 5}, (5, 900)),
    ],
)
def test_a_budget_in_episodes(stated: dict[str, int], budget: tuple[int | None, int]) -> None:
    spec = prepare(TrainingRequest("dqn", EnvironmentSpec("CartPole-v0"), by="li2023", **stated)).spec
    assert (spec.episodes, spec.steps) == budget
    assert spec.environment.id == "CartPole-v0"


def test_what_cannot_be_prepared() -> None:
    with pytest.raises(UnknownEnvironmentError):
        prepare(TrainingRequest("dqn", EnvironmentSpec("CartPoll-v1")))
    with pytest.raises(TrainingInputError, match="needs a positive number of steps"):
        prepare(TrainingRequest("dqn", EnvironmentSpec("CartPole-v1"), steps=0))
    with pytest.raises(TrainingInputError, match="needs a positive number of episodes"):
        prepare(TrainingRequest("dqn", EnvironmentSpec("CartPole-v1"), episodes=0))
    with pytest.raises(TrainingInputError, match="no hyperparameter"):
        prepare(TrainingRequest("dqn", EnvironmentSpec("CartPole-v1"), overrides=[("tua", 1)]))
    with pytest.raises(TrainingInputError, match="no such update"):
        checked_update("faster")
    assert [checked_update(name) for name in get_args(Update)] == ["auto", "fast", "native", "stock"]


def test_pinned_kernels_are_those_of_the_native_update() -> None:
    cartpole = EnvironmentSpec("CartPole-v1")
    assert prepare(TrainingRequest("ppo", cartpole, update="auto", kernels="plain")).spec.update == "native"
    assert prepare(TrainingRequest("ppo", cartpole, update="native", kernels="avx2")).spec.kernels == "avx2"
    for update in ("fast", "stock"):
        with pytest.raises(
            TrainingInputError, match=f"Only the native update[\\s\\S]*kernels avx2 with the update {update}"
        ):
            prepare(TrainingRequest("ppo", cartpole, update=checked_update(update), kernels="avx2"))
        assert (
            prepare(TrainingRequest("ppo", cartpole, update=checked_update(update))).spec.kernels is None
        )  # as the hint says
    with pytest.raises(TrainingInputError, match="no such kernels"):
        prepare(TrainingRequest("ppo", cartpole, update="auto", kernels="sse2"))
