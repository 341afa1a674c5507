"""What the page's tables show: the paper's three, coverage and costs, cell by cell as text with what belongs to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from policypress.measurement.statistics import Missing
from policypress.report.quantities import percent
from policypress.report.studies.estimates import NOT_MEASURED, Estimate, MaybeEstimate
from policypress.report.studies.grids import NOTHING, CellText, Grid, Headings, Line, detail
from policypress.report.studies.wording import algorithm_name, number, unit_value
from policypress_lu2024.cells.combination import Combination
from policypress_lu2024.cells.methods import NORMS, QUANTIZATION, look
from policypress_lu2024.layout import OptimalRow, PruningRow, QuantizationRow, norm_name
from policypress_lu2024.study_report import StudyReport

_QUANTITIES = {
    "latency": ("inference time", "s"),
    "peak_rss": ("memory (peak resident set)", "B"),
    "energy_per_action": ("energy of an action", "J"),
    "energy_per_episode": ("energy of an episode", "J"),
    "cpu_per_action": ("CPU time of an action", "s"),
    "packed_bytes": ("packed size", "B"),
    "file_bytes": ("file size", "B"),
    "parameters": ("parameters", ""),
    "episode_length": ("length of an episode (steps)", ""),
}
_COST_COLUMNS: tuple[tuple[str, float | None], ...] = (
    *((method, None) for method in QUANTIZATION),
    *((norm, ratio) for ratio in (0.1, 0.5) for norm in NORMS),
)


def table_1(report: StudyReport) -> tuple[Grid, ...]:
    """Returns of quantized agents; one grid for each runtime."""
    headings = (("baseline", "", ""), *((look(m).label, m, "") for m in QUANTIZATION))
    return _grids(report, headings, {row.combination: _quantization_cells(row) for row in report.table1})


def table_2(report: StudyReport) -> tuple[Grid, ...]:
    """Returns of pruned agents, and the largest ratio of each norm that passes."""
    norms = ((f"{norm.upper()} at most", norm, "") for norm in NORMS)
    headings = (("baseline", "", ""), ("best pruned", "", ""), *norms)
    return _grids(report, headings, {row.combination: _pruning_cells(row) for row in report.table2})


def table_3(report: StudyReport) -> tuple[Grid, ...]:
    """The best pruning: environments down, algorithms across, as in the paper."""
    named = {c.name: c for c in report.combinations}
    rows = [row for row in report.table3 if row.combination in named]
    return _matrix(report, {row.combination: _optimal_cell(row, named[row.combination]) for row in rows})


def coverage(report: StudyReport) -> tuple[Grid, ...]:
    """What is done: environments down, algorithms across."""
    return _matrix(report, {c.name: _coverage_cell(c) for c in report.combinations})


def costs(report: StudyReport) -> tuple[Grid, ...]:
    """Medians over combinations of what has been measured: the baseline in its unit, the rest as shares of it."""
    headings = (("fp32", "", ""), *((_short(m, r), m, "") for m, r in _COST_COLUMNS))
    made = []
    for runtime in report.runtimes:
        chosen = [c for c in report.combinations if c.runtime == runtime]
        lines = [_cost_line(chosen, quantity) for quantity in _QUANTITIES]
        there = tuple(line for line in lines if any(cell.kind != "missing" for cell in line.cells))
        if there:
            made.append(Grid(runtime, headings, (("", there),)))
    return tuple(made)


def _grids(report: StudyReport, headings: Headings, rows: Mapping[str, tuple[CellText, ...]]) -> tuple[Grid, ...]:
    """A line for each combination, in groups by algorithm."""
    made = []
    for runtime in report.runtimes:
        groups = []
        for algorithm in report.algorithms:
            lines = tuple(
                Line(c.name, c.algorithm, c.environment, rows[c.name], *standing(c))
                for c in report.combinations
                if (c.algorithm, c.runtime) == (algorithm, runtime) and c.name in rows
            )
            if lines:
                groups.append((algorithm, lines))
        if groups:
            made.append(Grid(runtime, headings, tuple(groups)))
    return tuple(made)


def _matrix(report: StudyReport, cells: Mapping[str, CellText]) -> tuple[Grid, ...]:
    """A line for each environment, a column for each algorithm."""
    headings = tuple((algorithm_name(algorithm), "", algorithm) for algorithm in report.algorithms)
    made = []
    for runtime in report.runtimes:
        named = {(c.environment, c.algorithm): c.name for c in report.combinations if c.runtime == runtime}
        lines = tuple(
            Line(
                environment,
                "",
                environment,
                tuple(
                    cells.get(
                        named.get((environment, algorithm), ""),
                        CellText(name, NOTHING, algorithm=algorithm, kind="missing", reason="not in the study"),
                    )
                    for name, _, algorithm in headings
                ),
            )
            for environment in report.environments
        )
        if lines:
            made.append(Grid(runtime, headings, (("", lines),)))
    return tuple(made)


def standing(combination: Combination) -> tuple[str, str]:
    """Whether the baseline of a combination has learned, and why it is thought so; ``not run`` without a baseline."""
    if isinstance(combination.baseline, Missing):
        return "not run", combination.baseline.reason
    return combination.learned.verdict, combination.learned.reason


def _warning(verdict: str) -> str:
    return {"not learned": "not learned", "not known": "learning not known"}.get(verdict, "")


def _value(heading: str, value: MaybeEstimate, **more: Any) -> CellText:
    if isinstance(value, Missing):
        return CellText(heading, NOTHING, kind="missing", reason=value.reason, **more)
    return CellText(heading, number(value.value), detail=detail(value), **more)


def _quantization_cells(row: QuantizationRow) -> tuple[CellText, ...]:
    cells = []
    for method in ("baseline", *QUANTIZATION):
        published = row.published.get(method)
        compared = method != "baseline"
        cells.append(
            _value(
                look(method).label if compared else "baseline",
                row.returns.get(method, NOT_MEASURED),
                share=_share(row.returns.get(method), row.returns.get("baseline")) if compared else "",
                paper="" if published is None else number(published),
                method=method if compared else "",
                best=compared and row.best == method,
                paper_best=compared and row.published_best == method,
            )
        )
    return tuple(cells)


def _share(value: MaybeEstimate | None, baseline: MaybeEstimate | None) -> str:
    """A return as a share of the baseline's, where that says anything."""
    if isinstance(value, Estimate) and isinstance(baseline, Estimate) and baseline.value > 0:
        return percent(value.value / baseline.value, 0)
    return ""


