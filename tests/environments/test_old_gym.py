from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from policypress.environments.making import make
from policypress.environments.rollout import random_actor, run_episode
from policypress.environments.wrappers.old_gym import OldGymApi
from policypress_runtime.contract import EnvironmentSpec, WrapperSpec
from policypress_runtime.errors import EnvironmentFailedError


class Old(gymnasium.Env[Any, Any]):
    """Written for gym before 0.26, with the seed method of its time."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, length: int = 5, cut: bool = False) -> None:
        self._length, self._cut, self._time = length, cut, 0
        self._stream = np.random.RandomState(0)

    def seed(self, seed: int) -> None:
        self._stream = np.random.RandomState(seed)

    def reset(self) -> Any:  # type: ignore[override]
        self._time = 0
        return self._stream.uniform(-1, 1, 1).astype(np.float32)

    def step(self, action: Any) -> Any:
        self._time += 1
        done = self._time == self._length
        info = {"TimeLimit.truncated": True} if done and self._cut else {}
        return self._stream.uniform(-1, 1, 1).astype(np.float32), float(self._stream.uniform()), done, info


class Unseeded(Old):
    seed = None  # type: ignore[assignment]

    def reset(self) -> Any:  # type: ignore[override]
        self._time = 0
        return self.np_random.uniform(-1, 1, 1).astype(np.float32)


@pytest.fixture(autouse=True)
def _registered() -> Any:
    gymnasium.register("OldInterface-v0", Old)
    gymnasium.register("OldInterfaceLimited-v0", Old, max_episode_steps=3)
    yield
    for name in ("OldInterface-v0", "OldInterfaceLimited-v0"):
        del gymnasium.registry[name]


def test_the_advice_of_the_error_works() -> None:
    bare = make(EnvironmentSpec("OldInterface-v0"))
    with pytest.raises(EnvironmentFailedError, match="--wrapper OldGymApi"):
        run_episode(bare, random_actor(bare, 0), 0)
    env = make(EnvironmentSpec("OldInterface-v0", wrappers=(WrapperSpec("OldGymApi"),)))
    rows = [run_episode(env, random_actor(env, 0), seed) for seed in (1, 2, 1)]
    assert [row.length for row in rows] == [5, 5, 5]
    assert rows[0].episode_return == rows[2].episode_return != rows[1].episode_return
    assert {row.ending for row in rows} == {"terminated"}


def test_the_time_limit_holds() -> None:
    env = make(EnvironmentSpec("OldInterfaceLimited-v0", wrappers=(WrapperSpec("OldGymApi"),)))
    rows = [run_episode(env, random_actor(env, 0), seed) for seed in (1, 2)]
    assert [(row.length, row.ending) for row in rows] == [(3, "truncated")] * 2


def test_what_the_environment_cut_is_no_end() -> None:
    env = OldGymApi(Old(length=2, cut=True))
    assert run_episode(env, random_actor(env, 0), 0).ending == "truncated"


def test_without_a_seed_method_the_stream_of_the_class_is_seeded() -> None:
    env = OldGymApi(Unseeded())
    first, again, other = (env.reset(seed=seed)[0] for seed in (1, 1, 2))
    assert first == again != other


def test_a_new_interface_passes_through() -> None:
    env = make(EnvironmentSpec("CartPole-v1", wrappers=(WrapperSpec("OldGymApi"),)))
    plain = make(EnvironmentSpec("CartPole-v1"))
    got, want = (run_episode(each, random_actor(each, 0), 3) for each in (env, plain))
    assert got.length == want.length
