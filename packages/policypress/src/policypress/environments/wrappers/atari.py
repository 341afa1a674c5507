"""The Atari preprocessing of Stable-Baselines3's ``AtariWrapper``, as an agent meets it in evaluation.

In training a lost life ends the episode and the reset presses FIRE. Here the whole game is one episode with its raw
reward, but after a lost life the same steps are taken for the agent: it never learned to restart the game, and would
wait for ever.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from policypress.environments.wrappers.observation import LIFE_LOST, Env, Step
from policypress_runtime.errors import MissingDependencyError, WrapperError

_NOOP, _FIRE, _THIRD = 0, 1, 2


class AtariWrapper(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Random no-ops at reset, frame skip with a maximum over the last two frames, FIRE, 84×84 grey.

    Observations are uint8 of shape ``(screen_size, screen_size, 1)``. Rewards are never clipped.

    Args:
        env: an Atari game without frame skip (``PongNoFrameskip-v4``).
        noop_max: at reset between 1 and this many no-ops are played; 0 for none.
        frame_skip: every action is repeated this many times.
        screen_size: height and width of the observation in pixels.
        terminal_on_life_loss: the agent was trained with episodes that end with a life (the default of training).
        clip_reward: accepted because agents' files name it; the return is measured on raw rewards.
        action_repeat_probability: sticky actions.

    Source: Mnih et al., Human-level control through deep reinforcement learning (2015).
    """

    def __init__(
        self,
        env: Env,
        noop_max: int = 30,
        frame_skip: int = 4,
        screen_size: int = 84,
        terminal_on_life_loss: bool = True,
        clip_reward: bool = True,
        action_repeat_probability: float = 0.0,
    ) -> None:
        if action_repeat_probability > 0.0:
            env = gymnasium.wrappers.StickyAction(env, action_repeat_probability)
        super().__init__(env)
        box = env.observation_space
        meanings: list[str] = getattr(env.unwrapped, "get_action_meanings", list)()
        if not isinstance(box, gymnasium.spaces.Box) or len(box.shape) != 3 or meanings[:1] != ["NOOP"]:
            raise WrapperError(
                "AtariWrapper needs an Atari game with RGB frames.",
                got=str(box),
                expected="an id like PongNoFrameskip-v4",
            )
        if frame_skip < 1:
            raise WrapperError(
                "AtariWrapper needs a frame skip of at least 1.", got=str(frame_skip), expected="1, 2, 3, ..."
            )
        self._fires = "FIRE" in meanings
        self._noop_max = noop_max
        self._skip = frame_skip
        self._size = screen_size
        self._revives = terminal_on_life_loss
        self._frames = np.zeros((2, *box.shape), np.uint8)
        self._lives = 0
        self._cv2 = _cv2()
        self.observation_space = gymnasium.spaces.Box(0, 255, (screen_size, screen_size, 1), np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start a game: reset, random no-ops, and FIRE where the game has it."""
        frame, info = self._start(seed, options)
        if self._fires:
            for action in (_FIRE, _THIRD):
                frame, _, ended, truncated, info, lost = self._life_step(action)
                if ended or truncated:
                    frame, info = self._start(seed, options)
                elif lost:
                    frame, _, _, _, info, _ = self._life_step(_NOOP)
        return self._warped(frame), info

    def step(self, action: Any) -> Step:
        """``frame_skip`` frames; if a life was lost also the steps that bring the game back."""
        frame, total, ended, truncated, info, lost = self._life_step(int(action))
        if lost:
            info = {**info, LIFE_LOST: True}
            for restart in (_NOOP, _FIRE, _THIRD) if self._fires else (_NOOP,):
                if ended or truncated:
                    break
                frame, reward, ended, truncated, _, again = self._life_step(restart)
                total += reward
                if again and not (ended or truncated):
                    frame, reward, ended, truncated, _, _ = self._life_step(_NOOP)
                    total += reward
        return self._warped(frame), total, ended, truncated, info

    def _start(self, seed: int | None, options: dict[str, Any] | None) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
        frame, info = self.env.reset(seed=seed, options=options)
        count = int(self.unwrapped.np_random.integers(1, self._noop_max + 1)) if self._noop_max > 0 else 0
        for _ in range(count):
            frame, _, ended, truncated, info = self.env.step(_NOOP)
            if ended or truncated:
                frame, info = self.env.reset(seed=seed, options=options)
        self._lives = self._lives_left()
        return frame, info

    def _life_step(self, action: int) -> tuple[npt.NDArray[np.uint8], float, bool, bool, dict[str, Any], bool]:
        """Skipped frames of one action, their maximum and summed reward, and whether a life was lost."""
        total, last = 0.0, self._skip - 1
        for index in range(self._skip):
            frame, reward, ended, truncated, info = self.env.step(action)
            total += float(reward)
            if index >= last - 1:
                self._frames[index - last + 1] = frame
            if ended or truncated:
                break
        lives = self._lives_left()
        lost = self._revives and 0 < lives < self._lives
        self._lives = lives
        shown = frame if self._skip == 1 else self._frames.max(axis=0)
        return shown, total, bool(ended), bool(truncated), info, lost

    def _lives_left(self) -> int:
        return int(self.unwrapped.ale.lives())  # type: ignore[attr-defined]  # ale_py environments have it

    def _warped(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        grey = self._cv2.cvtColor(frame, self._cv2.COLOR_RGB2GRAY)
        small = self._cv2.resize(grey, (self._size, self._size), interpolation=self._cv2.INTER_AREA)
        return np.asarray(small, np.uint8)[:, :, None]


def _cv2() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise MissingDependencyError(
            "Atari frames are resized with OpenCV.", got=str(error), hint='pip install "policypress[atari]"'
        ) from error
    return cv2
