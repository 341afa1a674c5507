"""Extreme finite observations of a space, to check that a policy and its artifact agree there too."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt

from policypress.environments.batches import Array, ObservationBatch, choice_range, size_of, take
from policypress.environments.memory.remembering import with_states, without_states
from policypress_runtime.contract import Box, DictSpace, Discrete, MultiBinary, MultiDiscrete, Space
from policypress_runtime.errors import ObservationError

_FAR = 1e6  # stands for infinity: far beyond it float32 networks overflow, and nothing is learned
_STRETCH = 10.0


def extremes(space: Space, visited: ObservationBatch, count: int, rng: np.random.Generator) -> ObservationBatch:
    """``count`` observations at the edges of a space; the first are all low, all high and zero.

    A third are edges everywhere, drawn per component; a third are visited observations with one component at an edge;
    a third are visited observations with about half of their components there. Edges are the bounds where they are
    finite (below 1e6), else ±10 times the largest visited magnitude and ±1e6. Images get 0, 255 and noise.
    Floats are rounded to float32, whatever the dtype of the space. States of a memory stay as they were visited: no
    other can be told to be one that is ever reached.

    Args:
        space: of the observations.
        visited: observations of this space, at least one.
        count: how many.
        rng: decides the draws.
    """
    if size_of(visited) == 0:
        raise ObservationError("There are no visited observations.", got="0", expected="at least 1")
    base = take(visited, rng.integers(size_of(visited), size=count))
    own, states = without_states(base, space)
    edged = _edged(space, without_states(visited, space)[0], own, rng)
    return cast(ObservationBatch, with_states(edged, states)) if states else edged


def _edged(
    space: Space, visited: ObservationBatch, base: ObservationBatch, rng: np.random.Generator
) -> ObservationBatch:
    if isinstance(space, DictSpace):
        if not isinstance(base, dict) or not isinstance(visited, dict):
            raise ObservationError("Observations of a Dict space come as a dict of arrays.", got=type(visited).__name__)
        return {key: _single(member, visited[key], base[key], rng) for key, member in space.spaces}
    if isinstance(base, dict) or isinstance(visited, dict):
        raise ObservationError("A dict of arrays does not fit this space.", got=str(space))
    return _single(space, visited, base, rng)


def draw(space: Space, count: int, rng: np.random.Generator) -> ObservationBatch:
    """``count`` observations drawn from a space itself: uniform between finite bounds, else standard normal."""
    if isinstance(space, DictSpace):
        drawn = {key: draw(member, count, rng) for key, member in space.spaces}
        return {key: value for key, value in drawn.items() if not isinstance(value, dict)}
    match space:
        case Box():
            return _drawn_box(space, count, rng)
        case Discrete():
            return rng.integers(space.start, space.start + space.n, size=count)
        case MultiDiscrete():
            return rng.integers(0, space.nvec, size=(count, len(space.nvec)))
        case MultiBinary():
            return rng.integers(0, 2, size=(count, space.n)).astype(np.int8)


def _drawn_box(space: Box, count: int, rng: np.random.Generator) -> Array:
    low, high = space.bounds()
    shape = (count, *space.shape)
    if np.issubdtype(np.dtype(space.dtype), np.integer):
        return rng.integers(low.astype(np.int64), high.astype(np.int64), size=shape, endpoint=True).astype(space.dtype)
    bounded = (low >= -_FAR) & (high <= _FAR)
    uniform = rng.uniform(np.where(bounded, low, 0.0), np.where(bounded, high, 1.0), size=shape)
    values = np.where(bounded, uniform, np.clip(rng.standard_normal(shape), low, high))
    return values.astype(np.float32)


def _single(space: Space, visited: Array, base: Array, rng: np.random.Generator) -> Array:
    edges = _edges(space, visited)
    side = rng.integers(2, size=base.shape)
    pair = 2 * rng.integers(len(edges) // 2, size=(len(base), *[1] * (base.ndim - 1)))  # one pair for a whole row
    drawn = np.choose(side + pair, edges)
    rows = np.where(_kept(base, rng), base, drawn)
    middle = np.clip(np.zeros_like(edges[0]), edges[0], edges[1])
    uniform = np.stack((edges[0], edges[1], middle))[: len(rows)]
    rows[: len(uniform)] = uniform
    if np.issubdtype(base.dtype, np.floating):
        rows = rows.astype(np.float32)
    return rows.astype(base.dtype)


def _kept(base: Array, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Which components stay as visited: none, all but one, or about half, by turns."""
    count = len(base)
    flat = base.reshape(count, -1)
    keep = rng.random(flat.shape) < 0.5
    keep[0::3] = False
    keep[1::3] = True
    changed = np.arange(1, count, 3)
    keep[changed, rng.integers(flat.shape[1], size=len(changed))] = False
    return keep.reshape(base.shape)


def _edges(space: Space, visited: Array) -> npt.NDArray[np.float64]:
    """Candidate values per component, shape ``(edges, *shape)``: pairs of a low and a high, the widest first."""
    return _box_edges(space, visited) if isinstance(space, Box) else np.stack(choice_range(space)).astype(np.float64)


def _box_edges(space: Box, visited: Array) -> npt.NDArray[np.float64]:
    low, high = space.bounds()
    bounded_below, bounded_above = low >= -_FAR, high <= _FAR
    if bool(np.all(bounded_below & bounded_above)):
        return np.stack((low, high))
    reach = _STRETCH * np.abs(visited.astype(np.float64)).max(axis=0)
    reach[reach == 0] = 1.0
    return np.stack(
        (
            np.where(bounded_below, low, -_FAR),
            np.where(bounded_above, high, _FAR),
            np.where(bounded_below, low, -np.minimum(reach, _FAR)),
            np.where(bounded_above, high, np.minimum(reach, _FAR)),
        )
    )
