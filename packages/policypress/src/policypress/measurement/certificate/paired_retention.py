"""The share that a candidate keeps, estimated from pairs: what a race judges by. It certifies nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from policypress.measurement.statistics import Interval, Missing, t_quantile

_FEWEST = 3


def paired_retention(
    baseline: Sequence[float], candidate: Sequence[float], random: Sequence[float], confidence: float
) -> Interval | Missing:
    """(C − R)/(B − R) of mean returns, with Student's interval of the pairs' residuals C − t·B − (1 − t)·R.

    On common seeds the residuals vary less than the returns, so that fewer pairs tell as much.

    Args:
        baseline: returns of the agent.
        candidate: returns on the same seeds.
        random: returns of random actions.
        confidence: two-sided.

    >>> paired_retention([100.0, 80.0, 90.0], [90.0, 72.0, 81.0], [0.0, 0.0, 0.0], 0.9).estimate
    0.9
    """
    base, own, floor = (np.asarray(values, np.float64) for values in (baseline, candidate, random))
    if min(len(base), len(floor)) < _FEWEST:
        return Missing(f"{len(base)} episodes, at least {_FEWEST} are needed")
    gap = float(base.mean() - floor.mean())
    spread = math.sqrt(float(base.var(ddof=1)) / len(base) + float(floor.var(ddof=1)) / len(floor))
    if gap <= t_quantile(0.5 + confidence / 2, float(len(base) - 1)) * spread:
        return Missing("the baseline is not clearly above a random policy: there is nothing that could be kept")
    kept = float(own.mean() - floor.mean()) / gap
    residuals = own - kept * base
    variance = float(residuals.var(ddof=2)) / len(base) + (1 - kept) ** 2 * float(floor.var(ddof=1)) / len(floor)
    half = t_quantile(0.5 + confidence / 2, float(len(base) - 2)) * math.sqrt(variance) / gap
    return Interval(kept, kept - half, kept + half, confidence, f"Student's t of {len(base)} pairs")
