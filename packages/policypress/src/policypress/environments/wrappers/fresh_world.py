"""Environments whose episodes depend on the ones before, and what makes them independent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium

from policypress.environments.wrappers.observation import Env

# Box2D keeps state (contact caches, pools of bodies) in a world that these build once and use for every episode.
# LunarLander builds a new one at each reset.
NAMES = ("BipedalWalker", "BipedalWalkerHardcore", "CarRacing")


class FreshWorld(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Recreates the environment at every reset but the first, so that an episode depends only on its seed."""

    def __init__(self, factory: Callable[[], Env]) -> None:
        super().__init__(factory())
        self._factory = factory
        self._used = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; without a seed the next one is drawn from the environment's own stream."""
        if self._used:
            if seed is None:
                seed = int(self.env.unwrapped.np_random.integers(2**31 - 1))
            self.env.close()
            self.env = self._factory()
        self._used = True
        return self.env.reset(seed=seed, options=options)
