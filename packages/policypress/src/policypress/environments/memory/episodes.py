"""Whole episodes for policies with memory: as they are met, and logged ones lived through again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from policypress.environments.batches import ObservationBatch, check_finite, joined, single, size_of, stack, take
from policypress.environments.memory.remembering import ActorWithMemory, Met, without_states
from policypress.environments.rollout import run_episode
from policypress.environments.spaces import from_gymnasium
from policypress.environments.wrappers.faults import opened
from policypress.environments.wrappers.observation import Env
from policypress_runtime.contract import Space

LONGEST = 1000


def whole_episodes(
    factory: Callable[[], Env], act: ActorWithMemory, seeds: Iterable[int], max_steps: int | None = None
) -> tuple[ObservationBatch, ...]:
    """The observations of one episode for each seed, in order, without the states that they were met in.

    Args:
        factory: makes the environment; it is closed afterwards.
        act: plays.
        seeds: of the episodes.
        max_steps: longest episode; by default 1000.

    Raises:
        ObservationError: the environment gave a value that is not finite.
    """
    found = []
    with opened(factory) as env:
        space = from_gymnasium(env.observation_space)
        for seed in seeds:
            met: list[Met] = []
            run_episode(env, act, seed, min(max_steps or LONGEST, LONGEST), _keeping(met))
            episode, _ = without_states(stack(list(met), space), space)
            check_finite(episode, "The environment gave an observation")
            found.append(episode)
    return tuple(found)


def _keeping(met: list[Met]) -> Callable[[Met], None]:
    return lambda seen: met.append(seen.copy())


def lived_through(act: ActorWithMemory, episodes: Sequence[ObservationBatch], space: Space) -> ObservationBatch:
    """Observations with the states in which ``act`` meets them, where they are the episodes, one after the other."""
    batches = []
    for episode in episodes:
        act.reset()
        met = []
        for step in range(size_of(episode)):
            observation = single(episode, step)
            met.append(Met(observation, act.state()))
            act(observation)
        batches.append(stack(met, space))
    whole = batches[0]
    for batch in batches[1:]:
        whole = joined(whole, batch)
    return whole


def cut_at(batch: ObservationBatch, starts: Any) -> tuple[ObservationBatch, ...]:
    """A batch in order, cut where ``starts`` is true; whole where it is None."""
    size = size_of(batch)
    places = [0] if starts is None else [0, *(int(i) for i in np.flatnonzero(starts) if i > 0)]
    return tuple(take(batch, slice(a, b)) for a, b in zip(places, [*places[1:], size], strict=True))
