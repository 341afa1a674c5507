"""Observations to calibrate and check a policy on: visited in an environment, recorded by the user, or extreme.

The one module to import for observations; what batches are is in ``batches.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from policypress import seeding
from policypress.agents import array_file
from policypress.environments.batches import (
    Array,
    ObservationBatch,
    check_finite,
    choice_range,
    dtype_of,
    held_out_split,
    joined,
    shape_of,
    single,
    size_of,
    stack,
    take,
)
from policypress.environments.extremes import extremes
from policypress.environments.memory.remembering import Met
from policypress.environments.rollout import Actor, Observation, run_episode
from policypress.environments.spaces import from_gymnasium
from policypress.environments.wrappers.faults import opened
from policypress.environments.wrappers.observation import Env
from policypress_runtime.contract import Box, DictSpace, Space
from policypress_runtime.errors import ObservationError

__all__ = [
    "ObservationBatch",
    "RecordedObservations",
    "extremes",
    "held_out_split",
    "joined",
    "single",
    "size_of",
    "take",
    "visited",
]

_RECORDED_NAME = "observations"
STARTS = "episode_starts"
"""Name of the array that says, row by row, where a log's episodes begin; of use to policies with memory."""
_SHORTEST_LIMIT = 1000


def visited(
    factory: Callable[[], Env],
    act: Actor,
    *,
    count: int,
    seed: int,
    purpose: str,
    episodes: int = 5,
    max_steps: int | None = None,
) -> ObservationBatch:
    """``count`` observations that ``act`` meets, drawn evenly from whole episodes, in the order of the visit.

    Episodes are played until at least ``episodes`` are done and at least ``count`` observations were met. The draw
    (reservoir sampling, Vitter 1985) keeps ``count`` observations in memory and no more.

    Args:
        factory: makes the environment; it is closed afterwards.
        act: anything that acts.
        count: how many observations.
        seed: the user's seed.
        purpose: name of the random stream, so that no two uses see the same episodes.
        episodes: least number of episodes.
        max_steps: longest episode; by default 1000, or more where ``count`` needs it.

    Raises:
        ObservationError: the environment gave a value that is not finite.
    """
    limit = max_steps or max(_SHORTEST_LIMIT, math.ceil(count / episodes))
    reservoir = _Reservoir(count, seeding.generator(seed, "observations", purpose))
    with opened(factory) as env:
        for done, episode_seed in enumerate(_endless_seeds(seed, f"observations/{purpose}")):
            if done >= episodes and reservoir.met >= count:
                break
            run_episode(env, act, episode_seed, limit, reservoir.offer)
        batch = stack(reservoir.in_order(), from_gymnasium(env.observation_space))
    check_finite(batch, "The environment gave an observation")
    return batch


def _endless_seeds(seed: int, purpose: str) -> Iterator[int]:
    """Seeds of the named stream, drawn in blocks that double: a longer list starts with the shorter one."""
    known: tuple[int, ...] = ()
    while True:
        longer = seeding.episode_seeds(seed, purpose, 2 * len(known) or 16)
        yield from longer[len(known) :]
        known = longer


class _Reservoir:
    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self._size = size
        self._rng = rng
        self._kept: list[tuple[int, Observation]] = []
        self.met = 0

    def offer(self, observation: Observation) -> None:
        place = self.met if self.met < self._size else int(self._rng.integers(self.met + 1))
        if place < self._size:
            entry = (self.met, _copied(observation))
            if self.met < self._size:
                self._kept.append(entry)
            else:
                self._kept[place] = entry
        self.met += 1

    def in_order(self) -> list[Observation]:
        return [observation for _, observation in sorted(self._kept, key=lambda entry: entry[0])]


def _copied(observation: Observation) -> Observation:
    if isinstance(observation, Met):
        return observation.copy()
    if isinstance(observation, dict):
        return {key: np.array(value) for key, value in observation.items()}
    return np.array(observation)


