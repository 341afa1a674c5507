"""Statistics of any framework's normaliser, as the user saves them: an ``.npz`` of a mean and a variance.

``np.savez("statistics.npz", mean=..., variance=..., epsilon=1e-8, clip=10)`` stands for
clip((x - mean) / sqrt(variance + epsilon)); with ``std`` in place of the variance, clip((x - mean) / (std + epsilon)).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from policypress.agents.archive import listing
from policypress.agents.array_file import read_arrays
from policypress.agents.bundle import Array, Normaliser
from policypress.agents.frameworks.normalisers import inside_root, outside_root
from policypress.agents.normalisers.vecnormalize import Statistics
from policypress_runtime.errors import DamagedAgentError

SUFFIX = ".npz"
HOW = "np.savez('statistics.npz', mean=..., variance=..., epsilon=1e-8, clip=10), or std= in place of variance="
_MEAN, _VARIANCE, _DEVIATION = "mean", ("variance", "var"), "std"
_NUMBERS = ("epsilon", "clip")
_MAX_BYTES = 256 * 1024**2


def read_stated_arrays(path: Path) -> Statistics:
    """The statistics in the ``.npz`` file ``path``.

    Raises:
        DamagedAgentError: it cannot be read, or lacks or has something else than the numbers of the formula.
    """
    try:
        arrays = read_arrays(path, limit_bytes=_MAX_BYTES)
    except ValueError as error:
        raise _unfit(path, str(error)) from error
    spread = [name for name in (*_VARIANCE, _DEVIATION) if name in arrays]
    others = sorted(set(arrays) - {_MEAN, *spread, *_NUMBERS})
    if _MEAN not in arrays or len(spread) != 1 or others:
        raise _unfit(path, "arrays " + listing(sorted(arrays)))
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu" or not np.isfinite(array[~np.isinf(array)] if name == "clip" else array).all():
            raise _unfit(path, f"{name} with something else than finite numbers")
    mean, spread_of = arrays[_MEAN], arrays[spread[0]]
    if mean.shape != spread_of.shape:
        raise _unfit(path, f"{_MEAN} of shape {mean.shape}, {spread[0]} of shape {spread_of.shape}")
    epsilon, clip = _number(path, arrays, "epsilon", 0.0), _number(path, arrays, "clip", math.inf)
    if clip == 0:
        raise _unfit(path, "a clip of 0")
    form = outside_root if spread[0] == _DEVIATION else inside_root
    flat = form(mean, spread_of, epsilon, clip)
    shaped = Normaliser(flat.mean.reshape(mean.shape), flat.variance.reshape(mean.shape), flat.epsilon, flat.clip)
    return Statistics({"": shaped}, {})


def _number(path: Path, arrays: Mapping[str, Array], name: str, default: float) -> float:
    if name not in arrays:
        return default
    if arrays[name].size != 1 or float(arrays[name].reshape(-1)[0]) < 0:
        raise _unfit(path, f"{name} of shape {arrays[name].shape}, or negative")
    return float(arrays[name].reshape(-1)[0])


def _unfit(path: Path, got: str) -> DamagedAgentError:
    return DamagedAgentError(
        f"{path.name} does not hold statistics as --normalizer takes them.",
        got=got,
        expected="mean, one of variance, var and std, and where there are any epsilon and clip",
        hint=f"Save them as {HOW}.",
    )
