"""Gymnasium spaces as the contract's plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from policypress.environments.wrappers.faults import blamed
from policypress_runtime.contract import Box, DictSpace, Discrete, MultiBinary, MultiDiscrete, Space, box
from policypress_runtime.errors import EnvironmentFailedError, EnvironmentInputError

_SUPPORTED = "Box, Discrete, MultiDiscrete, MultiBinary, or a Dict of these"


def from_gymnasium(space: gymnasium.Space[Any]) -> Space:
    """The contract's form of a gymnasium space.

    Raises:
        EnvironmentInputError: a kind of space (Tuple, Graph, Text, nested Dict, ...) that no policy reads.
    """
    if isinstance(space, gymnasium.spaces.Dict):
        return _dict(space.spaces)
    return _single(space)


def spaces_in(env: gymnasium.Env[Any, Any]) -> tuple[Space, Space]:
    """Observation and action space of an environment.

    Raises:
        EnvironmentFailedError: it has none, or they cannot be asked for.
        EnvironmentInputError: as for :func:`from_gymnasium`.
    """
    with blamed("observation_space"):
        observations: Any = env.observation_space
    with blamed("action_space"):
        actions: Any = env.action_space
    for name, space in (("observation_space", observations), ("action_space", actions)):
        if not isinstance(space, gymnasium.Space):
            raise EnvironmentFailedError(
                f"The environment's {name} is not a Gymnasium space.",
                got=type(space).__name__,
                expected="a gymnasium.Space",
            )
    return from_gymnasium(observations), from_gymnasium(actions)


def _single(space: gymnasium.Space[Any]) -> Box | Discrete | MultiDiscrete | MultiBinary:
    match space:
        case gymnasium.spaces.Box():
            return box(space.shape, str(space.dtype), space.low, space.high)
        case gymnasium.spaces.Discrete():
            return Discrete(int(space.n), int(space.start))
        case gymnasium.spaces.MultiDiscrete():
            if space.nvec.ndim != 1 or np.any(space.start != 0):
                raise _unsupported(space, "a MultiDiscrete with one axis of choices, each starting at 0")
            return MultiDiscrete(tuple(int(n) for n in space.nvec))
        case gymnasium.spaces.MultiBinary():
            if len(space.shape) != 1:
                raise _unsupported(space, "a MultiBinary with one axis")
            return MultiBinary(int(space.shape[0]))
    raise _unsupported(space, _SUPPORTED)


def _dict(members: Mapping[str, gymnasium.Space[Any]]) -> DictSpace:
    for key, member in members.items():
        if isinstance(member, gymnasium.spaces.Dict):
            raise _unsupported(member, f"no Dict inside a Dict (key {key!r})")
    return DictSpace(tuple((key, _single(member)) for key, member in members.items()))


def _unsupported(space: gymnasium.Space[Any], expected: str) -> EnvironmentInputError:
    return EnvironmentInputError(
        "This kind of space is not supported.",
        got=str(space),
        expected=expected,
        hint="Flatten it with a wrapper, for example --wrapper gymnasium.wrappers:FlattenObservation.",
    )
