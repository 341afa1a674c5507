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

from policypress.measurement.statistics import Interval, Missing, t_quantile, t_tails

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
    spread = _share(numerators, denominators, floor, paired=paired)
    return spread if isinstance(spread, Missing) else _interval(spread, confidence)


@dataclass(frozen=True)
class Shares:
    """What one share of means is of: the arguments of :func:`share_over_seeds`, of samples that are not paired."""

    numerators: Groups
    denominators: Groups
    floor: Sequence[float] = ()


@dataclass(frozen=True)
class Interaction:
    """How much one share is above another, and the p-value of their being equal (Welch's t)."""

    difference: Interval
    p: float


def interaction(first: Shares, second: Shares, confidence: float = 0.95) -> Interaction | Missing:
    """Share of ``second`` minus share of ``first``, of independent trainings: does what is compared depend on the case?

    Two intervals that overlap do not answer that: each has the other's uncertainty to spare.

    >>> low = Shares([[50.0], [52.0], [48.0]], [[100.0], [101.0], [99.0]])
    >>> high = Shares([[90.0], [92.0], [88.0]], [[100.0], [101.0], [99.0]])
    >>> found = interaction(low, high)
    >>> round(found.difference.estimate, 2), found.p < 0.001
    (0.4, True)
    """
    spreads = [_share(one.numerators, one.denominators, one.floor, paired=False) for one in (first, second)]
    under, over = spreads
    if isinstance(under, Missing):
        return under
    if isinstance(over, Missing):
        return over
    variance = _sum((under, over), (1.0, 1.0))
    apart = _Spread(over.mean - under.mean, variance.variance, variance.degrees)
    error = math.sqrt(apart.variance)
    p = t_tails(apart.mean / error, apart.degrees) if error > 0 else float(apart.mean == 0)
    return Interaction(_interval(apart, confidence), p)


def _share(numerators: Groups, denominators: Groups, floor: Sequence[float], *, paired: bool) -> _Spread | Missing:
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
    return _Spread(share, whole.variance / below**2, whole.degrees)


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
