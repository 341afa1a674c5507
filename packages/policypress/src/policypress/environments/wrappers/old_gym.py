"""Environments whose class is gymnasium's and whose methods are those of gym before 0.26."""

from __future__ import annotations

from typing import Any

import gymnasium

from policypress.environments.wrappers.observation import Env, Step

_CUT = "TimeLimit.truncated"


class OldGymApi(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Translates ``reset()`` that returns an observation and ``step()`` that returns four things.

    It speaks to the environment itself, past the wrappers that ``gymnasium.make`` puts around it (those cannot), so it
    has to be the first of the listed wrappers; the time limit is kept here. The seed goes to the environment's
    ``seed(seed)`` where it has one, else to the stream ``self.np_random`` of ``gymnasium.Env``.
    """

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self._limit = env.spec.max_episode_steps if env.spec is not None else None
        self._elapsed = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; ``options`` are not passed on."""
        inner: Any = self.unwrapped
        self._elapsed = 0
        if seed is not None:
            seeder = getattr(inner, "seed", None)
            if callable(seeder):
                seeder(seed)
            else:
                gymnasium.Env.reset(inner, seed=seed)
        given = inner.reset()
        new = isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], dict)
        return given if new else (given, {})

    def step(self, action: Any) -> Step:
        """One step; ``done`` is an end, or the time limit where the environment says so."""
        inner: Any = self.unwrapped
        given = inner.step(action)
        self._elapsed += 1
        if len(given) == 5:
            observation, reward, terminated, truncated, info = given
        else:
            observation, reward, done, info = given
            truncated = bool(done) and bool(info.get(_CUT, False))
            terminated = bool(done) and not truncated
        if self._limit is not None and self._elapsed >= self._limit:
            truncated = True
        return observation, reward, terminated, truncated, info
