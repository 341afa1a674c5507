"""What reality does to a policy: noisy sensors, late actions, other masses and frictions than in training."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from policypress.environments.wrappers.observation import Env, Step
from policypress.seeding import generator
from policypress_runtime.errors import WrapperError

_PIXELS = 255.0


class ObservationNoise(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Adds Gaussian noise to every observation, kept within the space's bounds; the noise follows from the seed.

    Args:
        env: an environment whose observations are a Box.
        level: the noise's standard deviation, as a share of ``scale``.
        scale: one number per dimension, flat, for example the standard deviation that the dimension has on the
            agent's own episodes; for images 255 everywhere.
    """

    def __init__(self, env: Env, level: float, scale: Sequence[float] | None = None) -> None:
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, gymnasium.spaces.Box):
            raise WrapperError("ObservationNoise needs a Box.", got=str(space), expected="vectors or images")
        image = space.dtype == np.uint8
        if scale is None and not image:
            raise WrapperError("ObservationNoise needs the scale of each dimension.", got="none", expected="numbers")
        sizes = np.full(space.shape, _PIXELS) if scale is None else np.asarray(scale, np.float64)
        if sizes.size != int(np.prod(space.shape)) or not np.isfinite(sizes).all() or (sizes < 0).any() or level < 0:
            raise WrapperError(
                "The scale of the noise does not fit the observation.",
                got=f"level {level:g} and {sizes.size} numbers",
                expected=f"{int(np.prod(space.shape))} numbers, none negative",
            )
        self._deviation = level * sizes.reshape(space.shape)
        self._space = space
        self._integer = np.issubdtype(space.dtype, np.integer)
        self._rng = generator(0, "observation noise")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; with a seed its noise is always the same."""
        if seed is not None:
            self._rng = generator(seed, "observation noise")
        observation, info = self.env.reset(seed=seed, options=options)
        return self._noisy(observation), info

    def step(self, action: Any) -> Step:
        """One step, seen through noise."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._noisy(observation), reward, terminated, truncated, info

    def _noisy(self, observation: Any) -> Any:
        noisy = np.asarray(observation, np.float64) + self._deviation * self._rng.standard_normal(self._space.shape)
        kept = np.clip(np.rint(noisy) if self._integer else noisy, self._space.low, self._space.high)
        return kept.astype(self._space.dtype)


class ActionDelay(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Carries out every action ``steps`` steps late; until then the first one is repeated."""

    def __init__(self, env: Env, steps: int = 1) -> None:
        super().__init__(env)
        if steps < 1:
            raise WrapperError("ActionDelay needs a delay of at least 1 step.", got=str(steps), expected="1, 2, 3, ...")
        self._steps = steps
        self._waiting: deque[Any] = deque()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode without pending actions."""
        self._waiting.clear()
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> Step:
        """One step with the action of ``steps`` steps ago."""
        taken = np.array(action) if isinstance(action, np.ndarray) else action
        self._waiting.extend([taken] * (self._steps + 1 if not self._waiting else 1))
        return self.env.step(self._waiting.popleft())


class PhysicsScale(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Multiplies all masses (with their inertias) and all contact frictions of a MuJoCo model."""

    def __init__(self, env: Env, mass: float = 1.0, friction: float = 1.0) -> None:
        super().__init__(env)
        model, data = (getattr(env.unwrapped, name, None) for name in ("model", "data"))
        if not (hasattr(model, "body_mass") and hasattr(model, "geom_friction")) or model is None or data is None:
            raise WrapperError("PhysicsScale needs a MuJoCo model.", got=str(env), expected="a MuJoCo environment")
        if not (mass > 0 and friction > 0):
            raise WrapperError(
                "A scale must be positive.", got=f"mass {mass:g}, friction {friction:g}", expected="above 0"
            )
        import mujoco

        model.body_mass[:] *= mass
        model.body_inertia[:] *= mass
        model.geom_friction[:] *= friction
        mujoco.mj_setConst(model, data)
