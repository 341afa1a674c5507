"""An environment is brought back to where it was."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.monitor import Monitor

from policypress.environments.making import make
from policypress_runtime.contract import EnvironmentSpec
from policypress_train.vector_envs.replayable import Replayable, count_resets

IDS = ["CartPole-v1", "Pendulum-v1", "LunarLander-v3", "HalfCheetah-v4", "Ant-v4", "BipedalWalker-v3"]
GAMES = ["BreakoutNoFrameskip-v4", "ALE/Breakout-v5"]


def build(env_id: str) -> Replayable:
    atari = env_id in GAMES
    kwargs = (("frameskip", 1),) if env_id.startswith("ALE/") else ()
    env: Any = Monitor(count_resets(make(EnvironmentSpec(env_id, kwargs))))
    return Replayable(AtariWrapper(env) if atari else env)


def played(env: Replayable, actions: list[Any]) -> tuple[Any, list[float]]:
    rewards = []
    observation = None
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        rewards.append(float(reward))
        if terminated or truncated:
            observation, _ = env.reset()
    return observation, rewards


@pytest.mark.parametrize("env_id", [*IDS, *GAMES])
@pytest.mark.parametrize("steps", [0, 250])
def test_it_goes_on_as_if_it_had_never_stopped(env_id: str, steps: int) -> None:
    first = build(env_id)
    first.reset(seed=5)
    space = first.action_space
    space.seed(1)
    actions = [space.sample() for _ in range(steps + 120)]
    shown, _ = played(first, actions[:steps])
    episode = first.partial_episode()
    stream = json.loads(json.dumps(episode.stream))  # as a checkpoint has it
    second = build(env_id)
    second.reset(seed=99)
    second.step(actions[0])
    again = second.replay(replace(episode, stream=stream))
    if steps:
        np.testing.assert_array_equal(again, shown)
    expected, rewards = played(first, actions[steps:])
    got, ours = played(second, actions[steps:])
    np.testing.assert_array_equal(got, expected)
    assert ours == rewards


def test_a_lost_life_is_no_new_game() -> None:
    env = build("BreakoutNoFrameskip-v4")
    env.reset(seed=0)
    for _ in range(400):
        _, _, terminated, truncated, _ = env.step(1)
        if terminated or truncated:
            env.reset()
            break
    episode = env.partial_episode()
    assert len(episode.resets) == 1
    assert len(episode.actions) == episode.resets[0]


def test_before_the_first_reset_there_is_nothing_to_replay() -> None:
    env = build("CartPole-v1")
    assert not env.partial_episode().started
    assert env.replay(env.partial_episode()) is None
