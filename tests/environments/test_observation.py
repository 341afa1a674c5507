from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from sb3_contrib.common.wrappers import TimeFeatureWrapper as ReferenceTimeFeature
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

from policypress.environments.wrappers.observation import (
    LIFE_LOST,
    ActionSmoothingWrapper,
    FrameSkip,
    FrameStack,
    HistoryWrapper,
    MaskVelocityWrapper,
    TimeFeatureWrapper,
)
from policypress_runtime.errors import WrapperError

Env = gymnasium.Env[Any, Any]


class Counting(gymnasium.Env[Any, Any]):
    """Observations drawn from any space; ends after ``length`` steps; a life is lost at step ``life``."""

    def __init__(self, space: spaces.Space[Any], length: int = 6, life: int | None = None) -> None:
        self.observation_space = space
        self._source = copy.deepcopy(space)  # wrappers may replace the space
        self.action_space = spaces.Box(-2.0, 2.0, (2,), np.float32)
        self._length, self._life, self._time = length, life, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._source.seed(seed)
        self._time = 0
        return self._source.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._time += 1
        info = {LIFE_LOST: True} if self._time == self._life else {}
        return self._source.sample(), float(np.sum(action)), self._time >= self._length, False, info


IMAGE_LAST = spaces.Box(0, 255, (8, 9, 3), np.uint8)
IMAGE_FIRST = spaces.Box(0, 255, (3, 8, 9), np.uint8)
VECTOR = spaces.Box(-1.0, 1.0, (3,), np.float32)
ACTION = np.array([0.5, -1.0], np.float32)


def rollout(env: Env, steps: int, seed: int = 0) -> list[Any]:
    observation, _ = env.reset(seed=seed)
    seen = [observation]
    for _ in range(steps):
        observation, *_ = env.step(ACTION)
        seen.append(observation)
    return seen


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return a.dtype == b.dtype and np.array_equal(a, b)


@pytest.mark.parametrize("limited", [True, False], ids=["with_time_limit", "without"])
@pytest.mark.parametrize("test_mode", [True, False])
def test_time_feature_equals_sb3_contrib(limited: bool, test_mode: bool) -> None:
    def env() -> Env:
        return gymnasium.make("Pendulum-v1") if limited else Counting(spaces.Box(-1, 1, (3,), np.float64))

    ours = TimeFeatureWrapper(env(), max_steps=50, test_mode=test_mode)
    theirs = ReferenceTimeFeature(env(), max_steps=50, test_mode=test_mode)
    assert ours.observation_space == theirs.observation_space
    for a, b in zip(rollout(ours, 5), rollout(theirs, 5), strict=True):
        assert equal(a, b)
    assert ours.observation_space.dtype == theirs.observation_space.dtype


def test_time_feature_of_a_goal_environment() -> None:
    space = spaces.Dict({"observation": VECTOR, "desired_goal": VECTOR})
    ours = TimeFeatureWrapper(Counting(space), max_steps=10)
    seen = rollout(ours, 2)
    assert [float(o["observation"][-1]) for o in seen] == pytest.approx([1.0, 0.9, 0.8])
    assert ours.observation_space.contains(seen[0])


@pytest.mark.parametrize(
    "space",
    [IMAGE_LAST, IMAGE_FIRST, VECTOR, spaces.Dict({"image": IMAGE_LAST, "state": VECTOR})],
    ids=["channel_last", "channel_first", "vector", "dict"],
)
def test_frame_stack_equals_sb3(space: spaces.Space[Any]) -> None:
    ours = FrameStack(Counting(space), n_stack=4)
    theirs = VecFrameStack(DummyVecEnv([lambda: Counting(space)]), n_stack=4)
    assert ours.observation_space == theirs.observation_space
    theirs.seed(0)
    reference = theirs.reset()
    observation, _ = ours.reset(seed=0)
    for _ in range(5):
        assert equal(observation, _first(reference))
        observation, *_ = ours.step(ACTION)
        reference, *_ = theirs.step(ACTION[None])


def _first(batch: Any) -> Any:
    return {key: value[0] for key, value in batch.items()} if isinstance(batch, dict) else batch[0]


def test_a_lost_life_empties_the_stack() -> None:
    seen = rollout(FrameStack(Counting(VECTOR, life=3), n_stack=3), 4)
    assert np.count_nonzero(seen[2]) == 9
    assert np.count_nonzero(seen[3]) == 3
    assert not seen[3][:6].any()


def test_earlier_stacks_are_not_overwritten() -> None:
    env = FrameStack(Counting(VECTOR), n_stack=2)
    first, _ = env.reset(seed=0)
    before = first.copy()
    env.step(ACTION)
    assert np.array_equal(first, before)


def test_history_has_observations_then_actions() -> None:
    env = HistoryWrapper(Counting(VECTOR), horizon=2)
    seen = rollout(env, 3)
    assert env.observation_space.shape == (10,)
    assert not seen[0][:3].any()
    assert not seen[0][6:].any()
    assert np.array_equal(seen[2][:3], seen[1][3:6])
    assert np.array_equal(seen[1][6:], [0, 0, 0.5, -1.0])
    assert np.array_equal(seen[3][6:], [0.5, -1.0, 0.5, -1.0])
    assert all(env.observation_space.contains(o) for o in seen)


def test_history_of_a_goal_environment() -> None:
    space = spaces.Dict({"observation": VECTOR, "desired_goal": VECTOR})
    seen = rollout(HistoryWrapper(Counting(space), horizon=1), 1)
    assert seen[1]["observation"].shape == (5,)
    assert seen[1]["desired_goal"].shape == (3,)


def test_velocities_are_masked_in_every_version() -> None:
    env = MaskVelocityWrapper(gymnasium.make("LunarLander-v3"))
    observation, _ = env.reset(seed=0)
    assert not observation[[2, 3, 5]].any()
    assert observation[[0, 1]].any()
    with pytest.raises(WrapperError, match="CartPole"):
        MaskVelocityWrapper(gymnasium.make("Acrobot-v1"))


def test_frame_skip_sums_rewards_and_stops_at_the_end() -> None:
    env = FrameSkip(Counting(VECTOR, length=5), skip=4)
    env.reset(seed=0)
    _, reward, terminated, *_ = env.step(np.ones(2))
    assert (reward, terminated) == (8.0, False)
    _, reward, terminated, *_ = env.step(np.ones(2))
    assert (reward, terminated) == (2.0, True)


def test_action_smoothing_averages() -> None:
    env = ActionSmoothingWrapper(Counting(VECTOR), smoothing_coef=0.5)
    env.reset(seed=0)
    assert env.step(np.ones(2))[1] == pytest.approx(1.0)
    assert env.step(np.ones(2))[1] == pytest.approx(1.5)
    env.reset(seed=0)
    assert env.step(np.ones(2))[1] == pytest.approx(1.0)


def test_spaces_that_do_not_suit_are_refused() -> None:
    for wrap in (TimeFeatureWrapper, HistoryWrapper):
        with pytest.raises(WrapperError, match="vector"):
            wrap(Counting(IMAGE_LAST))
    with pytest.raises(WrapperError, match="Box"):
        FrameStack(Counting(spaces.Discrete(3)), n_stack=2)
    with pytest.raises(WrapperError, match="at least one"):
        FrameStack(Counting(VECTOR), n_stack=0)
