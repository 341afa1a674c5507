"""The reward trend: what an algorithm returns from episode to episode, over its training seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from policypress.measurement.statistics import t_quantile
from policypress_li2023.comparing import FEWEST

Floats = npt.NDArray[np.float64]
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Trend:
    """The trend of one form of training.

    Attributes:
        window: episodes of the moving average, which looks back.
        seeds: number of training seeds.
        mean: (episodes,), mean over seeds of each episode's return.
        smooth: (episodes,), mean over seeds of each seed's moving average.
        lower: (episodes,), lower bound of ``smooth``, Student's t over seeds, 95 %; equal to it with fewer than three
            seeds.
        upper: (episodes,), upper bound.
    """

    window: int
    seeds: int
    mean: tuple[float, ...]
    smooth: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]


def trend(returns: Sequence[Sequence[float]], window: int) -> Trend | None:
    """The trend of ``returns`` (seeds × episodes), or None where there are none."""
    if not returns or not returns[0]:
        return None
    table = np.asarray(returns, dtype=np.float64)
    smoothed = np.stack([moving_average(row, window) for row in table])
    mean = smoothed.mean(axis=0)
    half = np.zeros_like(mean)
    if len(table) >= FEWEST:
        quantile = t_quantile(0.5 + _CONFIDENCE / 2, float(len(table) - 1))
        half = quantile * smoothed.std(axis=0, ddof=1) / math.sqrt(len(table))
    listed = [tuple(map(float, values)) for values in (table.mean(axis=0), mean, mean - half, mean + half)]
    return Trend(window, len(table), *listed)


def moving_average(values: Sequence[float] | Floats, window: int) -> Floats:
    """Mean of each value and those before it, ``window`` in all; of fewer at the start.

    >>> moving_average([2.0, 4.0, 6.0, 8.0], 2).tolist()
    [2.0, 3.0, 5.0, 7.0]
    """
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(values, dtype=np.float64))])
    ends = np.arange(1, len(sums))
    starts = np.maximum(ends - window, 0)
    averages: Floats = (sums[ends] - sums[starts]) / (ends - starts)
    return averages


def reached(returns: Sequence[float], level: float, window: int) -> int | None:
    """Number of the first episode (from 1) at which ``window`` episodes in a row return ``level`` on average.

    >>> reached([1.0, 3.0, 3.0], 3.0, 2), reached([1.0], 3.0, 2)
    (3, None)
    """
    if len(returns) < window:
        return None
    enough = np.flatnonzero(moving_average(returns, window)[window - 1 :] >= level)
    return int(enough[0]) + window if len(enough) else None
