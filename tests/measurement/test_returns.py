from __future__ import annotations

from pathlib import Path

import pytest
from stable_baselines3 import TD3
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from policypress.environments.making import SpecFactory
from policypress.environments.rollout import Actor, random_actor
from policypress.environments.wrappers.observation import Env
from policypress.measurement.returns import measure_returns
from policypress.records import EpisodeRecord
from policypress_runtime.contract import EnvironmentSpec, WrapperSpec


def constant(factory: SpecFactory, seed: int = 1) -> Actor:
    """An actor without memory, so that an episode depends on its seed alone."""
    env = factory()
    action = random_actor(env, seed)(None)
    env.close()
    return lambda _: action


@pytest.mark.parametrize(
    "spec",
    [
        EnvironmentSpec("CartPole-v1"),
        EnvironmentSpec("HalfCheetah-v4"),
        EnvironmentSpec("Hopper-v4"),
        EnvironmentSpec("Ant-v4", wrappers=(WrapperSpec("ZeroContactForces"), WrapperSpec("TimeFeatureWrapper"))),
        EnvironmentSpec("LunarLander-v3"),
        EnvironmentSpec("BipedalWalker-v3"),
        EnvironmentSpec(
            "BreakoutNoFrameskip-v4",
            wrappers=(WrapperSpec("AtariWrapper"), WrapperSpec("frame_stack", (("n_stack", 4),))),
        ),
    ],
    ids=lambda spec: spec.id,
)
def test_an_episode_depends_on_its_seed_alone(spec: EnvironmentSpec) -> None:
    """The same rows, however the seeds are divided over environments and whatever was played before."""
    factory = SpecFactory(spec)
    act = constant(factory)
    together = measure_returns(act, factory, (3, 1, 2), max_steps=150)
    for row in together:
        alone = measure_returns(act, factory, (row.seed,), max_steps=150)[0]
        assert (alone.episode_return, alone.length, alone.ending) == (row.episode_return, row.length, row.ending)


def test_rows_come_in_order_as_they_are_done() -> None:
    seen: list[EpisodeRecord] = []
    factory = SpecFactory(EnvironmentSpec("CartPole-v1"))
    rows = measure_returns(lambda _: 0, factory, (5, 4), on_episode=seen.append)
    assert [row.seed for row in rows] == [5, 4]
    assert list(rows) == seen
    assert all(row.ending == "terminated" for row in rows)
    assert measure_returns(lambda _: 0, factory, ()) == ()


def test_the_environment_is_closed_when_something_fails() -> None:
    made: list[Env] = []
    closed: list[bool] = []

    def factory() -> Env:
        env = SpecFactory(EnvironmentSpec("CartPole-v1"))()
        env.close = lambda: closed.append(True)  # type: ignore[method-assign]
        made.append(env)
        return env

    with pytest.raises(ZeroDivisionError):
        measure_returns(lambda _: 1 // 0, factory, (0,))
    assert (len(made), closed) == (1, [True])


@pytest.mark.shared
def test_returns_equal_evaluate_policy(shared_agents: Path) -> None:
    """The same episodes as Stable-Baselines3's own evaluation of a real agent."""
    model = TD3.load(shared_agents / "td3-HalfCheetah-v4" / "HalfCheetah-v4.zip", device="cpu")
    factory = SpecFactory(EnvironmentSpec("HalfCheetah-v4"))
    rows = measure_returns(lambda o: model.predict(o, deterministic=True)[0], factory, (1, 2))
    for row in rows:
        vectorised = DummyVecEnv([lambda: Monitor(factory())])
        vectorised.seed(row.seed)
        theirs, lengths = evaluate_policy(model, vectorised, n_eval_episodes=1, return_episode_rewards=True)
        assert row.episode_return == pytest.approx(theirs[0], abs=1e-4)
        assert (row.length, row.ending) == (lengths[0], "truncated")
        assert row.episode_return > 5000
