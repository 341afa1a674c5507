"""One of the environments that a simulator steps together, as an environment of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import VectorEnv

from policypress.environments.wrappers.observation import Step

Array = npt.NDArray[Any]
_FINAL = "final_info"


def as_array(values: Any) -> Array:
    """Numbers of a simulator as an array of numpy's, wherever they lie: arrays of JAX, or tensors on a GPU."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values)


def row_of(observations: Any, index: int) -> Any:
    """One observation of a batch."""
    if isinstance(observations, dict):
        return {key: as_array(value)[index] for key, value in observations.items()}
    return as_array(observations)[index]


def info_of_all(infos: Any, key: str, done: Array) -> tuple[Array, Array]:
    """Which environments say ``key`` in their ``info``, and whether it is true.

    Of an episode that has ended, where the next one has begun with the same step, it stands in ``final_info``.
    """
    there, values = np.zeros(len(done), bool), np.zeros(len(done), bool)
    final = infos.get(_FINAL) if isinstance(infos, Mapping) else None
    for source, lanes in ((infos, ~done if isinstance(final, Mapping) else np.ones_like(done)), (final, done)):
        if not isinstance(source, Mapping):
            continue
        # Other parts of info are nobody's marks, and may have any form.
        found = as_array(source[key]) if hasattr(source.get(key), "shape") else np.zeros(0)
        if found.shape == done.shape:
            said = lanes & as_array(source.get(f"_{key}", np.ones_like(done))).astype(bool)
            there |= said
            values[said] = found[said].astype(bool)
    return there, values


class OneOfMany(gymnasium.Env[Any, Any]):
    """The first environment of ``vector``, in which the others do the same; whatever acts in one acts in it.

    Episodes for which returns count are played in all of them at once, by ``environments/side_by_side.py``.

    Args:
        vector: the simulator.
        stays_open: closing this closes nothing: the simulator is the user's.
    """

    def __init__(self, vector: VectorEnv[Any, Any, Any], *, stays_open: bool = False) -> None:
        self.vector = vector
        self.observation_space = vector.single_observation_space
        self.action_space = vector.single_action_space
        self.spec = _spec_of(vector)
        self._stays_open = stays_open
        self._seeds_each: bool | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start all of them anew, and show the first."""
        super().reset(seed=seed)
        observations = self.reset_all([seed]) if seed is not None else self.vector.reset(options=options)[0]
        return row_of(observations, 0), {}

    def reset_all(self, seeds: Sequence[int]) -> Any:
        """Start all of them anew, one on each of ``seeds`` as far as they go.

        A simulator that takes one seed for all gets the first; what its i-th environment does then follows from that.

        Returns:
            The observations, as the simulator gives them.
        """
        count = self.vector.num_envs
        if self._seeds_each is not False:
            try:
                each: Any = [seeds[i % len(seeds)] for i in range(count)]
                found = self.vector.reset(seed=each)
            except Exception:
                if self._seeds_each is True:
                    raise
                self._seeds_each = False
            else:
                self._seeds_each = True
                return found[0]
        return self.vector.reset(seed=seeds[0])[0]

    def step(self, action: Any) -> Step:
        """Do the same in all of them, and show the first."""
        batch = np.stack([np.asarray(action)] * self.vector.num_envs)
        observations, rewards, terminated, truncated, infos = self.vector.step(batch)
        ends = as_array(terminated).astype(bool), as_array(truncated).astype(bool)
        told = {}
        for key in {*infos, *(infos.get(_FINAL) or {})} - {_FINAL}:
            there, values = info_of_all(infos, key, ends[0] | ends[1])
            if there[0]:
                told[key] = bool(values[0])
        return row_of(observations, 0), float(as_array(rewards)[0]), bool(ends[0][0]), bool(ends[1][0]), told

    def close(self) -> None:
        """Close the simulator, unless it is the user's."""
        if not self._stays_open:
            self.vector.close()


def _spec_of(vector: VectorEnv[Any, Any, Any]) -> Any:
    """What is known of one of the environments: its limit, above all."""
    inner = getattr(vector.unwrapped, "envs", None)
    return vector.spec or (getattr(inner[0], "spec", None) if inner else None)


class LiveSimulator:
    """Gives a simulator that is there, in place of making one: it is the user's, and stays open.

    Args:
        vector: the simulator.
    """

    def __init__(self, vector: VectorEnv[Any, Any, Any]) -> None:
        self._vector = vector
        spec = _spec_of(vector)
        self.__qualname__ = str(getattr(spec, "id", type(vector.unwrapped).__name__))
        self.__module__ = type(vector.unwrapped).__module__

    def __call__(self) -> OneOfMany:
        """The simulator, as one environment."""
        return OneOfMany(self._vector, stays_open=True)

    def __reduce__(self) -> Any:
        """Refuse: no other process can be given it."""
        raise TypeError("a simulator that is running cannot be sent to another process")


def as_one(made: Any) -> Any:
    """What a factory made, as one environment."""
    return OneOfMany(made) if isinstance(made, VectorEnv) else made


def as_factory(env: Any) -> Any:
    """A factory of ``env`` where that is a simulator that is there; else ``env``."""
    return LiveSimulator(env) if isinstance(env, VectorEnv) else env
