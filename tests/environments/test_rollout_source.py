from __future__ import annotations

import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest

from policypress.environments.making import SpecFactory
from policypress.environments.rollout_source import LEAST_EPISODES, RolloutSource
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import ObservationError

CARTPOLE = RolloutSource(SpecFactory(EnvironmentSpec("CartPole-v1")))


class Endless(gymnasium.Env[Any, Any]):
    """Counts its steps and starts, never ends, and writes every observation into the same array."""

    def __init__(self, last: float = np.inf) -> None:
        self.observation_space = gymnasium.spaces.Dict(
            {"step": gymnasium.spaces.Box(0, np.inf, (2,)), "odd": gymnasium.spaces.Discrete(2)}
        )
        self.action_space = gymnasium.spaces.Discrete(2)
        self.starts, self.last = 0, last
        self.shown = np.zeros(2, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.starts += 1
        self.shown[:] = self.starts, 0
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.shown[1] += 1
        if self.shown[1] > self.last:
            self.shown[1] = np.nan
        return self._seen(), 0.0, False, False, {}

    def _seen(self) -> dict[str, Any]:
        return {"step": self.shown, "odd": 0 if np.isnan(self.shown[1]) else int(self.shown[1]) % 2}


def left(observation: Any) -> int:
    return 0


def right(observation: Any) -> int:
    return 1


def test_as_many_as_asked_for_in_the_order_of_the_visit() -> None:
    seen = CARTPOLE.visited(left, count=37, seed=0, purpose="a")
    assert seen.shape == (37, 4)
    assert seen.dtype == np.float32
    longer = CARTPOLE.visited(left, count=80, seed=0, purpose="a")
    np.testing.assert_array_equal(longer[:37], seen)


def test_they_depend_on_actor_seed_and_purpose_alone() -> None:
    first = CARTPOLE.visited(left, count=30, seed=3, purpose="a")
    again = pickle.loads(pickle.dumps(CARTPOLE)).visited(left, count=30, seed=3, purpose="a")
    np.testing.assert_array_equal(first, again)
    for act, seed, purpose in ((right, 3, "a"), (left, 4, "a"), (left, 3, "b")):
        assert not np.array_equal(first, CARTPOLE.visited(act, count=30, seed=seed, purpose=purpose))


def test_one_endless_episode_does_not_fill_the_visit() -> None:
    seen = RolloutSource(Endless).visited(left, count=6000, seed=0, purpose="a")
    starts, counts = np.unique(seen["step"][:, 0], return_counts=True)
    assert len(starts) >= LEAST_EPISODES
    assert counts.max() == 1200
    limited = RolloutSource(Endless, 7).visited(left, count=20, seed=0, purpose="a")
    np.testing.assert_array_equal(limited["step"][:, 1], [*range(7), *range(7), *range(6)])
    np.testing.assert_array_equal(limited["odd"], limited["step"][:, 1] % 2)


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ObservationError, match="not finite"):
        RolloutSource(lambda: Endless(last=5)).visited(left, count=20, seed=0, purpose="a")
