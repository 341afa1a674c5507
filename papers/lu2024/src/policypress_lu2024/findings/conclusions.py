"""What a study concludes over combinations: aggregates, and which method improves on which."""

from __future__ import annotations

from dataclasses import dataclass

from policypress.report.studies.aggregates import ProfilePoint
from policypress.report.studies.estimates import MaybeEstimate


@dataclass(frozen=True)
class Aggregate:
    """One method over all combinations whose baseline has learned (Agarwal et al. 2021, rliable).

    The score of a run is the retention: (variant − random) / (baseline − random). Intervals are stratified bootstrap
    over training seeds.

    Attributes:
        method: as in :class:`Variant`.
        ratio: of pruning; None otherwise.
        runtime: what acted.
        combinations: number of combinations in it.
        runs: number of runs in it.
        iqm: interquartile mean of the scores.
        mean: their mean.
        profile: performance profile.
        missing: why there is no aggregate; empty where there is one.
    """

    method: str
    ratio: float | None
    runtime: str
    combinations: int
    runs: int
    iqm: MaybeEstimate
    mean: MaybeEstimate
    profile: tuple[ProfilePoint, ...]
    missing: str


@dataclass(frozen=True)
class Improvement:
    """Probability that a run of ``first`` scores higher than one of ``second``, mean over combinations."""

    first: str
    second: str
    runtime: str
    combinations: int
    probability: MaybeEstimate
