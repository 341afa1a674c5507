"""Environments that look at their seed, and some that do not."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from policypress.environments.determinism import ignores_seed


class Counter(gymnasium.Env[Any, Any]):
    """Shows a count; draws a number at step ``late``, if at all."""

    observation_space = gymnasium.spaces.Dict({"count": gymnasium.spaces.Box(0, 100, (1,), np.float32)})
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, late: int | None = None) -> None:
        self._late = late
        self._count = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._count = 0
        return {"count": np.zeros(1, np.float32)}, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._count += 1
        reward = float(action) + (self.np_random.random() if self._count == self._late else 0.0)
        return {"count": np.full(1, self._count, np.float32)}, reward, self._count == 20, False, {}


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1"])
def test_environments_that_draw_numbers_are_recognised(env_id: str) -> None:
    assert not ignores_seed(lambda: gymnasium.make(env_id))


def test_environments_without_chance_are_recognised() -> None:
    assert ignores_seed(lambda: gymnasium.make("FrozenLake-v1", is_slippery=False))
    assert ignores_seed(Counter)


def test_one_drawn_reward_is_enough() -> None:
    assert not ignores_seed(lambda: Counter(late=15))
    assert ignores_seed(lambda: Counter(late=15), steps=10)


class _LateDraw(gymnasium.Env[Any, Any]):
    """Draws its first number in the 300th step, later than random actions are compared."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        reward = float(self.np_random.random()) if self.steps == 300 else 0.0
        return np.zeros(1, np.float32), reward, False, self.steps == 400, {}


def test_the_whole_horizon_of_a_policy_finds_what_random_actions_miss() -> None:
    assert ignores_seed(_LateDraw, 0)
    assert not ignores_seed(_LateDraw, 0, act=lambda _: 0, steps=None)
