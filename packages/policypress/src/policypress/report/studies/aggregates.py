"""Aggregates over agents as Agarwal et al. (2021, arXiv:2108.13264) and their library rliable compute them.

A score is what one training seed of one combination (rliable calls it a task) keeps of its baseline. Combinations may
have different numbers of seeds, which rliable's matrices cannot hold: each combination weighs the same here, and its
seeds share its weight. With as many seeds everywhere the numbers are rliable's (a test compares). Intervals are
percentiles of a stratified bootstrap: the seeds of each combination are resampled among themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from policypress import seeding
from policypress.measurement.statistics import Interval, Missing
from policypress.report.studies.estimates import Estimate, MaybeEstimate

Floats = npt.NDArray[np.float64]
Scores = Sequence[Floats]
"""For each combination, the scores of its seeds along the last axis; resamples along an axis before it."""
RESAMPLES = 2000
PROFILE_SCORES = tuple(round(0.05 * step, 2) for step in range(-2, 27))
_CONFIDENCE = 0.95
_TAILS = (0.025, 0.975)
_METHOD = f"percentiles of a stratified bootstrap over training seeds, {RESAMPLES} resamples"


@dataclass(frozen=True)
class ProfilePoint:
    """Share of runs whose score is above ``score``, with its interval."""

    score: float
    share: Interval

    def to_plain(self) -> dict[str, Any]:
        """JSON form, in which the interval is flat."""
        share = self.share
        return {"score": self.score, "share": share.estimate, "lower": share.lower, "upper": share.upper}


def scores_of(returns: Iterable[float], baselines: Iterable[float], floor: float) -> Floats:
    """Score of each seed, in units of the mean baseline: one that hardly learned does not blow up its own.

    >>> scores_of([9.0, 4.0], [10.0, 6.0], 0.0).tolist()
    [1.125, 0.5]
    """
    base = float(np.mean(list(baselines)))
    return np.array([(value - floor) / (base - floor) for value in returns])


def iqm(scores: Scores) -> Floats:
    """Interquartile mean: the mean of the middle half of all scores.

    >>> float(iqm([np.array([0.0, 1.0]), np.array([2.0, 9.0])]))
    1.5
    """
    values = np.concatenate(scores, axis=-1)
    weights = np.concatenate([np.full(own.shape[-1], 1 / (own.shape[-1] * len(scores))) for own in scores])
    order = np.argsort(values, axis=-1)
    ends = np.cumsum(weights[order], axis=-1)
    inside = np.clip(ends, 0.25, 0.75) - np.clip(ends - weights[order], 0.25, 0.75)
    return np.asarray((inside * np.take_along_axis(values, order, axis=-1)).sum(axis=-1) / inside.sum(axis=-1))


def mean(scores: Scores) -> Floats:
    """Mean over combinations of their mean scores."""
    return _averaged([own.mean(axis=-1) for own in scores])


def shares_above(scores: Scores, limits: Sequence[float] = PROFILE_SCORES) -> Floats:
    """Performance profile: the share of runs that score more than each limit."""
    return _averaged([(own[..., None] > np.asarray(limits)).mean(axis=-2) for own in scores])


def probability_of_improvement(first: Scores, second: Scores) -> Floats:
    """P(a run of the first scores more than one of the second), ties half, mean over combinations.

    >>> float(probability_of_improvement([np.array([1.0, 3.0])], [np.array([2.0, 3.0])]))
    0.375
    """
    found = []
    for own, other in zip(first, second, strict=True):
        difference = own[..., :, None] - other[..., None, :]
        found.append(((difference > 0) + 0.5 * (difference == 0)).mean(axis=(-2, -1)))
    return _averaged(found)


def _averaged(parts: Sequence[Floats | np.float64]) -> Floats:
    return np.asarray(np.mean(parts, axis=0))


def interval(
    groups: Sequence[Scores], statistic: Callable[[Sequence[Scores]], Floats], missing: str = "nothing was measured"
) -> MaybeEstimate:
    """A statistic of one or more groups of scores, with its 95 % interval; ``missing`` is why there is none."""
    if not groups[0]:
        return Missing(missing)
    lower, upper = np.quantile(statistic(_resampled(groups)), _TAILS)
    runs = sum(len(own) for own in groups[0])
    value = float(statistic(groups))
    between = Interval(value, float(lower), float(upper), _CONFIDENCE, _METHOD)
    return Estimate(value, between, runs, "training seeds")


def profile(groups: Scores) -> tuple[ProfilePoint, ...]:
    """The performance profile with its 95 % intervals."""
    lower, upper = np.quantile(shares_above(_resampled((groups,))[0]), _TAILS, axis=0)
    rows = zip(PROFILE_SCORES, shares_above(groups), lower, upper, strict=True)
    return tuple(
        ProfilePoint(score, Interval(float(share), float(least), float(most), _CONFIDENCE, _METHOD))
        for score, share, least, most in rows
    )


def _resampled(groups: Sequence[Scores]) -> list[list[Floats]]:
    """Each group's scores, resampled within each combination."""
    rng = seeding.generator(0, "aggregates")
    return [[own[rng.integers(len(own), size=(RESAMPLES, len(own)))] for own in scores] for scores in groups]
