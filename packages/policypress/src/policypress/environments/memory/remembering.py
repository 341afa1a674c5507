"""Actors that remember: reset at the start of every episode, and met observations with the state they were met in.

A batch of such observations is a dict: the observation's arrays (under ``""`` where it is one), and the states' by
their names. To everything that takes batches it is an observation with more keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from policypress_runtime.contract import DictSpace, Space

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ActorWithMemory:
    """Acts with a memory of the episode.

    Args:
        act: gives an action for an observation, and remembers it.
        reset: begins an episode.
        state: what is remembered, by name, without a batch axis; the caller's own arrays.
    """

    act: Callable[[Any], Any]
    reset: Callable[[], None]
    state: Callable[[], Mapping[str, Array]]

    def __call__(self, observation: Any) -> Any:
        """The action for the next observation of the episode."""
        return self.act(observation)


@dataclass(frozen=True)
class Met:
    """An observation, and what was remembered when it was met."""

    observation: Any
    state: Mapping[str, Array]

    def copy(self) -> Met:
        """The same in arrays of its own, which the environment does not write over."""
        seen = self.observation
        own = {key: np.array(value) for key, value in seen.items()} if isinstance(seen, dict) else np.array(seen)
        return Met(own, self.state)


def memory_of(act: Callable[[Any], Any]) -> ActorWithMemory | None:
    """The memory of an actor, None where it has none; that of a runtime whose ``act`` it is."""
    if isinstance(act, ActorWithMemory):
        return act
    owner = getattr(act, "__self__", None)
    owner = getattr(owner, "runtime", None) if isinstance(owner, ModuleType) else owner
    if not getattr(getattr(owner, "contract", None), "state", ()):
        return None
    return ActorWithMemory(act, owner.reset, lambda: owner.state)  # type: ignore[union-attr]


def noticing(
    on_observation: Callable[[Any], None] | None, memory: ActorWithMemory | None
) -> Callable[[Any], None] | None:
    """What is to be given every observation before it is acted on; with a memory it is given a :class:`Met`."""
    if on_observation is None or memory is None:
        return on_observation
    notice, state = on_observation, memory.state
    return lambda observation: notice(Met(observation, state()))


def own_keys(space: Space) -> tuple[str, ...]:
    """Keys of the observation itself in a batch that also holds states."""
    return tuple(key for key, _ in space.spaces) if isinstance(space, DictSpace) else ("",)


def without_states(batch: Any, space: Space) -> tuple[Any, dict[str, Array]]:
    """A batch as the observation's own part, in the form of ``space``, and the states by name (none, as a rule)."""
    keys = own_keys(space)
    if not isinstance(batch, dict) or keys == () or not set(batch) > set(keys):
        return batch, {}
    states = {key: value for key, value in batch.items() if key not in keys}
    return (batch[""] if keys == ("",) else {key: batch[key] for key in keys}), states


def with_states(batch: Any, states: Mapping[str, Array]) -> Any:
    """Inverse of :func:`without_states`."""
    if not states:
        return batch
    return {**(batch if isinstance(batch, dict) else {"": batch}), **states}


def stacked_states(met: Iterable[Met]) -> dict[str, Array]:
    """The states of met observations, batch first."""
    rows = [seen.state for seen in met]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