@dataclass(frozen=True)
class RecordedObservations:
    """Observations that the user logged: ``batch`` of ``space``; where episodes begin in it, if the log says so."""

    batch: ObservationBatch
    space: Space
    starts: Array | None = None

    @staticmethod
    def load(path: Path, space: Space) -> RecordedObservations:
        """Read an ``.npz`` with the array ``observations``, or one array per key of a Dict space.

        Nothing in the file is unpickled. Values are checked against ``space`` and kept in its dtypes.

        Raises:
            ObservationError: unreadable, empty, wrong key, shape or range of integers, or not finite.
        """
        return RecordedObservations.of(read_arrays(path), space, path.name)

    @staticmethod
    def of(arrays: Mapping[str, Array], space: Space, label: str) -> RecordedObservations:
        """The observations among ``arrays``, which came from a file called ``label``; as :meth:`load`."""
        names = [key for key, _ in space.spaces] if isinstance(space, DictSpace) else [_RECORDED_NAME]
        missing = [name for name in names if name not in arrays]
        if missing:
            raise ObservationError(
                "The observations file lacks an array.",
                got=f"{label} with {', '.join(sorted(arrays)) or 'nothing'}",
                expected=f"arrays named {', '.join(names)}",
                hint=f"np.savez('{label}', {', '.join(f'{name}=...' for name in names)})",
            )
        batch: ObservationBatch
        if isinstance(space, DictSpace):
            batch = {key: _fitting(arrays[key], member, key) for key, member in space.spaces}
        else:
            batch = _fitting(arrays[_RECORDED_NAME], space, _RECORDED_NAME)
        lengths = {len(value) for value in batch.values()} if isinstance(batch, dict) else {len(batch)}
        if len(lengths) != 1:
            raise ObservationError(
                "The arrays have different lengths.", got=str(sorted(lengths)), expected="one length"
            )
        check_finite(batch, "The file holds an observation")
        starts = None if STARTS in names else arrays.get(STARTS)
        if starts is not None and starts.shape != (size_of(batch),):
            raise ObservationError(
                f"The array {STARTS} has not one value for each observation.",
                got=f"shape {starts.shape}",
                expected=f"({size_of(batch)},)",
            )
        return RecordedObservations(batch, space, None if starts is None else starts.astype(np.bool_))

    def sample(self, count: int, seed: int, purpose: str) -> ObservationBatch:
        """At most ``count`` of them, drawn without repetition under a named stream, in recorded order."""
        size = size_of(self.batch)
        rng = seeding.generator(seed, "observations", purpose)
        return take(self.batch, np.sort(rng.permutation(size)[:count]))


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of an ``.npz`` by name; a single ``.npy`` is called ``observations``. Nothing is unpickled.

    Raises:
        ObservationError: it cannot be read.
    """
    try:
        return array_file.read_arrays(path, _RECORDED_NAME)
    except Exception as error:  # what breaks a limit, and what numpy makes of a damaged header
        raise ObservationError(
            "The observations file cannot be read.",
            got=f"{path}: {type(error).__name__}: {error}",
            expected="an .npz written by numpy.savez, without pickled objects",
        ) from error


def _fitting(array: Array, space: Space, name: str) -> Array:
    shape = shape_of(space)
    if array.shape[1:] != shape or array.ndim != len(shape) + 1:
        raise ObservationError(
            f"The recorded {name} do not fit the policy.",
            got=f"shape {array.shape}",
            expected=f"shape (count, {', '.join(map(str, shape))})",
        )
    if len(array) == 0:
        raise ObservationError(f"The recorded {name} are empty.", got="0 observations", expected="at least 1")
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_):
        raise ObservationError(f"The recorded {name} are not numbers.", got=str(array.dtype), expected=dtype_of(space))
    dtype = np.dtype(dtype_of(space))
    with np.errstate(over="ignore", invalid="ignore"):
        kept = array.astype(dtype, copy=False)  # what overflows becomes infinite, and is refused as such
    if np.issubdtype(dtype, np.integer) and np.any(kept != array):
        raise ObservationError(f"The recorded {name} are not {dtype}.", got=str(array.dtype), expected=str(dtype))
    if not isinstance(space, Box):
        low, high = choice_range(space)
        if np.any((array < low) | (array > high)):
            raise ObservationError(
                f"The recorded {name} are outside their range.",
                got=f"{array.min()}…{array.max()}",
                expected=f"{low}…{high}",
            )
    return kept
