"""A replay buffer that stores observations in float32, as the networks read them, and samples with five gathers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize


class LeanReplayBuffer(ReplayBuffer):
    """The library's buffer, for Box observations that are not normalised after sampling.

    MuJoCo's observations are float64 and every network reads float32, so that rounding when they are stored gives the
    same numbers in half the memory. Transitions are drawn with the library's random numbers.
    """

    def __init__(self, buffer_size: int, observation_space: spaces.Space[Any], *arguments: Any, **more: Any) -> None:
        super().__init__(buffer_size, observation_space, *arguments, **more)
        if self.observations.dtype == np.float64:
            self.observations = np.zeros(self.observations.shape, np.float32)
            self.next_observations = np.zeros(self.next_observations.shape, np.float32)
        self._rows: dict[str, torch.Tensor] = {}

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> ReplayBufferSamples:
        """Sample transitions uniformly, with replacement."""
        if env is not None:
            return super().sample(batch_size, env)
        if not self._rows:
            self._rows = self._views()
        index = torch.from_numpy(self.indices(batch_size))
        drawn = {name: view.index_select(0, index) for name, view in self._rows.items()}
        done = drawn["dones"] * (1 - drawn["timeouts"])
        found = (drawn["observations"], drawn["actions"], drawn["next_observations"], done, drawn["rewards"])
        return ReplayBufferSamples(*(tensor.to(self.device) for tensor in found))

    def indices(self, batch_size: int) -> npt.NDArray[np.int64]:
        """Sampled indices into rows × environments, from the library's random numbers."""
        upper = self.buffer_size if self.full else self.pos
        rows = np.random.randint(0, upper, size=batch_size)
        columns = np.random.randint(0, high=self.n_envs, size=(batch_size,))
        return rows * self.n_envs + columns

    def _views(self) -> dict[str, torch.Tensor]:
        """The arrays as tensors that share their memory, (rows × environments, …)."""
        names = ("observations", "actions", "next_observations", "rewards", "dones", "timeouts")
        arrays = {name: getattr(self, name) for name in names}
        flat = {name: array.reshape(-1, *array.shape[2:]) for name, array in arrays.items()}
        return {name: torch.from_numpy(array if array.ndim > 1 else array[:, None]) for name, array in flat.items()}

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_rows": {}}
