"""Wrappers that RL Zoo agents were trained behind, as far as they change what the agent sees or does.

Each reproduces the observation of the wrapper of the same name in Stable-Baselines3, sb3-contrib or the RL Zoo.
"""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium
import numpy as np
import numpy.typing as npt

from policypress_runtime.errors import WrapperError

Array = npt.NDArray[Any]
Step = tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]
Env = gymnasium.Env[Any, Any]
LIFE_LOST = "life_lost"


def _box(space: gymnasium.Space[Any], wrapper: str) -> gymnasium.spaces.Box:
    if not isinstance(space, gymnasium.spaces.Box):
        raise WrapperError(
            f"{wrapper} needs a Box space.", got=str(space), hint="Leave the wrapper out: --wrapper none."
        )
    return space


def _main_box(space: gymnasium.Space[Any], wrapper: str) -> gymnasium.spaces.Box:
    """The vector a wrapper works on: the space itself, or the ``observation`` of a goal environment."""
    if isinstance(space, gymnasium.spaces.Dict):
        if "observation" not in space.spaces:
            raise WrapperError(
                f"{wrapper} needs the key 'observation' in a Dict.", got=f"keys {', '.join(space.spaces)}"
            )
        space = space.spaces["observation"]
    found = _box(space, wrapper)
    if len(found.shape) != 1:
        raise WrapperError(f"{wrapper} needs a vector.", got=f"shape {found.shape}", expected="one axis")
    return found


def _with_main(space: gymnasium.Space[Any], box: gymnasium.spaces.Box) -> gymnasium.Space[Any]:
    if isinstance(space, gymnasium.spaces.Dict):
        return gymnasium.spaces.Dict({**space.spaces, "observation": box})
    return box


