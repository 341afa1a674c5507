"""The panels of the paper's three figures: what quantized and pruned agents cost, under each runtime.

The paper draws inference time, energy and memory; sizes and returns are added, since they explain the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from policypress.measurement.statistics import Missing
from policypress.report.studies.cost_estimates import Cost
from policypress.report.studies.estimates import Estimate
from policypress_lu2024.cells.combination import Combination, Variant
from policypress_lu2024.layout import Point, Series
from policypress_lu2024.paper import METHODS

BASELINE = "baseline"
QUANTITIES = (
    ("latency", "inference time of one action", "s"),
    ("energy_per_action", "energy of one action", "J"),
    ("energy_per_episode", "energy of one episode", "J"),
    ("peak_rss", "peak memory of a fresh process", "B"),
    ("packed_bytes", "size of the policy", "B"),
    ("return", "return", ""),
)
FIGURES: tuple[tuple[int, tuple[str, ...]], ...] = ((1, (BASELINE, *METHODS)), (2, ("l1",)), (3, ("l2",)))


def figure_series(combinations: Sequence[Combination], runtimes: Iterable[str]) -> tuple[Series, ...]:
    """Every panel, those without data too: they say why."""
    return tuple(
        _series(combinations, runtime, figure, methods, *quantity)
        for runtime in runtimes
        for figure, methods in FIGURES
        for quantity in QUANTITIES
    )


def _series(
    combinations: Sequence[Combination],
    runtime: str,
    figure: int,
    methods: tuple[str, ...],
    quantity: str,
    title: str,
    unit: str,
) -> Series:
    own = [combination for combination in combinations if combination.runtime == runtime]
    points = tuple(point for combination in own for point in _points(combination, methods, quantity))
    missing = "" if points else "not measured" if quantity != "return" else "not run yet"
    return Series(figure, quantity, title, unit, runtime, points, missing)


def _points(combination: Combination, methods: tuple[str, ...], quantity: str) -> Iterator[Point]:
    for method in methods:
        if method == BASELINE:
            yield from _point(combination, BASELINE, None, _baseline_cost(combination, quantity))
        for variant in combination.of_method(method):
            yield from _point(combination, method, variant.ratio, _cost(variant, quantity))


def _point(combination: Combination, method: str, ratio: float | None, cost: Cost) -> Iterator[Point]:
    if isinstance(cost.absolute, Estimate):
        place = (combination.name, combination.algorithm, combination.environment)
        yield Point(*place, method, ratio, cost.absolute, cost.relative, cost.source)


def _cost(variant: Variant, quantity: str) -> Cost:
    if quantity == "return":
        return Cost(variant.returns, variant.ratio_to_baseline, "measured")
    return variant.costs[quantity]


def _baseline_cost(combination: Combination, quantity: str) -> Cost:
    if quantity != "return":
        return combination.baseline_costs[quantity]
    known = combination.baseline
    positive = isinstance(known, Estimate) and known.value > 0
    one = Estimate.whole(known) if isinstance(known, Estimate) and positive else None
    return Cost(known, one or Missing("the baseline's mean return is not positive"), "measured")
