"""VecNormalize statistics from the pickle that Stable-Baselines3 writes, through the allow-list unpickler."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from policypress.agents.bundle import Normaliser
from policypress.agents.pickles.inert import Record, array_of, read_pickle
from policypress_runtime.errors import DamagedAgentError
from policypress_runtime.reading_limits import shown

_VEC_NORMALIZE = "stable_baselines3.common.vec_env.vec_normalize.VecNormalize"
_RUNNING_MEAN_STD = "stable_baselines3.common.running_mean_std.RunningMeanStd"


@dataclass(frozen=True)
class Moments:
    """Running statistics: mean and variance, float64, of ``count`` values."""

    mean: npt.NDArray[np.float64]
    variance: npt.NDArray[np.float64]
    count: float


@dataclass(frozen=True)
class NormaliserState:
    """All that a training needs to go on with a VecNormalize.

    Attributes:
        observations: by observation key (``""`` for a single tensor); empty if observations are not normalised.
        returns: of discounted returns, by whose deviation rewards are divided; None if rewards are not normalised.
        epsilon: added to variances.
        clip: largest magnitude of a normalised observation.
    """

    observations: Mapping[str, Moments]
    returns: Moments | None
    epsilon: float
    clip: float


@dataclass(frozen=True)
class Statistics:
    """What acting needs of a VecNormalize.

    Attributes:
        normalisers: by observation key (``""`` for a single tensor), in the shapes of the environment's own
            observations; empty if observations are not normalised.
        bounds: lowest and highest values of the observations by key, as far as the file states them.
    """

    normalisers: Mapping[str, Normaliser]
    bounds: Mapping[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]


def read_normaliser_state(content: bytes, label: str) -> NormaliserState:
    """What a training goes on with; see :func:`read_vecnormalize`, which reads what acting needs.

    Raises:
        UnsafeAgentError: the pickle names something outside the allow-list.
        DamagedAgentError: it is no VecNormalize, or its numbers are impossible.
    """
    record = _record(content, label)
    normalisers, fields = _normalisers(record, label), record.fields
    stored = fields.get("obs_rms")
    by_key = stored.fields if isinstance(stored, Record) and stored.name.endswith("Dict") else stored
    observed = {key: by_key[key] if isinstance(by_key, dict) else by_key for key in normalisers}
    epsilon, clip = (_positive(fields.get(name), name, label, infinite=True) for name in ("epsilon", "clip_obs"))
    return NormaliserState(
        {key: _moments(statistics, label) for key, statistics in observed.items()},
        _moments(fields.get("ret_rms"), label) if fields.get("norm_reward", True) else None,
        epsilon,
        clip,
    )


def read_statistics(content: bytes, label: str) -> Statistics:
    """Statistics and the bounds of what they are of; errors are those of :func:`read_vecnormalize`."""
    record = _record(content, label)
    normalisers, space = _normalisers(record, label), record.fields.get("observation_space")
    return Statistics(normalisers, {key: found for key in normalisers if (found := _bounds(space, key)) is not None})


def _bounds(space: Any, key: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """Bounds of the part ``key`` of a pickled space; None where it is of another form, which is no error here."""
    if key and isinstance(space, Record):
        parts = space.fields.get("spaces")
        parts = parts.fields if isinstance(parts, Record) else parts
        space = parts.get(key) if isinstance(parts, dict) else None
    if not isinstance(space, Record):
        return None
    low, high = (array_of(space.fields.get(name)) for name in ("low", "high"))
    if low is None or high is None or low.shape != high.shape:
        return None
    return low.astype(np.float64), high.astype(np.float64)


def read_vecnormalize(content: bytes, label: str) -> dict[str, Normaliser]:
    """Statistics by observation key (``""`` for a single tensor); empty if observations are not normalised.

    Shapes are those of the environment's own observations.

    Raises:
        UnsafeAgentError: the pickle names something outside the allow-list.
        DamagedAgentError: it is no VecNormalize, or its numbers are impossible.
    """
    return _normalisers(_record(content, label), label)


def _record(content: bytes, label: str) -> Record:
    record = read_pickle(content, label)
    if not isinstance(record, Record) or record.name != _VEC_NORMALIZE:
        raise _damaged(label, f"{getattr(record, 'name', type(record).__name__)}", "a VecNormalize")
    return record


def _normalisers(record: Record, label: str) -> dict[str, Normaliser]:
    fields = record.fields
    if not fields.get("norm_obs", True):
        return {}
    epsilon = _positive(fields.get("epsilon"), "epsilon", label)
    clip = _positive(fields.get("clip_obs"), "clip_obs", label, infinite=True)
    statistics = fields.get("obs_rms")
    by_key = statistics.fields if isinstance(statistics, Record) and statistics.name.endswith("Dict") else statistics
    if not isinstance(by_key, dict):
        return {"": _normaliser(statistics, epsilon, clip, label)}
    keys = fields.get("norm_obs_keys")
    if keys is None:
        keys = list(by_key)
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in by_key for key in keys):
        raise _damaged(label, f"norm_obs_keys {shown(keys)}", f"keys among {shown(list(by_key))}")
    return {key: _normaliser(by_key[key], epsilon, clip, label) for key in keys}


def _normaliser(statistics: Any, epsilon: float, clip: float, label: str) -> Normaliser:
    if not isinstance(statistics, Record) or statistics.name != _RUNNING_MEAN_STD:
        raise _damaged(label, f"obs_rms: {type(statistics).__name__}", "a RunningMeanStd")
    mean = _numbers(statistics.fields.get("mean"), "mean", label)
    variance = _numbers(statistics.fields.get("var"), "var", label)
    if mean.shape != variance.shape or bool((variance < 0).any()):
        raise _damaged(label, f"mean {mean.shape}, variance {variance.shape}", "equal shapes and variances >= 0")
    return Normaliser(mean, variance, epsilon, clip)


def _moments(statistics: Any, label: str) -> Moments:
    found = _normaliser(statistics, 1.0, 1.0, label)
    return Moments(found.mean, found.variance, _positive(statistics.fields.get("count"), "count", label))


def _numbers(stored: Any, name: str, label: str) -> npt.NDArray[np.float64]:
    array = array_of(stored)
    if array is None:
        raise _damaged(label, f"{name}: {type(stored).__name__}", "an array")
    numbers = array.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise _damaged(label, f"{name} with NaN or infinite numbers", "finite numbers")
    return numbers


def _positive(stored: Any, name: str, label: str, *, infinite: bool = False) -> float:
    array = array_of(stored)
    value = float(array) if array is not None and array.size == 1 else math.nan
    if not value > 0 or (math.isinf(value) and not infinite):
        raise _damaged(label, f"{name} = {shown(stored, 40)}", "a number above 0")
    return value


def _damaged(label: str, got: str, expected: str) -> DamagedAgentError:
    return DamagedAgentError(
        f"{label} does not hold the statistics of VecNormalize.", got=got, expected=expected, hint="Get the file again."
    )
