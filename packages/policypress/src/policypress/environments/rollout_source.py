"""A source of rollouts for recipe steps: an environment in which a step can run any policy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from policypress import seeding
from policypress.environments.batches import ObservationBatch, check_finite, stack
from policypress.environments.rollout import Actor, Observation, run_episode
from policypress.environments.spaces import from_gymnasium
from policypress.environments.wrappers.faults import opened
from policypress.environments.wrappers.observation import Env

# Even a short visit sees more than one start, and a task without an end does not fill it with one episode.
LEAST_EPISODES = 5
_SHORTEST_LIMIT = 1000


@dataclass(frozen=True)
class RolloutSource:
    """An environment that anything may act in; plain data where ``factory`` is, so it travels to other processes.

    Args:
        factory: makes the environment.
        max_steps: longest episode, where the environment has no limit of its own.
    """

    factory: Callable[[], Env]
    max_steps: int | None = None

    def visited(
        self, act: Actor, *, count: int, seed: int, purpose: str, episodes: Iterable[int] | None = None
    ) -> ObservationBatch:
        """The first ``count`` observations that ``act`` meets, episode after episode, in the order of the visit.

        The last episode ends where the count is reached. The observations depend on ``act``, ``seed`` and
        ``purpose`` alone.

        Args:
            act: anything that acts.
            count: how many observations, at least 1.
            seed: the user's seed.
            purpose: name of the random stream, so that no two uses see the same episodes.
            episodes: seeds of episodes to see before those of the stream.

        Raises:
            ObservationError: the environment gave a value that is not finite.
        """
        limit = max(_SHORTEST_LIMIT, math.ceil(count / LEAST_EPISODES))
        if self.max_steps is not None:
            limit = min(limit, self.max_steps)
        met: list[Observation] = []
        with opened(self.factory) as env:
            for episode_seed in chain(episodes or (), _seeds(seed, purpose)):
                run_episode(env, act, episode_seed, min(limit, count - len(met)), lambda seen: met.append(_copy(seen)))
                if len(met) >= count:
                    break
            batch = stack(met, from_gymnasium(env.observation_space))
        check_finite(batch, "The environment gave an observation")
        return batch


def _seeds(seed: int, purpose: str) -> Iterator[int]:
    stream = seeding.generator(seed, "rollouts", purpose)
    while True:
        yield int(stream.integers(2**31 - 1))


def _copy(observation: Observation) -> Any:
    """What the environment may write over at its next step."""
    if isinstance(observation, dict):
        return {key: _copy(part) for key, part in observation.items()}
    return observation.copy() if hasattr(observation, "copy") else observation
