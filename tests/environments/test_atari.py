from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.atari_wrappers import AtariWrapper as ReferenceAtari
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

from policypress.environments.making import make
from policypress.environments.wrappers.atari import AtariWrapper
from policypress.environments.wrappers.observation import LIFE_LOST, FrameStack
from policypress_runtime.contract import EnvironmentSpec, WrapperSpec
from policypress_runtime.errors import WrapperError

ATARI = WrapperSpec("AtariWrapper")


def raw(game: str) -> gymnasium.Env[Any, Any]:
    return make(EnvironmentSpec(f"{game}NoFrameskip-v4"))


@pytest.mark.parametrize(("game", "steps"), [("Pong", 60), ("Breakout", 200), ("SpaceInvaders", 400)])
def test_frames_equal_sb3_through_lost_lives(game: str, steps: int) -> None:
    """What ends an episode in training is a step here, and shows what the reset showed there."""
    ours = FrameStack(AtariWrapper(raw(game)), n_stack=4)
    theirs = VecFrameStack(DummyVecEnv([lambda: ReferenceAtari(raw(game), clip_reward=False)]), n_stack=4)
    theirs.seed(3)
    assert ours.observation_space == theirs.observation_space
    reference = theirs.reset()
    observation, _ = ours.reset(seed=3)
    rng = np.random.default_rng(0)
    lives_lost = 0
    for _ in range(steps):
        assert np.array_equal(observation, reference[0])
        action = int(rng.integers(ours.action_space.n))  # type: ignore[attr-defined]  # Discrete
        observation, _, terminated, truncated, info = ours.step(action)
        reference, _, dones, _ = theirs.step(np.array([action]))
        assert bool(dones[0]) == bool(terminated or truncated or info.get(LIFE_LOST))
        lives_lost += bool(info.get(LIFE_LOST))
        if terminated or truncated:
            break
    assert game == "Pong" or lives_lost >= 1


def test_a_game_is_one_episode_that_never_hangs() -> None:
    """Breakout waits for FIRE after every life; an agent that never presses it must still come to the end."""
    env = AtariWrapper(raw("Breakout"))
    env.reset(seed=0)
    lives, ended, steps = 0, False, 0
    while not ended:
        _, _, terminated, truncated, info = env.step(0)
        lives += bool(info.get(LIFE_LOST))
        ended = terminated or truncated
        steps += 1
    assert terminated
    assert lives == 4
    assert steps < 1000


def test_rewards_are_raw() -> None:
    env = AtariWrapper(raw("SpaceInvaders"), clip_reward=True)
    env.reset(seed=0)
    rewards = [float(env.step(1)[1]) for _ in range(150)]
    assert max(rewards) > 1


def test_observation_is_grey_and_channel_last() -> None:
    env = make(EnvironmentSpec("PongNoFrameskip-v4", wrappers=(ATARI,)))
    observation, _ = env.reset(seed=0)
    assert observation.shape == (84, 84, 1)
    assert observation.dtype == np.uint8


def test_other_environments_are_refused() -> None:
    with pytest.raises(WrapperError, match="Atari"):
        make(EnvironmentSpec("CartPole-v1", wrappers=(ATARI,)))
    with pytest.raises(WrapperError, match="at least 1"):
        AtariWrapper(raw("Pong"), frame_skip=0)
