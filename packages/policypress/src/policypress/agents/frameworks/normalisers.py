"""Normalisers of other frameworks, each by its formula, in the one form of ours.

That is clip((x - mean) / sqrt(variance + epsilon)).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from policypress.agents.archive import listing
from policypress.agents.bundle import Array, Normaliser
from policypress_runtime.errors import DamagedAgentError

Doubles = npt.NDArray[np.float64]


def outside_root(mean: Array, deviation: Array, epsilon: float, clip: float = math.inf) -> Normaliser:
    """clip((x - mean) / (deviation + epsilon)): the epsilon stands outside the root.

    >>> outside_root(np.zeros(1, "f4"), np.ones(1, "f4"), 1.0).variance.tolist()
    [4.0]
    """
    scale = deviation.astype(np.float64).reshape(-1) + epsilon
    # A negative deviation must not become positive by being squared.
    return _checked(mean.astype(np.float64).reshape(-1), np.where(deviation.reshape(-1) < 0, -1.0, scale**2), 0.0, clip)


def inside_root(mean: Array, variance: Array, epsilon: float, clip: float = math.inf) -> Normaliser:
    """clip((x - mean) / sqrt(variance + epsilon))."""
    return _checked(mean.astype(np.float64).reshape(-1), variance.astype(np.float64).reshape(-1), epsilon, clip)


def _checked(mean: Doubles, variance: Doubles, epsilon: float, clip: float) -> Normaliser:
    if mean.shape != variance.shape or mean.size == 0 or bool(((variance < 0) | (variance + epsilon <= 0)).any()):
        raise DamagedAgentError(
            "The statistics of the agent's observations are damaged.",
            got=f"{mean.size} means and {variance.size} variances, the least {variance.min(initial=math.inf):g}",
            expected="as many of each, and positive variances",
        )
    return Normaliser(mean, variance, epsilon, clip)


def statistics(tensors: Mapping[str, Array], *names: str) -> tuple[Array, ...]:
    """The tensors called ``names``.

    Raises:
        DamagedAgentError: one is missing.
    """
    missing = [name for name in names if name not in tensors]
    if missing:
        raise DamagedAgentError(
            "The statistics of the agent's observations are incomplete.",
            got="tensors " + listing(sorted(tensors), 6),
            expected=", ".join(names),
        )
    return tuple(tensors[name] for name in names)
