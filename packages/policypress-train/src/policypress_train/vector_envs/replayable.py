"""An environment that can be restored by replaying the calls of its episode.

Simulators keep state that cannot be saved (Box2D's worlds, emulators), but all of the study's are deterministic once
their random stream is known. So the generator's state before the reset that started the episode is recorded, and
the actions since. Replaying them through the same wrappers restores the wrappers' state, too.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.atari_wrappers import EpisodicLifeEnv

from policypress.environments.wrappers.observation import Env

_RESET = -1


@dataclass(frozen=True)
class PartialEpisode:
    """How to restore an environment: the calls of its episode so far.

    Attributes:
        stream: state of the environment's random generator before the episode's reset, as plain data.
        emulator: state of an Atari emulator then (its own random stream survives a reset), or None.
        seed: what that reset was seeded with, if it was.
        started: whether there is an episode at all.
        actions: (steps, action size), the actions since.
        resets: positions among the actions before which a reset that did not start a new game was called.
    """

    stream: dict[str, Any] | None
    emulator: str | None
    seed: int | None
    started: bool
    actions: npt.NDArray[Any]
    resets: tuple[int, ...]


class _ResetCounter(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Counts the resets that reach the simulator: a wrapper for lost lives swallows some."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self.resets = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.resets += 1
        return self.env.reset(seed=seed, options=options)


def count_resets(env: Env) -> Env:
    """``env`` inside the innermost half of :class:`Replayable`."""
    return _ResetCounter(env)


class Replayable(gymnasium.Wrapper[Any, Any, Any, Any]):
    """The outermost wrapper; :func:`count_resets` must stand inside the wrappers that may swallow a reset."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self._counter = _find_counter(env)
        self._stream: dict[str, Any] | None = None
        self._emulator: str | None = None
        self._seed: int | None = None
        self._actions: list[Any] = []
        self._resets: list[int] = []
        self._started = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode and record the random generator's state."""
        stream, emulator = self._random_state(), self._emulator_state()
        before = self._counter.resets
        observation, info = self.env.reset(seed=seed, options=options)
        if self._counter.resets > before:
            self._stream, self._emulator, self._seed, self._started = stream, emulator, seed, True
            self._actions, self._resets = [], []
        else:
            self._resets.append(len(self._actions))
        return observation, info

    def step(self, action: Any) -> Any:
        """One step; the action is recorded."""
        self._actions.append(action if isinstance(action, int) else np.array(action))
        return self.env.step(action)

    def partial_episode(self) -> PartialEpisode:
        """What :meth:`replay` needs."""
        actions = np.array(self._actions)
        return PartialEpisode(self._stream, self._emulator, self._seed, self._started, actions, tuple(self._resets))

    def replay(self, episode: PartialEpisode) -> Any:
        """Replay an episode in an environment that was reset at least once; returns the last observation."""
        if not episode.started:
            return None
        if episode.stream is not None:
            self.env.unwrapped.np_random.bit_generator.state = episode.stream
        if episode.emulator is not None:
            self._restore_emulator(base64.b64decode(episode.emulator))
        _ask_for_a_new_game(self.env)
        observation, _ = self.reset(seed=episode.seed)
        resets = set(episode.resets)
        for position, action in enumerate(episode.actions):
            if position in resets:
                observation, _ = self.reset()
            observation = self.step(action)[0]
        if len(episode.actions) in resets:
            observation, _ = self.reset()
        return observation

    def _random_state(self) -> dict[str, Any]:
        return dict(self.env.unwrapped.np_random.bit_generator.state)

    def _ale(self) -> Any:
        return getattr(self.env.unwrapped, "ale", None)

    def _emulator_state(self) -> str | None:
        ale = self._ale()
        return None if ale is None else base64.b64encode(ale.cloneSystemState().__getstate__()).decode()

    def _restore_emulator(self, content: bytes) -> None:
        """Without pickle: a checkpoint is read as data."""
        import ale_py

        state = ale_py.ALEState.__new__(ale_py.ALEState)
        state.__setstate__(content)  # type: ignore[arg-type]  # the stub says tuple, the class gives and takes bytes
        self._ale().restoreSystemState(state)


def _ask_for_a_new_game(env: Any) -> None:
    """Make the wrapper that swallows resets after a lost life pass the next one on."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, EpisodicLifeEnv):
            env.was_real_done = True
        env = env.env


def _find_counter(env: Any) -> _ResetCounter:
    while not isinstance(env, _ResetCounter):
        env = env.env
    return env
