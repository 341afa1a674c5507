"""Every table of the report as plain columns and rows, for CSV: numbers in full, in SI units, empty where unknown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from policypress.report.studies.estimates import Estimate
from policypress.report.studies.sheets import Sheet, Value, names_of, values_of
from policypress_lu2024.cells.combination import Combination, Variant
from policypress_lu2024.paper import METHODS, NORMS
from policypress_lu2024.study_report import StudyReport

_KEYS = ("runtime", "algorithm", "environment", "environment_id", "baseline_learned")


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
    names = [name for column in columns for name in (*names_of(column), f"{column}_paper")]
    rows = []
    for row in report.table1:
        found: list[Value] = list(_keys(report.combination(row.combination)))
        for column in columns:
            found += [*values_of(row.returns[column]), row.published.get(column)]
        rows.append((*found, row.best, row.published_best))
    return Sheet("table-1-quantization", (*_KEYS, *names, "best", "best_paper"), tuple(rows))


def _pruning(report: StudyReport) -> Sheet:
    names = (*names_of("baseline"), *names_of("best_pruned"))
    ratios = [name for norm in NORMS for name in (f"{norm}_ratio", f"{norm}_complete")]
    paper = [f"{name}_paper" for name in ("baseline", "best_pruned", "l1_ratio", "l2_ratio")]
    rows = []
    for row in report.table2:
        found: list[Value] = [
            *_keys(report.combination(row.combination)),
            *values_of(row.baseline),
            *values_of(row.best),
        ]
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
        *names_of("return"),
        *names_of("ratio_to_baseline"),
        *names_of("retention"),
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
        *values_of(variant.returns),
        *values_of(variant.ratio_to_baseline),
        *values_of(variant.retention),
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
            *values_of(point.absolute),
            *values_of(point.relative),
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
    return Sheet("figures", (*columns, *names_of("absolute"), *names_of("relative")), rows)


def _aggregates(report: StudyReport) -> Sheet:
    rows = tuple(
        (one.runtime, one.method, one.ratio, one.combinations, one.runs, *values_of(one.iqm), *values_of(one.mean))
        for one in report.aggregates
    )
    columns = ("runtime", "method", "ratio", "combinations", "runs", *names_of("iqm"), *names_of("mean"))
    return Sheet("aggregates", columns, rows)


def _improvements(report: StudyReport) -> Sheet:
    rows = tuple(
        (one.runtime, one.first, one.second, one.combinations, *values_of(one.probability))
        for one in report.improvements
    )
    columns = ("runtime", "first", "second", "combinations", *names_of("probability"))
    return Sheet("probability-of-improvement", columns, rows)


def _findings(report: StudyReport) -> Sheet:
    rows: Iterable[tuple[Value, ...]] = (
        (finding.name, finding.statement, finding.section, evidence.runtime or "paper", evidence.verdict, evidence.text)
        for finding in report.findings
        for evidence in (finding.paper, *finding.study)
    )
    return Sheet("findings", ("name", "statement", "section", "source", "verdict", "evidence"), tuple(rows))
