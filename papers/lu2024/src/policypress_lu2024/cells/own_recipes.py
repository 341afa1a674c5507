"""A table of the recipes that are none of the paper's: what they keep, and how small they make a policy."""

from __future__ import annotations

from policypress.measurement.statistics import Missing
from policypress.report.quantities import percent, times
from policypress.report.studies.estimates import Estimate
from policypress.report.studies.grids import NOTHING, CellText, Grid, Line, detail
from policypress.report.studies.wording import number, unit_value
from policypress_lu2024.cells.combination import Combination, Variant
from policypress_lu2024.cells.methods import is_of_the_paper
from policypress_lu2024.study_report import StudyReport
from policypress_lu2024.tables import standing

_HEADINGS = (("return", "", ""), ("return kept", "", ""), ("packed size", "", ""))


def own_recipes(report: StudyReport) -> tuple[Grid, ...]:
    """A grid for each runtime, a line for each combination and recipe; none where every recipe is the paper's."""
    made = []
    for runtime in report.runtimes:
        groups = []
        for algorithm in report.algorithms:
            lines = tuple(
                Line(
                    combination.name,
                    algorithm,
                    combination.environment,
                    _cells(combination, variant),
                    *standing(combination),
                    title=variant.recipe,
                    method=variant.method,
                )
                for combination in report.combinations
                if (combination.algorithm, combination.runtime) == (algorithm, runtime)
                for variant in combination.variants
                if not is_of_the_paper(variant.method)
            )
            if lines:
                groups.append((algorithm, lines))
        if groups:
            made.append(Grid(runtime, _HEADINGS, tuple(groups)))
    return tuple(made)


def _cells(combination: Combination, variant: Variant) -> tuple[CellText, ...]:
    if isinstance(variant.returns, Missing):
        returns = CellText("return", NOTHING, kind="missing", reason=variant.returns.reason)
    else:
        returns = CellText("return", number(variant.returns.value), detail=detail(variant.returns))
    return returns, _kept(variant), _packed(combination, variant)


def _kept(variant: Variant) -> CellText:
    kept = variant.retention
    if isinstance(kept, Missing):
        return CellText("return kept", NOTHING, kind="missing", reason=kept.reason)
    between = ""
    if kept.lower is not None and kept.upper is not None:
        between = f"{100 * kept.lower:.1f} to {percent(kept.upper)}"
    return CellText("return kept", percent(kept.value), detail=between)


def _packed(combination: Combination, variant: Variant) -> CellText:
    cost, base = variant.costs.get("packed_bytes"), combination.baseline_costs.get("packed_bytes")
    if cost is None or not isinstance(cost.absolute, Estimate):
        return CellText("packed size", NOTHING, kind="missing", reason="not measured")
    smaller = ""
    if base is not None and isinstance(base.absolute, Estimate) and cost.absolute.value > 0:
        smaller = f"{times(base.absolute.value / cost.absolute.value)} smaller"
    return CellText("packed size", unit_value(cost.absolute.value, "B"), detail=smaller)
