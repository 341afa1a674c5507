"""Statistics in the shape that the network reads: channels first for images, repeated for stacked frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from policypress.agents.bundle import Normaliser
from policypress.agents.normalisers.vecnormalize import Statistics
from policypress_runtime.contract import Box, DictSpace, Space

# As many frames as a stack is looked for; more than that is another observation.
MOST_FRAMES = 16
Array = npt.NDArray[np.float64]
Stack = Callable[[Array, int, int], Array]


@dataclass(frozen=True)
class Fitted:
    """Statistics that fit an agent.

    Args:
        normalisers: by observation key (``""`` for a single tensor), in the shapes of the network.
        frames: how many stacked frames they were repeated for; 1 without a stack.
    """

    normalisers: Mapping[str, Normaliser]
    frames: int = 1


def fitted(statistics: Statistics, space: Space, frames: int | None = None) -> Fitted | str:
    """The statistics as ``space`` needs them, or in words why they do not fit.

    Args:
        statistics: in the shapes of the environment.
        space: the agent's observations, images channel-first.
        frames: stacked after normalisation, where it is known; else the sizes decide.
    """
    stacks = range(1, MOST_FRAMES + 1) if frames is None else sorted({1, frames})
    for count in stacks:
        found = _with_frames(statistics, space, count)
        if found is not None:
            return Fitted(found, count)
    return _misfit(statistics, space)


def _with_frames(statistics: Statistics, space: Space, frames: int) -> dict[str, Normaliser] | None:
    found: dict[str, Normaliser] = {}
    for key, item in statistics.normalisers.items():
        part = _part(space, key)
        repeated = None if part is None else _arranged(item, part, frames)
        if part is None or repeated is None or not _bounds_agree(statistics, key, part, frames):
            return None
        found[key] = repeated
    return found


def _part(space: Space, key: str) -> Box | None:
    part = dict(space.spaces).get(key) if isinstance(space, DictSpace) else (space if key == "" else None)
    return part if isinstance(part, Box) else None


def _arranged(item: Normaliser, part: Box, frames: int) -> Normaliser | None:
    """``item`` in the shape of ``part``; None where no arrangement has it, or several that differ do."""
    fitting = [
        replace(item, mean=arranged(item.mean), variance=arranged(item.variance))
        for arranged in _arrangements(frames)
        if item.mean.ndim > 0 and arranged(item.mean).shape == part.shape
    ]
    if not fitting:
        return None
    first = fitting[0]
    # Of a cube's axes any may be the channels; without a stack the order is the environment's own.
    alike = all(np.array_equal(f.mean, first.mean) and np.array_equal(f.variance, first.variance) for f in fitting)
    return first if alike or frames == 1 else None


def _frame_by_frame(array: Array, frames: int, axis: int) -> Array:
    return np.concatenate([array] * frames, axis=axis)


def _arrangements(frames: int, stack: Stack = _frame_by_frame) -> Iterator[Callable[[Array], Array]]:
    def channels_first(array: Array) -> Array:
        return np.moveaxis(array, -1, 0) if array.ndim == 3 else array

    if frames == 1:
        yield lambda array: array
        yield channels_first
    else:
        yield lambda array: stack(array, frames, -1)
        yield lambda array: channels_first(stack(array, frames, -1))
        yield lambda array: stack(array, frames, 0)


def _bounds_agree(statistics: Statistics, key: str, part: Box, frames: int) -> bool:
    """Whether bounds that the statistics' file states are those of each frame of the agent's stack.

    Without a stack they do not count: wrappers and other versions of an environment state others. Stable-Baselines3
    states a stack's bounds element by element (``numpy.repeat``), although it stacks frame by frame.
    """
    stated = statistics.bounds.get(key)
    if frames == 1 or stated is None:
        return True
    for own, agents in zip(stated, part.bounds(), strict=True):
        arranged = [f(own) for stack in (_frame_by_frame, np.repeat) for f in _arrangements(frames, stack)]
        if not any(_equal(bound, agents) for bound in arranged):
            return False
    return True


def _equal(one: Array, other: Array) -> bool:
    return one.shape == other.shape and np.array_equal(one.astype(np.float32), other.astype(np.float32))


def _misfit(statistics: Statistics, space: Space) -> str:
    shapes = ", ".join(
        f"{f'{key!r}: ' if key else ''}statistics of shape {item.mean.shape}"
        for key, item in statistics.normalisers.items()
    )
    return f"{shapes} for observations of {_shapes(space)}"


def _shapes(space: Space) -> str:
    if isinstance(space, DictSpace):
        return ", ".join(f"{key!r}: {_shapes(part)}" for key, part in space.spaces)
    return f"shape {space.shape}" if isinstance(space, Box) else f"no shape ({type(space).__name__})"
