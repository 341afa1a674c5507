"""What a study concludes: aggregates over combinations, and the paper's statements, judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from policypress.report.study.estimates import MaybeEstimate

Verdict = Literal["holds", "does not hold", "undecided", "no data"]


@dataclass(frozen=True)
class ProfilePoint:
    """Share of runs whose score is above ``score``, with its interval."""

    score: float
    share: float
    lower: float
    upper: float


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


@dataclass(frozen=True)
class Evidence:
    """What data say of a statement.

    Attributes:
        verdict: of the statement.
        text: one to three sentences with the numbers.
        numbers: the same for programs.
        runtime: of the study's evidence; empty for the paper's own tables.
    """

    verdict: Verdict
    text: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    runtime: str = ""


@dataclass(frozen=True)
class Finding:
    """A statement of the paper, judged by its own tables and by the study.

    Attributes:
        name: unique, fit for an anchor (``ptdq-best``).
        statement: of the paper, in our words.
        section: where the paper makes it.
        paper: what its own tables say.
        contradictions: where they contradict the statement, themselves or each other.
        study: what the study says, one for each runtime.
    """

    name: str
    statement: str
    section: str
    paper: Evidence
    contradictions: tuple[str, ...]
    study: tuple[Evidence, ...]
