"""Aggregates over combinations as Agarwal et al. (2021, arXiv:2108.13264) and their library rliable compute them.

A score is what one training seed of one combination keeps of its baseline (:attr:`~.combination.Variant.retention`).
Combinations may have different numbers of seeds, which rliable's matrices cannot hold: each combination weighs the
same here, and its seeds share its weight. With as many seeds everywhere the numbers are rliable's (a test compares).
Intervals are percentiles of a stratified bootstrap: the seeds of each combination are resampled among themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from policypress import seeding
from policypress.measurement.statistics import Missing
from policypress.report.studies.estimates import Estimate, MaybeEstimate
from policypress.report.study.combination import Combination
from policypress.report.study.conclusions import Aggregate, Improvement, ProfilePoint
from policypress.report.study.paper import METHODS, NORMS, RATIOS

Floats = npt.NDArray[np.float64]
Scores = Sequence[Floats]
"""For each combination, the scores of its seeds along the last axis; resamples along an axis before it."""
RESAMPLES = 2000
PROFILE_SCORES = tuple(round(0.05 * step, 2) for step in range(-2, 27))
_LEAST_SEEDS = 2
_TAILS = (0.025, 0.975)
_PAIRS = (("ptdq", "ptsq"), ("ptdq", "qat"), ("qat", "ptsq"), ("l2", "l1"))


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


def aggregates(combinations: Sequence[Combination], runtimes: Sequence[str]) -> tuple[Aggregate, ...]:
    """Every method (and pruning ratio) under every runtime, over the baselines that have learned.

    Those of the paper come first, measured or not; then whatever else the study has.
    """
    kinds: dict[tuple[str, float | None], None] = {(method, None): None for method in METHODS}
    kinds |= {(norm, ratio): None for norm in NORMS for ratio in RATIOS}
    kinds |= {(variant.method, variant.ratio): None for c in combinations for variant in c.variants}
    return tuple(
        _aggregate(method, ratio, runtime, _scores(combinations, runtime, method, ratio))
        for runtime in runtimes
        for method, ratio in kinds
    )


def improvements(combinations: Sequence[Combination], runtimes: Sequence[str]) -> tuple[Improvement, ...]:
    """Quantizers against each other, and L2 against L1 at the ratio that the paper recommends (10 %)."""
    found = []
    for runtime in runtimes:
        for first, second in _PAIRS:
            ratio = 0.1 if first in NORMS else None
            one, other = (_scores(combinations, runtime, method, ratio) for method in (first, second))
            shared = [name for name in one if name in other]
            probability = _interval(
                ([one[name] for name in shared], [other[name] for name in shared]),
                lambda groups: probability_of_improvement(*groups),
            )
            found.append(Improvement(first, second, runtime, len(shared), probability))
    return tuple(found)


def _scores(combinations: Sequence[Combination], runtime: str, method: str, ratio: float | None) -> dict[str, Floats]:
    """Combination → score of each seed; only where the baseline has learned and there are several seeds."""
    found = {}
    for combination in combinations:
        variant = combination.variant(method, ratio)
        base, floor = combination.baseline, combination.random
        if combination.runtime != runtime or variant is None or combination.learned.verdict != "learned":
            continue
        if not isinstance(floor, Estimate) or not isinstance(base, Estimate) or variant.other_training:
            continue
        if len(variant.returns_by_seed) >= _LEAST_SEEDS:
            found[combination.name] = _kept(variant.returns_by_seed, combination.baseline_by_seed, floor.value)
    return found


def _kept(returns: Mapping[int, float], baselines: Mapping[int, float], floor: float) -> Floats:
    """Score of each seed, in units of the mean baseline: one that hardly learned does not blow up its own."""
    base = float(np.mean(list(baselines.values())))
    return np.array([(value - floor) / (base - floor) for value in returns.values()])


def _aggregate(method: str, ratio: float | None, runtime: str, scores: Mapping[str, Floats]) -> Aggregate:
    groups = list(scores.values())
    runs = sum(len(group) for group in groups)
    if not groups:
        missing = f"no combination has a baseline that has learned and {_LEAST_SEEDS} training seeds of this method"
        return Aggregate(method, ratio, runtime, 0, 0, Missing(missing), Missing(missing), (), missing)
    return Aggregate(
        method=method,
        ratio=ratio,
        runtime=runtime,
        combinations=len(groups),
        runs=runs,
        iqm=_interval((groups,), lambda drawn: iqm(drawn[0])),
        mean=_interval((groups,), lambda drawn: mean(drawn[0])),
        profile=_profile(groups) if ratio in (None, 0.1, 0.5) else (),
        missing="",
    )


def _interval(groups: Sequence[Scores], statistic: Callable[[Sequence[Scores]], Floats]) -> MaybeEstimate:
    if not groups[0]:
        return Missing(f"no combination has {_LEAST_SEEDS} training seeds of both")
    lower, upper = np.quantile(statistic(_resampled(groups)), _TAILS)
    runs = sum(len(own) for own in groups[0])
    return Estimate(float(statistic(groups)), float(lower), float(upper), runs, "training seeds")


def _profile(groups: Scores) -> tuple[ProfilePoint, ...]:
    lower, upper = np.quantile(shares_above(_resampled((groups,))[0]), _TAILS, axis=0)
    rows = zip(PROFILE_SCORES, shares_above(groups), lower, upper, strict=True)
    return tuple(ProfilePoint(*(float(value) for value in row)) for row in rows)


def _resampled(groups: Sequence[Scores]) -> list[list[Floats]]:
    """Each group's scores, resampled within each combination."""
    rng = seeding.generator(0, "aggregates")
    return [[own[rng.integers(len(own), size=(RESAMPLES, len(own)))] for own in scores] for scores in groups]
