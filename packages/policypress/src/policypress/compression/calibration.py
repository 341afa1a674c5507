"""Statistics of a policy's values on calibration observations, in chunks, so that images fit in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from policypress import seeding
from policypress.compression.step import Observations
from policypress.policy.policy import Policy
from policypress_runtime.contract import Box, DictSpace, Space

CHUNK_ROWS = 256
# Of a feature's standard deviation. At 0.1 and 0.3 pruning costs SAC HalfCheetah less than without (docs/recipes.md).
NOISE = 0.1
# Names of features in one notice.
SHOWN_FEATURES = 8


def chunks(observations: Observations, rows: int = CHUNK_ROWS) -> Iterator[Tensor | dict[str, Tensor]]:
    """Consecutive batches of at most ``rows`` observations as tensors."""
    if isinstance(observations, Mapping):
        length = len(next(iter(observations.values())))
        for start in range(0, length, rows):
            yield {k: torch.from_numpy(np.ascontiguousarray(v[start : start + rows])) for k, v in observations.items()}
    else:
        for start in range(0, len(observations), rows):
            yield torch.from_numpy(np.ascontiguousarray(observations[start : start + rows]))


def row_count(observations: Observations) -> int:
    """How many observations there are."""
    return len(next(iter(observations.values())) if isinstance(observations, Mapping) else observations)


def spread_rows(observations: Observations, count: int) -> Observations:
    """``count`` observations spread evenly over all of them, or all where there are no more."""
    size = row_count(observations)
    chosen = np.unique(np.linspace(0, size - 1, min(count, size)).astype(np.int64))
    if isinstance(observations, Mapping):
        return {key: value[chosen] for key, value in observations.items()}
    return observations[chosen]


def with_neighbours(observations: Observations, seed: int, still: Collection[str] = ()) -> Observations:
    """The observations, and each of them once more with Gaussian noise of :data:`NOISE` of its feature's deviation.

    A policy that acts almost like the fp32 one soon meets observations that are almost those of the fp32 one,
    whose answer is known there too. Features stay between the extremes that were seen; integers, and with them
    images, are repeated as they are. Where nothing is real, nothing is added. The keys ``still`` are repeated too:
    those of states, which nobody observes with noise.
    """
    rng = seeding.generator(seed, "neighbours")
    if not isinstance(observations, Mapping):
        return np.concatenate([observations, _noisy(observations, rng)]) if _is_real(observations) else observations
    if not any(_is_real(part) for part in observations.values()):
        return observations
    return {
        key: np.concatenate([part, part if key in still else _noisy(part, rng)]) for key, part in observations.items()
    }


def _is_real(part: npt.NDArray[Any]) -> bool:
    return bool(np.issubdtype(part.dtype, np.floating))


def _noisy(part: npt.NDArray[Any], rng: np.random.Generator) -> npt.NDArray[Any]:
    if not _is_real(part):
        return part
    moved = part + NOISE * part.std(0) * rng.standard_normal(part.shape)
    within: npt.NDArray[Any] = np.clip(moved, part.min(0), part.max(0)).astype(part.dtype)
    return within


def channel_peaks(policy: Policy, observations: Observations) -> dict[str, Tensor]:
    """Largest magnitude per channel (axis 1) of what every weighted layer reads, by value name."""
    wanted = {policy.node(name).inputs[0] for name, _ in policy.weighted_layers()}
    peaks: dict[str, Tensor] = {}
    with torch.no_grad():
        for batch in chunks(observations):
            values = policy.run(batch)
            for name in wanted:
                magnitude = values[name].abs()
                peak = magnitude.amax(dim=[d for d in range(magnitude.dim()) if d != 1])
                peaks[name] = torch.maximum(peaks[name], peak) if name in peaks else peak
    return peaks


def ranges(policy: Policy, observations: Observations) -> dict[str, tuple[float, float]]:
    """Smallest and largest element of what every weighted layer reads, by value name (min-max calibration)."""
    wanted = {policy.node(name).inputs[0] for name, _ in policy.weighted_layers()}
    seen: dict[str, tuple[float, float]] = {}
    with torch.no_grad():
        for batch in chunks(observations):
            values = policy.run(batch)
            for name in wanted:
                low, high = float(values[name].min()), float(values[name].max())
                before = seen.get(name, (low, high))
                seen[name] = (min(low, before[0]), max(high, before[1]))
    return seen


def constant_features(space: Space, observations: Observations) -> tuple[str, ...]:
    """Features that are the same in every observation although ``space`` lets them move: ``3``, or ``key[3]``.

    Numbers alone: pixels of images lie beside each other in one known range, and of choices each is as good as another.
    """
    parts = space.spaces if isinstance(space, DictSpace) else (("", space),)
    found: list[str] = []
    for key, part in parts:
        if not isinstance(part, Box) or np.issubdtype(np.dtype(part.dtype), np.integer) or len(part.shape) > 2:
            continue
        values = np.asarray(observations[key] if isinstance(observations, Mapping) else observations)
        if len(values) < 2:
            continue
        low, high = (bound.reshape(-1) for bound in part.bounds())
        rows = values.reshape(len(values), -1)
        still = (rows.min(0) == rows.max(0)) & (low < high)
        found += [f"{key}[{index}]" if key else str(index) for index in np.flatnonzero(still)]
    return tuple(found)


def constant_features_notice(features: Sequence[str]) -> str:
    """The notice about :func:`constant_features`."""
    shown = ", ".join(features[:SHOWN_FEATURES])
    more = f" and {len(features) - SHOWN_FEATURES} more" if len(features) > SHOWN_FEATURES else ""
    names, they = ("feature", "it") if len(features) == 1 else ("features", "they")
    them = they.replace("they", "them")
    return (
        f"Observation {names} {shown}{more} never changed in the calibration data, though the space lets {them}: "
        f"the quantization range is a guess. If {they} can change in use, calibrate on observations that show it."
    )
