"""Aggregates of the study over combinations; :mod:`policypress.report.studies.aggregates` has the formulas.

A score is what one training seed of one combination keeps of its baseline (:attr:`~.combination.Variant.retention`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from policypress.measurement.statistics import Missing
from policypress.report.studies.aggregates import (
    Floats,
    interval,
    iqm,
    mean,
    probability_of_improvement,
    profile,
    scores_of,
)
from policypress.report.studies.estimates import Estimate
from policypress_lu2024.cells.combination import Combination
from policypress_lu2024.findings.conclusions import Aggregate, Improvement
from policypress_lu2024.paper import METHODS, NORMS, RATIOS

_LEAST_SEEDS = 2
_PAIRS = (("ptdq", "ptsq"), ("ptdq", "qat"), ("qat", "ptsq"), ("l2", "l1"))


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
            probability = interval(
                ([one[name] for name in shared], [other[name] for name in shared]),
                lambda groups: probability_of_improvement(*groups),
                f"no combination has {_LEAST_SEEDS} training seeds of both",
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
            own, others = variant.returns_by_seed.values(), combination.baseline_by_seed.values()
            found[combination.name] = scores_of(own, others, floor.value)
    return found


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
        iqm=interval((groups,), lambda drawn: iqm(drawn[0])),
        mean=interval((groups,), lambda drawn: mean(drawn[0])),
        profile=profile(groups) if ratio in (None, 0.1, 0.5) else (),
        missing="",
    )
