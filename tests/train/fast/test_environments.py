"""The lean environments step as the library's do."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from policypress_train.fast.environments import LeanVecEnv


class Named(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Observations under two keys."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.observation_space = gymnasium.spaces.Dict({"a": env.observation_space, "b": env.observation_space})

    def observation(self, observation: Any) -> Any:
        return {"a": observation, "b": -observation}


def flat(observation: Any) -> Any:
    return np.concatenate(list(observation.values())) if isinstance(observation, dict) else observation


@pytest.mark.parametrize("wrapper", [lambda env: env, Named])
def test_steps_are_the_library_s(wrapper: Any) -> None:
    made = [kind([lambda: wrapper(Monitor(gymnasium.make("CartPole-v1")))] * 2) for kind in (DummyVecEnv, LeanVecEnv)]
    for environments in made:
        environments.seed(3)
    first = [flat(environments.reset()) for environments in made]
    np.testing.assert_array_equal(*first)
    ended = 0
    for step in range(200):
        actions = np.array([step % 2, step % 3 > 0]).astype(np.int64)
        (seen, rewards, dones, infos), (ours, our_rewards, our_dones, our_infos) = (
            environments.step(actions) for environments in made
        )
        np.testing.assert_array_equal(flat(seen), flat(ours))
        np.testing.assert_array_equal(rewards, our_rewards)
        np.testing.assert_array_equal(dones, our_dones)
        for mine, other in zip(our_infos, infos, strict=True):
            assert mine["TimeLimit.truncated"] == other["TimeLimit.truncated"]
            assert mine.get("episode", {}).get("r") == other.get("episode", {}).get("r")
            if "terminal_observation" in other:
                np.testing.assert_array_equal(flat(mine["terminal_observation"]), flat(other["terminal_observation"]))
        ended += int(dones.sum())
    assert ended > 2


def test_what_was_given_does_not_change_at_the_next_step() -> None:
    environments = LeanVecEnv([lambda: gymnasium.make("CartPole-v1")])
    environments.reset()
    observation, rewards, dones, _ = environments.step(np.array([0]))
    before = observation.copy(), rewards.copy(), dones.copy()
    environments.step(np.array([1]))
    for now, then in zip((observation, rewards, dones), before, strict=True):
        np.testing.assert_array_equal(now, then)
