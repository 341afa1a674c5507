"""What returns of several training seeds say of an algorithm or a method: means and shares with intervals.

The unit here is the training seed; each seed has episodes of its own. The standard error is that of a hierarchical
bootstrap, which resamples seeds and then episodes (Davison and Hinkley 1997, section 3.8), in closed form: for seeds
with means m_1 … m_n and squared standard errors v_1 … v_n, the variance of the mean is (s² + mean(v)) / n, where s² is
the variance of the means. It is a little too wide, because s² has the episodes' noise in it already. Shares of means
are linearised. The interval is Student's t with n − 1 degrees of freedom (Welch's, where independent samples meet): the
percentiles of resampled seeds cannot serve, since with three seeds even the smallest and the largest of them miss the
mean of all seeds one time in four.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from policypress.measurement.statistics import Interval, Missing, t_quantile

Groups = Sequence[Sequence[float]]
METHOD = "Student's t, variance of a hierarchical bootstrap of seeds and episodes"
_ERRORS = 2.0
_NO_DENOMINATOR = "the baseline's mean is not clearly above the reference, so that a share of it would mislead"


@dataclass(frozen=True)
class _Spread:
    """A mean, the variance of that mean, and its degrees of freedom."""

    mean: float
    variance: float
    degrees: float


def mean_over_seeds(groups: Groups, confidence: float = 0.95) -> Interval | Missing:
    """Mean over seeds of their mean returns, each seed counting the same.

    Args:
        groups: returns of the episodes of each training seed; two seeds at least.
        confidence: of the two-sided interval.

    >>> interval = mean_over_seeds([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    >>> round(interval.estimate, 3), round(interval.lower, 3), round(interval.upper, 3)
    (2.0, -0.484, 4.484)
    """
    problem = _problem(groups)
    return problem or _interval(_spread(groups), confidence)


def share_over_seeds(
    numerators: Groups,
    denominators: Groups,
    floor: Sequence[float] = (),
    *,
    paired: bool,
    confidence: float = 0.95,
) -> Interval | Missing:
    """(mean of numerators − mean of floor) / (mean of denominators − mean of floor), over training seeds.

    Args:
        numerators: returns of a variant, one group for each seed.
        denominators: those of the baseline.
        floor: returns of random actions; without any, the floor is 0 and this is the ratio of means.
        paired: the groups are of the same agents, in the same order; otherwise they are independent.
        confidence: of the two-sided interval.

    Undefined where the denominator is not clearly positive: neither in every seed, nor by two standard errors.
    Student's quantile would ask far more of two or three seeds, and that they differ is no doubt about the sign.

    >>> share_over_seeds([[90.0], [45.0]], [[100.0], [50.0]], paired=True).estimate
    0.9
    """
    problem = _problem(numerators) or _problem(denominators)
    if problem is None and paired and len(numerators) != len(denominators):
        problem = Missing(f"{len(numerators)} seeds against {len(denominators)}: they cannot be paired")
    if problem is not None:
        return problem
    rest = _floor(floor)
    base = _spread(denominators)
    below = base.mean - rest.mean
    if not _clearly_positive(denominators, below, rest, base.variance):
        return Missing(_NO_DENOMINATOR)
    share = (_spread(numerators).mean - rest.mean) / below
    if paired:
        difference = _paired_spread(numerators, denominators, share)
    else:
        difference = _sum((_spread(numerators), base), (1.0, share))
    whole = _sum((difference, rest), (1.0, 1.0 - share))
    return _interval(_Spread(share, whole.variance / below**2, whole.degrees), confidence)


def lower_bound_over_seeds(groups: Groups, confidence: float = 0.95) -> float | Missing:
    """One-sided lower bound of the mean over training seeds."""
    interval = mean_over_seeds(groups, 2 * confidence - 1)
    return interval if isinstance(interval, Missing) else interval.lower


def _problem(groups: Groups) -> Missing | None:
    if len(groups) < 2:
        return Missing(f"{len(groups)} training seeds, at least 2 are needed")
    if any(len(group) == 0 for group in groups):
        return Missing("a training seed has no episodes")
    if not all(np.isfinite(group).all() for group in groups):
        return Missing("a return is not finite")
    return None


def _spread(groups: Groups) -> _Spread:
    count = float(len(groups))
    means = np.array([np.mean(group) for group in groups])
    within = [float(np.var(group)) / len(group) for group in groups]
    return _Spread(float(means.mean()), (float(means.var(ddof=1)) + float(np.mean(within))) / count, count - 1)


def _clearly_positive(groups: Groups, difference: float, floor: _Spread, variance: float) -> bool:
    every = all(float(np.mean(group)) > floor.mean for group in groups)
    return difference > 0 and (every or difference > _ERRORS * math.sqrt(variance + floor.variance))


def _paired_spread(numerators: Groups, denominators: Groups, share: float) -> _Spread:
    """Of the mean over seeds of numerator − share · denominator."""
    pairs = list(zip(numerators, denominators, strict=True))
    means = np.array([np.mean(over) - share * np.mean(under) for over, under in pairs])
    within = [float(np.var(over)) / len(over) + share**2 * float(np.var(under)) / len(under) for over, under in pairs]
    count = float(len(pairs))
    return _Spread(float(means.mean()), (float(means.var(ddof=1)) + float(np.mean(within))) / count, count - 1)


def _floor(returns: Sequence[float]) -> _Spread:
    if len(returns) < 2:
        return _Spread(float(np.mean(returns)) if len(returns) else 0.0, 0.0, 1.0)
    return _Spread(float(np.mean(returns)), float(np.var(returns, ddof=1)) / len(returns), float(len(returns) - 1))


def _sum(parts: tuple[_Spread, _Spread], factors: tuple[float, float]) -> _Spread:
    """Variance of a sum of independent means, with Welch's degrees of freedom."""
    variances = [factor**2 * part.variance for part, factor in zip(parts, factors, strict=True)]
    total = sum(variances)
    if total == 0.0:
        return _Spread(0.0, 0.0, max(part.degrees for part in parts))
    degrees = total**2 / sum(v**2 / part.degrees for v, part in zip(variances, parts, strict=True))
    return _Spread(0.0, total, degrees)


def _interval(spread: _Spread, confidence: float) -> Interval:
    half = t_quantile(0.5 + confidence / 2, spread.degrees) * math.sqrt(spread.variance)
    return Interval(spread.mean, spread.mean - half, spread.mean + half, confidence, METHOD)