def _pruning_cells(row: PruningRow) -> tuple[CellText, ...]:
    published = {name: number(row.published[name]) for name in ("baseline", "best_pruned") if name in row.published}
    cells = [
        _value("baseline", row.baseline, paper=published.get("baseline", "")),
        _value(
            "best pruned",
            row.best,
            share=_share(row.best, row.baseline),
            paper=published.get("best_pruned", ""),
        ),
    ]
    for norm in NORMS:
        heading, found = f"{norm.upper()} at most", row.ratios.get(norm)
        ratio = row.published.get(f"{norm}_ratio")
        paper = "" if ratio is None else percent(ratio, 0)
        if found is None:
            cells.append(CellText(heading, NOTHING, paper=paper, method=norm, kind="missing", reason="not measured"))
            continue
        runs = detail(found.returns).rsplit(" · ", 1)[-1] if isinstance(found.returns, Estimate) else ""
        cells.append(
            CellText(
                heading,
                "none" if found.ratio is None else percent(found.ratio, 0),
                detail=runs if found.complete else f"{runs}, not all ratios",
                paper=paper,
                method=norm,
                kind="none" if found.ratio is None else "",
            )
        )
    return tuple(cells)


def _optimal_cell(row: OptimalRow, combination: Combination) -> CellText:
    paper = ""
    if row.published_norm is not None and row.published_ratio is not None:
        paper = f"{row.published_norm.upper()} {percent(row.published_ratio, 0)}"
    text, kind = NOTHING, "missing"
    if row.norm == "none":
        text, kind = "none", "none"
    elif row.norm is not None and row.ratio is not None:
        text, kind = f"{norm_name(row.norm)} {percent(row.ratio, 0)}", ""
    return CellText(
        algorithm_name(combination.algorithm),
        text,
        detail="" if row.norm is None else _runs(combination),
        paper=paper,
        algorithm=combination.algorithm,
        kind=kind,
        reason=row.reason,
        note=_warning(standing(combination)[0]),
    )


def _runs(combination: Combination) -> str:
    """How many training seeds its pruned agents have."""
    known = [v.returns.runs for n in NORMS for v in combination.of_method(n) if isinstance(v.returns, Estimate)]
    if not known:
        return ""
    span = str(min(known)) if min(known) == max(known) else f"{min(known)} to {max(known)}"
    return "1 run" if span == "1" else f"{span} runs"


def _coverage_cell(combination: Combination) -> CellText:
    cells = combination.cells
    total = cells.done + cells.failed + cells.left
    seeds = len(combination.seeds)
    said = "1 seed" if seeds == 1 else f"{seeds} seeds"
    failed = f", {cells.failed} failed" if cells.failed else ""
    verdict, reason = standing(combination)
    return CellText(
        algorithm_name(combination.algorithm),
        said if seeds else "not run",
        note=_warning(verdict),
        detail=f"{cells.done} of {total} cells{failed}",
        algorithm=combination.algorithm,
        kind="" if seeds else "missing",
        reason=reason,
        part=cells.done / total if total else None,
    )


def _short(method: str, ratio: float | None) -> str:
    return look(method).label if ratio is None else f"{method.upper()} {percent(ratio, 0)}"


def _cost_line(chosen: Sequence[Combination], quantity: str) -> Line:
    name, unit = _QUANTITIES[quantity]
    base = [
        cost.absolute.value
        for c in chosen
        if (cost := c.baseline_costs.get(quantity)) is not None and isinstance(cost.absolute, Estimate)
    ]
    first = CellText("fp32", unit_value(median(base), unit)) if base else CellText("fp32", NOTHING, kind="missing")
    cells, sources = [first], set()
    for method, ratio in _COST_COLUMNS:
        found = [
            cost
            for c in chosen
            if (variant := c.variant(method, ratio)) is not None and (cost := variant.costs.get(quantity)) is not None
        ]
        shares = [cost.relative.value for cost in found if isinstance(cost.relative, Estimate)]
        sources |= {cost.source for cost in found if cost.source is not None}
        heading = _short(method, ratio)
        if not shares:
            cells.append(CellText(heading, NOTHING, method=method, kind="missing", reason="not measured"))
            continue
        cells.append(CellText(heading, percent(median(shares)), detail=_spread(shares), method=method))
    return Line(name + (", modelled" if "modelled" in sources else ""), "", "", tuple(cells))


def _spread(shares: Sequence[float]) -> str:
    """The smallest and the largest of shares that differ; else how many there are."""
    if percent(min(shares)) == percent(max(shares)):
        return f"in all {len(shares)}" if len(shares) > 1 else "1 combination"
    return f"{100 * min(shares):.1f}–{percent(max(shares))}"
