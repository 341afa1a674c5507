"""Every table of the report as plain columns and rows, for CSV: numbers in full, in SI units, empty where unknown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from policypress.report.csv_text import csv_of
from policypress.report.studies.estimates import Estimate, MaybeEstimate
from policypress.report.study.combination import Combination, Variant
from policypress.report.study.paper import METHODS, NORMS
from policypress.report.study.study_report import StudyReport

Value = str | float | int | bool | None
_KEYS = ("runtime", "algorithm", "environment", "environment_id", "baseline_learned")
_OF_ESTIMATE = ("", "_lower", "_upper", "_runs", "_unit", "_missing")


@dataclass(frozen=True)
class Sheet:
    """A table: its name, for the file, its columns, and its rows."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]

    def csv(self) -> str:
        """As CSV; see :func:`csv_of`."""
        return csv_of(self.columns, self.rows)


def sheets(report: StudyReport) -> tuple[Sheet, ...]:
    """The paper's three tables, every variant, the figures' points, aggregates and findings."""
    return (
        _quantization(report),
        _pruning(report),
        _optimal(report),
        _variants(report),
        _points(report),
        _aggregates(report),
        _improvements(report),
        _findings(report),
    )


def _names(prefix: str) -> tuple[str, ...]:
    return tuple(prefix + ending for ending in _OF_ESTIMATE)


def _values(known: MaybeEstimate) -> tuple[Value, ...]:
    if isinstance(known, Estimate):
        return known.value, known.lower, known.upper, known.runs, known.unit, None
    return None, None, None, None, None, known.reason


def _keys(combination: Combination) -> tuple[Value, ...]:
    return (
        combination.runtime,
        combination.algorithm,
        combination.environment,
        combination.environment_id,
        combination.learned.verdict,
    )


def _quantization(report: StudyReport) -> Sheet:
    columns = ("baseline", *METHODS)
    names = [name for column in columns for name in (*_names(column), f"{column}_paper")]
    rows = []
    for row in report.table1:
        found: list[Value] = list(_keys(report.combination(row.combination)))
        for column in columns:
            found += [*_values(row.returns[column]), row.published.get(column)]
        rows.append((*found, row.best, row.published_best))
    return Sheet("table-1-quantization", (*_KEYS, *names, "best", "best_paper"), tuple(rows))


def _pruning(report: StudyReport) -> Sheet:
    names = (*_names("baseline"), *_names("best_pruned"))
    ratios = [name for norm in NORMS for name in (f"{norm}_ratio", f"{norm}_complete")]
    paper = [f"{name}_paper" for name in ("baseline", "best_pruned", "l1_ratio", "l2_ratio")]
    rows = []
    for row in report.table2:
        found: list[Value] = [*_keys(report.combination(row.combination)), *_values(row.baseline), *_values(row.best)]
        for norm in NORMS:
            pruned = row.ratios.get(norm)
            found += (
                [None, None] if pruned is None else ["none" if pruned.ratio is None else pruned.ratio, pruned.complete]
            )
        rows.append((*found, *(row.published.get(name.removesuffix("_paper")) for name in paper)))
    return Sheet("table-2-pruning", (*_KEYS, *names, *ratios, *paper), tuple(rows))


def _optimal(report: StudyReport) -> Sheet:
    rows = tuple(
        (
            *_keys(report.combination(row.combination)),
            row.norm,
            row.ratio,
            row.reason or None,
            row.published_norm,
            row.published_ratio,
        )
        for row in report.table3
    )
    return Sheet("table-3-best-pruning", (*_KEYS, "norm", "ratio", "missing", "norm_paper", "ratio_paper"), rows)


def _variants(report: StudyReport) -> Sheet:
    quantities = sorted({name for c in report.combinations for v in c.variants for name in v.costs})
    costs = [name for quantity in quantities for name in (quantity, f"{quantity}_relative", f"{quantity}_source")]
    columns = (
        *_KEYS,
        *("steps", "recipe", "method", "ratio", "done", "failed", "left"),
        *_names("return"),
        *_names("ratio_to_baseline"),
        *_names("retention"),
        *("keeps_90_percent", "return_paper"),
        *costs,
    )
    rows = tuple(
        (*_variant(combination, variant), *(value for name in quantities for value in _cost(variant, name)))
        for combination in report.combinations
        for variant in combination.variants
    )
    return Sheet("variants", columns, rows)


def _variant(combination: Combination, variant: Variant) -> tuple[Value, ...]:
    cells = variant.cells
    return (
        *_keys(combination),
        *(combination.steps, variant.recipe, variant.method, variant.ratio, cells.done, cells.failed, cells.left),
        *_values(variant.returns),
        *_values(variant.ratio_to_baseline),
        *_values(variant.retention),
        *(variant.keeps_90_percent, variant.published),
    )


def _cost(variant: Variant, quantity: str) -> Iterator[Value]:
    cost = variant.costs[quantity]
    for known in (cost.absolute, cost.relative):
        yield known.value if isinstance(known, Estimate) else None
    yield cost.source


def _points(report: StudyReport) -> Sheet:
    rows = tuple(
        (
            *(series.figure, series.quantity, series.unit, series.runtime),
            *(point.algorithm, point.environment, point.method, point.ratio, point.source),
            *_values(point.absolute),
            *_values(point.relative),
        )
        for series in report.series
        for point in series.points
    )
    columns = (
        "figure",
        "quantity",
        "quantity_unit",
        "runtime",
        "algorithm",
        "environment",
        "method",
        "ratio",
        "source",
    )
    return Sheet("figures", (*columns, *_names("absolute"), *_names("relative")), rows)


def _aggregates(report: StudyReport) -> Sheet:
    rows = tuple(
        (one.runtime, one.method, one.ratio, one.combinations, one.runs, *_values(one.iqm), *_values(one.mean))
        for one in report.aggregates
    )
    columns = ("runtime", "method", "ratio", "combinations", "runs", *_names("iqm"), *_names("mean"))
    return Sheet("aggregates", columns, rows)


def _improvements(report: StudyReport) -> Sheet:
    rows = tuple(
        (one.runtime, one.first, one.second, one.combinations, *_values(one.probability)) for one in report.improvements
    )
    columns = ("runtime", "first", "second", "combinations", *_names("probability"))
    return Sheet("probability-of-improvement", columns, rows)


def _findings(report: StudyReport) -> Sheet:
    rows: Iterable[tuple[Value, ...]] = (
        (finding.name, finding.statement, finding.section, evidence.runtime or "paper", evidence.verdict, evidence.text)
        for finding in report.findings
        for evidence in (finding.paper, *finding.study)
    )
    return Sheet("findings", ("name", "statement", "section", "source", "verdict", "evidence"), tuple(rows))
