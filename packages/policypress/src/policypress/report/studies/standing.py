"""Whether a baseline has learned anything that could be lost: of one that has not, shares kept say nothing."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Literal

import numpy as np

from policypress.report.studies.over_seeds import BySeed, lower_bound, upper_bound

Learning = Literal["learned", "not learned", "not known"]
_ENOUGH = 0.25  # share of the way from random actions to the published return that a baseline has to go
_DEVIATIONS = 2.0  # without a published return: standard deviations above random actions


@dataclass(frozen=True)
class Reference:
    """A mean return that was published, and where."""

    mean_return: float
    steps: int
    source: str


@dataclass(frozen=True)
class Learned:
    """Whether a baseline has learned anything that could be lost (docs/design.md).

    Attributes:
        verdict: ``not learned`` is kept out of aggregates, and so is ``not known``.
        threshold: mean return that the lower bound of the baseline has to reach; None where it is not known.
        reference: published mean return of the algorithm in the environment, if there is one.
        reference_source: where it was published.
        reason: the verdict in words, with its numbers.
    """

    verdict: Learning
    threshold: float | None
    reference: float | None
    reference_source: str
    reason: str


@lru_cache(maxsize=1)
def references() -> Mapping[tuple[str, str], Reference]:
    """Algorithm and environment (without version) → what it is known to reach there, as far as anybody published it.

    Means over seeds of MuJoCo v3 environments (v4 for HumanoidStandup).
    """
    text = files("policypress.report.studies").joinpath("reference_returns.csv").read_text(encoding="utf-8")
    return {
        (row["algorithm"], row["environment"]): Reference(float(row["mean_return"]), int(row["steps"]), row["source"])
        for row in csv.DictReader(text.splitlines())
    }


def learned(baselines: BySeed, random: tuple[float, ...], known: Reference | None = None) -> Learned:
    """Whether the baseline, or each of its agents by itself, is far enough above random actions (docs/design.md).

    Args:
        baselines: training seed → returns.
        random: returns of random actions.
        known: what the algorithm is known to reach there.
    """
    reference = None if known is None else known.mean_return
    source = "" if known is None else f"{known.source}, {known.steps:,} steps"
    if not random or not baselines:
        missing = "random actions were not measured" if not random else "no baseline was measured"
        return Learned("not known", None, reference, source, missing)
    floor = float(np.mean(random))
    if reference is None:
        threshold = floor + _DEVIATIONS * float(np.std(random))
        needed = f"random actions ({floor:.1f}) and two standard deviations; no return is published"
    else:
        threshold = floor + _ENOUGH * (reference - floor)
        needed = f"random actions ({floor:.1f}) and {_ENOUGH:.0%} of the way to the published {reference:.0f}"
    lower, upper = lower_bound(baselines), upper_bound(baselines)
    if lower is None or upper is None:
        return Learned("not known", threshold, reference, source, "one episode says nothing of chance")
    seeds = f"{len(baselines)} training seeds" if len(baselines) > 1 else "the episodes of one agent"
    each = _each(baselines, threshold)
    verdict: Learning = "not known"
    if lower >= threshold or each == "above":
        verdict = "learned"
    elif upper < threshold or each == "below":
        verdict = "not learned"
    told = f"; every agent by its own episodes is {each}" if each and len(baselines) > 1 else ""
    reason = f"lower bound {lower:.1f} (95 %, {seeds}) against {threshold:.1f}: {needed}{told}"
    return Learned(verdict, threshold, reference, source, reason)


def _each(baselines: BySeed, threshold: float) -> str:
    """Where every agent is by its own episodes: of two or three seeds that differ Student's bound says too little."""
    lower = [lower_bound({0: values}) for values in baselines.values()]
    upper = [upper_bound({0: values}) for values in baselines.values()]
    if all(bound is not None and bound >= threshold for bound in lower):
        return "above"
    return "below" if all(bound is not None and bound < threshold for bound in upper) else ""