class TimeFeatureWrapper(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Appends the share of the episode that is left, 1 at reset and 0 at the time limit.

    Args:
        env: an environment of vectors, or of goals (the feature goes into ``observation``).
        max_steps: length of an episode; the environment's own limit, where it has one, comes first.
        test_mode: hold the feature at 1.

    Source: Pardo et al., Time Limits in Reinforcement Learning (arXiv:1712.00378).
    """

    def __init__(self, env: Env, max_steps: int = 1000, test_mode: bool = False) -> None:
        super().__init__(env)
        box = _main_box(env.observation_space, "TimeFeatureWrapper")
        self._dtype = box.dtype
        low, high = np.append(box.low, 0.0).astype(box.dtype), np.append(box.high, 1.0).astype(box.dtype)
        extended = gymnasium.spaces.Box(low, high, dtype=box.dtype.type)
        self.observation_space = _with_main(env.observation_space, extended)
        limit = env.spec.max_episode_steps if env.spec is not None else None
        self._max_steps = limit or max_steps
        self._test_mode = test_mode
        self._elapsed = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; all of its time is left."""
        self._elapsed = 0
        observation, info = self.env.reset(seed=seed, options=options)
        return self._extended(observation), info

    def step(self, action: Any) -> Step:
        """One step; the feature falls by ``1 / max_steps``."""
        self._elapsed += 1
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._extended(observation), reward, terminated, truncated, info

    def _extended(self, observation: Any) -> Any:
        left = 1.0 if self._test_mode else 1.0 - self._elapsed / self._max_steps
        feature = np.array(left, dtype=self._dtype)
        if isinstance(observation, dict):
            return {**observation, "observation": np.append(observation["observation"], feature)}
        return np.append(observation, feature)


class FrameStack(gymnasium.Wrapper[Any, Any, Any, Any]):
    """The last ``n_stack`` observations side by side, zeros before the first (the RL Zoo's ``frame_stack``).

    They are joined on the channel axis of images (the first if it is the smallest, else the last) and on the last axis
    of everything else; the newest comes last. A lost life empties the stack, as it did in training.
    """

    def __init__(self, env: Env, n_stack: int) -> None:
        super().__init__(env)
        if n_stack < 1:
            raise WrapperError("frame_stack needs at least one frame.", got=str(n_stack), expected="1, 2, 3, ...")
        self._count = n_stack
        space = env.observation_space
        self._members: dict[str, gymnasium.spaces.Box]
        if isinstance(space, gymnasium.spaces.Dict):
            self._members = {key: _box(member, "frame_stack") for key, member in space.spaces.items()}
        else:
            self._members = {"": _box(space, "frame_stack")}
        self._axes = {key: _stacking_axis(box) for key, box in self._members.items()}
        self._stacks: dict[str, Array] = {}
        stacked = {key: self._stacked_space(key) for key in self._members}
        self.observation_space = stacked[""] if "" in stacked else gymnasium.spaces.Dict(dict(stacked))

    def _stacked_space(self, key: str) -> gymnasium.spaces.Box:
        box, axis = self._members[key], self._axes[key]
        low, high = (np.repeat(bound, self._count, axis=axis) for bound in (box.low, box.high))
        return gymnasium.spaces.Box(low, high, dtype=box.dtype.type)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode with an empty stack."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._stacks.clear()
        return self._pushed(observation), info

    def step(self, action: Any) -> Step:
        """One step; the oldest frame leaves."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if info.get(LIFE_LOST):
            self._stacks.clear()
        return self._pushed(observation), reward, terminated, truncated, info

    def _pushed(self, observation: Any) -> Any:
        if isinstance(observation, dict):
            return {key: self._push(key, value) for key, value in observation.items()}
        return self._push("", observation)

    def _push(self, key: str, frame: Array) -> Array:
        box, axis = self._members[key], self._axes[key]
        width = frame.shape[axis]
        if key in self._stacks:
            kept = np.take(self._stacks[key], range(width, self._count * width), axis=axis)
        else:
            shape = list(frame.shape)
            shape[axis] = (self._count - 1) * width
            kept = np.zeros(shape, box.dtype)
        self._stacks[key] = np.concatenate((kept, frame), axis=axis)
        return self._stacks[key]


def _stacking_axis(box: gymnasium.spaces.Box) -> int:
    image = len(box.shape) == 3 and box.dtype == np.uint8
    return 0 if image and int(np.argmin(box.shape)) == 0 else -1


class HistoryWrapper(gymnasium.Wrapper[Any, Any, Any, Any]):
    """The last ``horizon`` observations followed by the last ``horizon`` actions, zeros before the first.

    Works on vectors and on the ``observation`` of goal environments (the Zoo's ``HistoryWrapperObsDict``).
    """

    def __init__(self, env: Env, horizon: int = 2) -> None:
        super().__init__(env)
        box = _main_box(env.observation_space, "HistoryWrapper")
        actions = _main_box(env.action_space, "HistoryWrapper")
        low = np.concatenate((np.tile(box.low, horizon), np.tile(actions.low, horizon)))
        high = np.concatenate((np.tile(box.high, horizon), np.tile(actions.high, horizon)))
        extended = gymnasium.spaces.Box(low.astype(box.dtype), high.astype(box.dtype), dtype=box.dtype.type)
        self.observation_space = _with_main(env.observation_space, extended)
        self._observations = np.zeros(horizon * box.shape[0], box.dtype)
        self._actions = np.zeros(horizon * actions.shape[0], actions.dtype)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode without a past."""
        self._observations = np.zeros_like(self._observations)
        self._actions = np.zeros_like(self._actions)
        observation, info = self.env.reset(seed=seed, options=options)
        return self._extended(observation), info

    def step(self, action: Any) -> Step:
        """One step; observation and action enter the history."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        taken = np.asarray(action, self._actions.dtype).reshape(-1)
        self._actions = np.concatenate((self._actions[taken.size :], taken))
        return self._extended(observation), reward, terminated, truncated, info

    def _extended(self, observation: Any) -> Any:
        main = observation["observation"] if isinstance(observation, dict) else observation
        self._observations = np.concatenate((self._observations[main.size :], main), dtype=self._observations.dtype)
        history = np.concatenate((self._observations, self._actions))
        return {**observation, "observation": history} if isinstance(observation, dict) else history


class MaskVelocityWrapper(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Sets the velocities among the observations to zero, for the few environments where the Zoo knows them."""

    indices: dict[str, tuple[int, ...]] = {  # noqa: RUF012 - a table that nobody writes
        "CartPole": (1, 3),
        "MountainCar": (1,),
        "MountainCarContinuous": (1,),
        "Pendulum": (2,),
        "LunarLander": (2, 3, 5),
        "LunarLanderContinuous": (2, 3, 5),
    }

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        name = env.spec.name if env.spec is not None else None
        if name not in self.indices:
            raise WrapperError(
                "MaskVelocityWrapper does not support this environment.",
                got=str(name),
                expected=", ".join(self.indices),
            )
        box = _main_box(env.observation_space, "MaskVelocityWrapper")
        self._mask = np.ones(box.shape, box.dtype)
        self._mask[list(self.indices[name])] = 0

    def observation(self, observation: Array) -> Array:
        """The observation without velocities."""
        masked: Array = observation * self._mask
        return masked


class FrameSkip(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Repeats every action ``skip`` times and sums the rewards."""

    def __init__(self, env: Env, skip: int = 4) -> None:
        super().__init__(env)
        if skip < 1:
            raise WrapperError("FrameSkip repeats at least once.", got=str(skip), expected="1, 2, 3, ...")
        self._skip = skip

    def step(self, action: Any) -> Step:
        """``skip`` steps, fewer if the episode ends."""
        total = 0.0
        for _ in range(self._skip):
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        return observation, total, terminated, truncated, info


class ActionSmoothingWrapper(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Passes on the exponential moving average of the actions, from zero at reset."""

    def __init__(self, env: Env, smoothing_coef: float = 0.0) -> None:
        super().__init__(env)
        _box(env.action_space, "ActionSmoothingWrapper")
        self._coefficient = smoothing_coef
        self._average: Any = 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode with a zero average."""
        self._average = 0.0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> Step:
        """One step with the averaged action."""
        self._average = self._coefficient * self._average + (1 - self._coefficient) * action
        return self.env.step(self._average)
