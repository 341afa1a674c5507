"""Actors that remember: reset at each episode, observations met with their states, and whole episodes."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from policypress.environments.batches import size_of
from policypress.environments.extremes import extremes
from policypress.environments.memory.episodes import cut_at, lived_through, whole_episodes
from policypress.environments.memory.remembering import ActorWithMemory, memory_of, without_states
from policypress.environments.observations import RecordedObservations, visited
from policypress.environments.rollout import run_episode
from policypress.environments.spaces import from_gymnasium
from policypress_runtime.errors import ObservationError
from recurrent_policies import unbounded


class Counter:
    """Acts at random and counts the steps of the episode."""

    def __init__(self) -> None:
        self.steps, self.resets = 0, 0

    def act(self, _: Any) -> int:
        self.steps += 1
        return self.steps % 2

    def reset(self) -> None:
        self.steps, self.resets = 0, self.resets + 1

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        return {"count": np.array([self.steps], np.float32)}


def cart_pole() -> Any:
    return gym.make("CartPole-v1")


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def actor(counter: Counter) -> ActorWithMemory:
    return ActorWithMemory(counter.act, counter.reset, counter.state)


def test_an_episode_begins_without_memory(counter: Counter, actor: ActorWithMemory) -> None:
    env = cart_pole()
    for seed in range(3):
        run_episode(env, actor, seed)
    assert counter.resets == 3


def test_the_act_of_what_has_a_memory_is_reset_too() -> None:
    class Loaded(Counter):
        class contract:
            state = ("count",)

    loaded = Loaded()
    assert memory_of(loaded.act) is not None
    run_episode(cart_pole(), loaded.act, 0)
    assert loaded.resets == 1
    assert memory_of(Counter().act) is None


def test_observations_are_met_with_their_states(actor: ActorWithMemory) -> None:
    batch = visited(cart_pole, actor, count=30, seed=0, purpose="p", episodes=2)
    assert isinstance(batch, dict)
    assert (batch[""].shape, batch["count"].shape) == ((30, 4), (30, 1))
    assert batch["count"].min() == 0
    space = from_gymnasium(cart_pole().observation_space)
    own, states = without_states(batch, space)
    assert own is batch[""]
    assert set(states) == {"count"}
    edges = extremes(space, batch, 12, np.random.default_rng(0))
    assert isinstance(edges, dict)
    assert edges[""].shape == (12, 4)
    assert set(edges["count"].ravel()) <= set(batch["count"].ravel())


def test_whole_episodes_are_lived_through_again(counter: Counter, actor: ActorWithMemory) -> None:
    space = from_gymnasium(cart_pole().observation_space)
    episodes = whole_episodes(cart_pole, actor, (0, 1))
    assert [size_of(episode) > 5 for episode in episodes] == [True, True]
    batch = lived_through(actor, episodes, space)
    assert isinstance(batch, dict)
    lengths = [size_of(episode) for episode in episodes]
    np.testing.assert_array_equal(batch["count"].ravel(), [*range(lengths[0]), *range(lengths[1])])


def test_logs_say_where_their_episodes_begin() -> None:
    space = unbounded(2)
    rows = np.arange(10, dtype=np.float32).reshape(5, 2)
    log = RecordedObservations.of({"observations": rows, "episode_starts": np.array([1, 0, 0, 1, 0])}, space, "log")
    assert [size_of(part) for part in cut_at(log.batch, log.starts)] == [3, 2]
    assert [size_of(part) for part in cut_at(log.batch, None)] == [5]
    with pytest.raises(ObservationError, match="episode_starts"):
        RecordedObservations.of({"observations": rows, "episode_starts": np.ones(4)}, space, "log")
