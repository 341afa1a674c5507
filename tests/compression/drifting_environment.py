"""An environment for any spaces: the state drifts, and actions push it. Cheap, deterministic by seed, 50 steps long."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from checkpoint_policies import FEATURE_SIZES
from policypress.environments.rollout_source import RolloutSource
from policypress.policy.policy import Policy
from policypress_runtime.contract import Box, DictSpace, Discrete, MultiBinary, MultiDiscrete, Space

STEPS = 50


def to_gymnasium(space: Space) -> gymnasium.Space[Any]:
    """The gymnasium space of the contract's."""
    match space:
        case DictSpace():
            return gymnasium.spaces.Dict({key: to_gymnasium(part) for key, part in space.spaces})
        case Box():
            low, high = space.bounds()
            dtype = np.dtype(space.dtype)
            return gymnasium.spaces.Box(low.astype(dtype), high.astype(dtype), space.shape, dtype.type)
        case Discrete():
            return gymnasium.spaces.Discrete(space.n, start=space.start)
        case MultiDiscrete():
            return gymnasium.spaces.MultiDiscrete(space.nvec)
        case MultiBinary():
            return gymnasium.spaces.MultiBinary(space.n)


class Drifting(gymnasium.Env[Any, Any]):
    """See the module."""

    def __init__(self, observation_space: Space, action_space: Space) -> None:
        self._space = observation_space
        self.observation_space = to_gymnasium(observation_space)
        self.action_space = to_gymnasium(action_space)
        self._push, self._count = 0.0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start at a random state."""
        super().reset(seed=seed)
        self._push, self._count = 0.0, 0
        return self._observe(self._space), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Be pushed by the mean of the action."""
        self._push = 0.5 * self._push + 0.2 * float(np.mean(action))
        self._count += 1
        return self._observe(self._space), -abs(self._push), False, self._count >= STEPS, {}

    def _observe(self, space: Space) -> Any:
        if isinstance(space, DictSpace):
            return {key: self._observe(part) for key, part in space.spaces}
        assert isinstance(space, Box)
        if space.dtype == "uint8":
            channels, height, width = space.shape
            coarse = self.np_random.integers(0, 256, (channels, height // 4, width // 4), dtype=np.uint8)
            return coarse.repeat(4, axis=1).repeat(4, axis=2)
        sizes = FEATURE_SIZES if space.shape == FEATURE_SIZES.shape else np.ones(space.shape)
        return ((self.np_random.normal(0.0, 1.0, space.shape) + self._push) * sizes).astype(space.dtype)


class Factory:
    """Makes the environment of a policy's spaces; it can be sent to another process."""

    def __init__(self, observation_space: Space, action_space: Space) -> None:
        self.spaces = observation_space, action_space

    def __call__(self) -> Drifting:
        return Drifting(*self.spaces)


def rollouts_for(policy: Policy) -> RolloutSource:
    """An environment for ``policy``."""
    return RolloutSource(Factory(policy.observation_space, policy.action_space))
