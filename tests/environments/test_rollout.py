from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from policypress.environments.making import make
from policypress.environments.rollout import action_converter, random_actor, run_episode
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import ObservationError


class Line(gymnasium.Env[Any, Any]):
    """Counts up; ends by itself after ``length`` steps, or never."""

    def __init__(self, action_space: spaces.Space[Any], length: int | None = None, truncates: bool = False) -> None:
        self.observation_space = spaces.Dict({"time": spaces.Discrete(100)})
        self.action_space = action_space
        self.actions: list[Any] = []
        self._length, self._truncates, self._time = length, truncates, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self._time = 0
        return {"time": 0}, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.actions.append(action)
        self._time += 1
        ended = self._time == self._length
        return {"time": self._time}, 0.5, ended and not self._truncates, ended and self._truncates, {}


@pytest.mark.parametrize(
    ("length", "truncates", "max_steps", "ending", "steps"),
    [
        (4, False, None, "terminated", 4),
        (4, True, None, "truncated", 4),
        (4, False, 4, "terminated", 4),
        (None, False, 3, "step_limit", 3),
    ],
)
def test_endings(length: int | None, truncates: bool, max_steps: int | None, ending: str, steps: int) -> None:
    seen: list[Any] = []
    env = Line(spaces.Discrete(2), length, truncates)
    record = run_episode(env, lambda o: o["time"] % 2, 11, max_steps, seen.append)
    assert (record.ending, record.length, record.episode_return, record.seed) == (ending, steps, steps * 0.5, 11)
    assert seen == [{"time": t} for t in range(steps)]
    assert record.cpu_s >= 0


class Marking(Line):
    """Says in its third step that it fell."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, _ = super().step(action)
        told = {"fell": np.bool_(self._time == 3)} if self._time > 1 else {}
        return observation, reward, terminated, truncated, told


@pytest.mark.parametrize(
    ("length", "key", "fell"), [(5, "fell", True), (2, "fell", False), (5, "", None), (5, "x", None)]
)
def test_a_fall_is_what_info_says_at_any_step(length: int, key: str, fell: bool | None) -> None:
    record = run_episode(Marking(spaces.Discrete(2), length), lambda o: 0, 1, fall_key=key)
    assert record.fell is fell


def test_the_same_seed_gives_the_same_episode() -> None:
    env = make(EnvironmentSpec("Hopper-v4"))
    records = [run_episode(env, random_actor(env, 5), seed) for seed in (1, 2, 1)]
    assert records[0].episode_return == records[2].episode_return
    assert records[0].episode_return != records[1].episode_return
    assert env.spec is not None


def test_random_actors_leave_the_environments_space_alone() -> None:
    env = make(EnvironmentSpec("Pendulum-v1"))
    first, second = random_actor(env, 3), random_actor(env, 3)
    assert [float(first(None)[0]) for _ in range(3)] == [float(second(None)[0]) for _ in range(3)]


@pytest.mark.parametrize("action", [3, np.int64(3), np.array(3), np.array([3]), np.array([[3]], np.float32)])
def test_discrete_actions_become_python_integers(action: Any) -> None:
    converted = action_converter(spaces.Discrete(3, start=1))(action)
    assert type(converted) is int
    assert converted == 3


def test_other_actions_keep_the_shape_of_the_space() -> None:
    box = action_converter(spaces.Box(-1, 1, (2, 2), np.float32))
    array = np.zeros((2, 2), np.float32)
    assert box(array) is array
    assert box(np.zeros((1, 4), np.float32)).shape == (2, 2)
    assert box([[0, 0], [0, 0]]).shape == (2, 2)
    assert np.array_equal(action_converter(spaces.MultiDiscrete([3, 4]))(np.array([[2, 1]])), [2, 1])
    assert np.array_equal(action_converter(spaces.MultiBinary(3))([1, 0, 1]), [1, 0, 1])


@pytest.mark.parametrize("size", [3, 100])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_actions_that_are_not_finite_are_refused(size: int, bad: float) -> None:
    action = np.zeros(size, np.float32)
    action[1] = bad
    with pytest.raises(ObservationError, match="finite"):
        action_converter(spaces.Box(-1, 1, (size,), np.float32))(action)


def test_infinities_of_both_signs_do_not_cancel() -> None:
    with pytest.raises(ObservationError, match="finite"):
        action_converter(spaces.Box(-1, 1, (2,), np.float32))(np.array([np.inf, -np.inf], np.float32))


@pytest.mark.parametrize(
    "space", [spaces.Discrete(3), spaces.Box(-1, 1, (3,)), spaces.MultiDiscrete([2, 2, 2])], ids=str
)
def test_actions_of_another_size_are_refused(space: spaces.Space[Any]) -> None:
    with pytest.raises(ObservationError, match="does not fit"):
        action_converter(space)(np.zeros(2))


@pytest.mark.parametrize("limit", [None, 3, 7, 12])
def test_gymnasium_s_own_limit_holds_without_its_wrapper(limit: int | None) -> None:
    """The wrappers of ``gymnasium.make`` are stepped past; what they would have done is done."""
    env = gymnasium.make("Pendulum-v1", max_episode_steps=7)
    episode = run_episode(env, lambda _: np.zeros(1, np.float32), 0, limit)
    assert episode.length == (7 if limit is None or limit > 7 else limit)
    assert episode.ending == ("step_limit" if limit == 3 else "truncated")
    plain = gymnasium.make("Pendulum-v1", max_episode_steps=7)
    plain.reset(seed=0)
    rewards = [float(plain.step(np.zeros(1, np.float32))[1]) for _ in range(episode.length)]
    assert episode.episode_return == sum(rewards)
    again = run_episode(env, lambda _: np.zeros(1, np.float32), 0, limit)
    assert dataclasses.replace(again, cpu_s=episode.cpu_s) == episode


def test_other_wrappers_are_not_stepped_past() -> None:
    counted: list[int] = []

    class Counting(gymnasium.Wrapper):  # type: ignore[type-arg]
        def step(self, action: Any) -> Any:
            counted.append(1)
            return super().step(action)

    run_episode(Counting(gymnasium.make("Pendulum-v1", max_episode_steps=5)), lambda _: np.zeros(1, np.float32), 0)
    run_episode(
        gymnasium.wrappers.TimeLimit(Counting(gymnasium.make("Pendulum-v1", max_episode_steps=5)), 4),
        lambda _: np.zeros(1, np.float32),
        0,
    )
    assert len(counted) == 9
