"""Batches of observations: one array with the observations along its first axis, or a dict of such arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from policypress.environments.memory.remembering import Met, stacked_states, with_states
from policypress.environments.rollout import Observation
from policypress_runtime.contract import Box, DictSpace, Discrete, MultiBinary, MultiDiscrete, Space
from policypress_runtime.errors import ObservationError

Array = npt.NDArray[Any]
ObservationBatch = Array | dict[str, Array]


def stack(observations: list[Observation], space: Space) -> ObservationBatch:
    """Single observations as a batch, in the dtypes of ``space``; with their states, if they were met with a memory."""
    if isinstance(observations[0], Met):
        own = stack([met.observation for met in observations], space)
        return cast(ObservationBatch, with_states(own, stacked_states(observations)))
    # What overflows becomes infinite, and is refused as such by those who check.
    with np.errstate(over="ignore", invalid="ignore"):
        if isinstance(space, DictSpace):
            return {
                key: np.stack([np.asarray(o[key]) for o in observations]).astype(dtype_of(member), copy=False)
                for key, member in space.spaces
            }
        return np.stack([np.asarray(o) for o in observations]).astype(dtype_of(space), copy=False)


def dtype_of(space: Space) -> str:
    """The dtype in which observations of a space are kept."""
    match space:
        case Box():
            return space.dtype
        case MultiBinary():
            return "int8"
        case _:
            return "int64"


def shape_of(space: Space) -> tuple[int, ...]:
    """The shape of one observation of a space that is no Dict."""
    match space:
        case Box():
            return space.shape
        case MultiDiscrete():
            return (len(space.nvec),)
        case MultiBinary():
            return (space.n,)
        case Discrete():
            return ()
        case DictSpace():
            raise ObservationError("A Dict observation has no single shape.", got=str(space))


def choice_range(space: Space) -> tuple[Array, Array]:
    """Lowest and highest value of each choice, of a space of choices.

    Raises:
        ObservationError: the space holds no choices.
    """
    match space:
        case Discrete():
            return np.array(space.start), np.array(space.start + space.n - 1)
        case MultiDiscrete():
            return np.zeros(len(space.nvec), np.int64), np.array(space.nvec) - 1
        case MultiBinary():
            return np.zeros(space.n, np.int64), np.ones(space.n, np.int64)
        case _:
            raise ObservationError("The space holds no choices.", got=str(space))


def size_of(batch: ObservationBatch) -> int:
    """How many observations a batch holds."""
    return len(next(iter(batch.values())) if isinstance(batch, dict) else batch)


def take(batch: ObservationBatch, index: Sequence[int] | npt.NDArray[np.integer[Any]] | slice) -> ObservationBatch:
    """The observations at ``index``, as a batch."""
    rows = index if isinstance(index, slice) else np.asarray(index, np.int64)
    if isinstance(batch, dict):
        return {key: value[rows] for key, value in batch.items()}
    picked: Array = batch[rows]
    return picked


def single(batch: ObservationBatch, index: int) -> Observation:
    """One observation of a batch."""
    return {key: value[index] for key, value in batch.items()} if isinstance(batch, dict) else batch[index]


def joined(first: ObservationBatch, second: ObservationBatch) -> ObservationBatch:
    """Both batches, one after the other."""
    if isinstance(first, dict) and isinstance(second, dict):
        return {key: np.concatenate((value, second[key])) for key, value in first.items()}
    if isinstance(first, dict) or isinstance(second, dict):
        raise ObservationError("A dict of arrays and a single array cannot be joined.")
    return np.concatenate((first, second))


def held_out_split(
    batch: ObservationBatch, share: float, rng: np.random.Generator
) -> tuple[ObservationBatch, ObservationBatch]:
    """Two disjoint parts: the larger to work on, and ``share`` (at least one observation) held out.

    Raises:
        ObservationError: fewer than two observations.
    """
    count = size_of(batch)
    if count < 2:
        raise ObservationError("Too few observations to hold some out.", got=str(count), expected="at least 2")
    held = min(max(round(count * share), 1), count - 1)
    order = rng.permutation(count)
    return take(batch, np.sort(order[held:])), take(batch, np.sort(order[:held]))


def check_finite(batch: ObservationBatch, what: str) -> None:
    """Raise if a batch holds NaN or infinity.

    Raises:
        ObservationError: names the first offending row.
    """
    for key, value in batch.items() if isinstance(batch, dict) else [("", batch)]:
        if np.issubdtype(value.dtype, np.inexact):
            finite = np.isfinite(value).reshape(len(value), -1).all(axis=1)
            if not finite.all():
                where = f"row {int(np.argmin(finite))}" + (f" of {key!r}" if key else "")
                raise ObservationError(f"{what} that is not finite.", got=where, expected="finite numbers")
