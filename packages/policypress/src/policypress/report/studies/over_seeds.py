"""Estimates from runs: means and shares over training seeds, or over the episodes of the one agent there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from policypress.measurement.seed_statistics import lower_bound_over_seeds, mean_over_seeds, share_over_seeds
from policypress.measurement.statistics import LU_SHARE, Interval, Missing, mean_return
from policypress.report.studies.estimates import Estimate, MaybeEstimate, Unit

Values = Sequence[float]
BySeed = Mapping[int, Values]
_ONE_SIDED = 0.95


def mean_of(samples: BySeed, reason: str) -> MaybeEstimate:
    """Mean over training seeds; of one seed alone, over its episodes; ``reason`` is why there is none."""
    if not samples:
        return Missing(reason)
    if len(samples) > 1:
        return _estimate(mean_over_seeds(list(samples.values())), len(samples), "training seeds")
    (values,) = samples.values()
    mean = mean_return(values)
    if isinstance(mean, Missing):
        return Estimate(float(values[0]), None, 1, "episodes of one agent") if len(values) == 1 else mean
    between = Interval(mean.mean, mean.lower, mean.upper, mean.confidence, "Student's t of episodes")
    return Estimate(mean.mean, between, 1, "episodes of one agent")


def share_of(variant: BySeed, baseline: BySeed, floor: Values = (), *, paired: bool, reason: str) -> MaybeEstimate:
    """Share of the baseline's mean (above ``floor``) that the variant has.

    Args:
        variant: training seed → values.
        baseline: likewise.
        floor: returns of random actions; none for the plain ratio.
        paired: a variant's seed is the same agent as the baseline's.
        reason: why there is none, where nothing was measured.
    """
    if not variant or not baseline:
        return Missing(reason)
    shared = sorted(set(variant) & set(baseline))
    if paired or min(len(variant), len(baseline)) < 2:
        if not shared:
            return Missing("no training seed has both the baseline and the variant")
        variant, baseline = {seed: variant[seed] for seed in shared}, {seed: baseline[seed] for seed in shared}
    over, under = list(variant.values()), list(baseline.values())
    if len(shared) > 1 or min(len(over), len(under)) > 1:
        share = share_over_seeds(over, under, floor, paired=paired)
        return _estimate(share, len(variant), "training seeds")
    # One agent: its episodes take the place of the seeds, and those of two recipes are independent.
    one, other = [[value] for value in over[0]], [[value] for value in under[0]]
    return _estimate(share_over_seeds(one, other, floor, paired=False), 1, "episodes of one agent")


def mean_of_numbers(numbers: Mapping[int, float], reason: str) -> MaybeEstimate:
    """Mean over training seeds of something that each agent has once; of one agent there is no interval."""
    if not numbers:
        return Missing(reason)
    if len(numbers) == 1:
        return Estimate(float(next(iter(numbers.values()))), None, 1, "training seeds")
    return _estimate(mean_over_seeds([[number] for number in numbers.values()]), len(numbers), "training seeds")


def lower_bound(samples: BySeed) -> float | None:
    """One-sided 95 % lower bound of the mean, over seeds or over the episodes of the one agent; None without any."""
    groups = list(samples.values())
    if len(groups) == 1:
        groups = [[value] for value in groups[0]]
    bound = lower_bound_over_seeds(groups, _ONE_SIDED)
    return None if isinstance(bound, Missing) else bound


def upper_bound(samples: BySeed) -> float | None:
    """One-sided 95 % upper bound, likewise."""
    bound = lower_bound({seed: [-value for value in values] for seed, values in samples.items()})
    return None if bound is None else -bound


def _estimate(interval: Interval | Missing, runs: int, unit: Unit) -> MaybeEstimate:
    if isinstance(interval, Missing):
        return interval
    return Estimate(interval.estimate, interval, runs, unit)


def reason_of(statuses: Iterable[str], failures: Iterable[str]) -> str:
    """Why nothing was measured: what failed, or that it was not run yet."""
    states = list(statuses)
    if not states:
        return "not planned"
    if all(state == "failed" for state in states):
        return "failed: " + "; ".join(dict.fromkeys(failures))
    return "not played under this runtime" if all(state == "done" for state in states) else "not run yet"


def keeps_90_percent(variant: BySeed, baseline: BySeed) -> bool | None:
    """The 90 % rule of Lu et al. (2024) on the means of the seeds that both have; None without any, or a baseline > 0.

    >>> keeps_90_percent({0: [9.0]}, {0: [10.0], 1: [50.0]})
    True
    """
    shared = set(variant) & set(baseline)
    if not shared:
        return None
    base = float(np.mean([np.mean(baseline[seed]) for seed in shared]))
    kept = float(np.mean([np.mean(variant[seed]) for seed in shared]))
    # The rule is on decimals; what is 90 % of the baseline to rounding passes.
    return kept >= LU_SHARE * base * (1 - 1e-12) if base > 0 else None
