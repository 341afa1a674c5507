"""Rows of the paper's three tables and points of its three figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from policypress.records import Source
from policypress.report.studies.estimates import MaybeEstimate


@dataclass(frozen=True)
class QuantizationRow:
    """A row of Table 1: returns of the quantized agents, and which is the best.

    ``returns`` and ``published`` are by ``baseline``, ``ptdq``, ``ptsq``, ``qat``; ``best`` and ``published_best`` name
    the method of the highest return (None where one is missing, or no number is published).
    """

    combination: str
    returns: Mapping[str, MaybeEstimate]
    published: Mapping[str, float]
    best: str | None
    published_best: str | None


BOTH = "both"


def norm_name(norm: str) -> str:
    """The norm of a best pruning, for people.

    >>> norm_name("l1"), norm_name(BOTH)
    ('L1', 'L1 = L2')
    """
    return "L1 = L2" if norm == BOTH else norm.upper()


@dataclass(frozen=True)
class Pruned:
    """The most that one norm removes by the 90 % rule.

    Attributes:
        ratio: largest ratio whose mean return is at least 90 % of the baseline's; None where none passes.
        complete: whether every planned ratio was measured; if not, larger ones may pass.
        returns: mean return at that ratio (the smallest measured ratio, where none passes).
        unbroken: largest ratio that passes with all smaller ones; None where the smallest does not. Of many ratios one
            passes by chance more easily than all up to it.
    """

    ratio: float | None
    complete: bool
    returns: MaybeEstimate
    unbroken: float | None = None


@dataclass(frozen=True)
class PruningRow:
    """A row of Table 2: baseline, the best pruned return, and the ratio of each norm.

    ``ratios`` is by norm (``l1``, ``l2``), and has no entry where nothing of a norm was measured. ``best`` is the
    highest return of the two. ``published`` holds the paper's ``baseline``, ``best_pruned``, ``l1_ratio`` and
    ``l2_ratio``; empty where the paper has no such row.
    """

    combination: str
    baseline: MaybeEstimate
    best: MaybeEstimate
    ratios: Mapping[str, Pruned]
    published: Mapping[str, float]


@dataclass(frozen=True)
class OptimalRow:
    """A cell of Table 3: the norm that prunes most by the 90 % rule; of two that prune as much, the higher return.

    Attributes:
        norm: ``l1``, ``l2``, ``both`` where they are equal in both, ``none`` where no ratio passes, or None where it
            cannot be said.
        ratio: its ratio; None with ``none``.
        reason: why there is no answer; empty where there is one.
        published_norm: the paper's.
        published_ratio: the paper's.
    """

    combination: str
    norm: str | None
    ratio: float | None
    reason: str
    published_norm: str | None
    published_ratio: float | None


@dataclass(frozen=True)
class Point:
    """A point of a figure: a method (and ratio) in a combination."""

    combination: str
    algorithm: str
    environment: str
    method: str
    ratio: float | None
    absolute: MaybeEstimate
    relative: MaybeEstimate
    source: Source | None


@dataclass(frozen=True)
class Series:
    """One panel of one figure of the paper under one runtime.

    Attributes:
        figure: 1 (quantization), 2 (L1 pruning) or 3 (L2 pruning).
        quantity: ``latency``, ``energy_per_action``, ``energy_per_episode``, ``peak_rss``, and beyond the paper
            ``packed_bytes`` and ``return``.
        title: for people.
        unit: of the absolute values: ``s``, ``J``, ``B``, or empty.
        runtime: what acted.
        points: only those with a number.
        missing: why there are none, where there are none; else empty.
    """

    figure: int
    quantity: str
    title: str
    unit: str
    runtime: str
    points: tuple[Point, ...]
    missing: str
