"""The paper's three tables and the aggregates as LaTeX: plain ``tabular``, no package needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from policypress.report.studies.latex import NOTHING, bold, escaped, estimate, percent, tabular
from policypress_lu2024.cells.combination import Combination
from policypress_lu2024.layout import OptimalRow, PruningRow, QuantizationRow, norm_name
from policypress_lu2024.paper import METHODS, NORMS
from policypress_lu2024.study_report import StudyReport

_NOT_LEARNED = r"$^\dagger$"


def latex_tables(report: StudyReport) -> dict[str, str]:
    """Name → source of each table, one for each runtime where there are several."""
    found = {}
    for runtime in report.runtimes:
        own = {c.name: c for c in report.combinations if c.runtime == runtime}
        ending = f"-{runtime}" if len(report.runtimes) > 1 else ""
        found[f"table-1-quantization{ending}"] = _quantization(report.table1, own, runtime)
        found[f"table-2-pruning{ending}"] = _pruning(report.table2, own, runtime)
        found[f"table-3-best-pruning{ending}"] = _optimal(report.table3, own, runtime)
        found[f"aggregates{ending}"] = _aggregates(report, runtime)
    return found


def _notes(what: str, runtime: str) -> list[str]:
    return [
        f"{what}, under {runtime}.",
        "Means with half the width of their 95 % interval, and in parentheses the number of training seeds (of one "
        "seed the interval is over its episodes); in brackets the number of Lu et al. (2024).",
        "A dagger marks a baseline that has not learned.",
    ]


def _quantization(rows: Sequence[QuantizationRow], own: Mapping[str, Combination], runtime: str) -> str:
    columns = ("baseline", *METHODS)
    cells = []
    for row in rows:
        if row.combination in own:
            returns = [
                bold(estimate(row.returns[name]), row.best == name) + _paper(row.published.get(name))
                for name in columns
            ]
            cells.append([*_place(own[row.combination]), *returns])
    headings = ("algorithm", "environment", "baseline", *(method.upper() for method in METHODS))
    return tabular(headings, cells, _notes("Returns of quantized agents", runtime))


def _pruning(rows: Sequence[PruningRow], own: Mapping[str, Combination], runtime: str) -> str:
    cells = []
    for row in rows:
        if row.combination in own:
            returns = [
                estimate(known) + _paper(row.published.get(name))
                for name, known in (("baseline", row.baseline), ("best_pruned", row.best))
            ]
            ratios = []
            for norm in NORMS:
                pruned = row.ratios.get(norm)
                text = NOTHING if pruned is None else "none" if pruned.ratio is None else percent(pruned.ratio)
                told = row.published.get(f"{norm}_ratio")
                ratios.append(text + ("" if told is None else f" [{percent(told)}]"))
            cells.append([*_place(own[row.combination]), *returns, *ratios])
    headings = ("algorithm", "environment", "baseline", "pruned", "L1", "L2")
    return tabular(headings, cells, _notes("Returns of pruned agents, and what keeps 90 % of the return", runtime))


def _optimal(rows: Sequence[OptimalRow], own: Mapping[str, Combination], runtime: str) -> str:
    cells = []
    for row in rows:
        if row.combination in own:
            ours = NOTHING if row.norm is None else row.norm if row.ratio is None else _best(row.norm, row.ratio)
            paper = NOTHING
            if row.published_norm is not None and row.published_ratio is not None:
                paper = _best(row.published_norm, row.published_ratio)
            cells.append([*_place(own[row.combination]), ours, paper])
    headings = ("algorithm", "environment", "best pruning", "Lu et al.")
    return tabular(headings, cells, _notes("The pruning that removes most and keeps 90 % of the return", runtime))


def _aggregates(report: StudyReport, runtime: str) -> str:
    cells = [
        [
            escaped(one.method.upper()),
            "" if one.ratio is None else percent(one.ratio),
            estimate(one.iqm, runs=False),
            estimate(one.mean, runs=False),
            str(one.combinations),
            str(one.runs),
        ]
        for one in report.aggregates
        if one.runtime == runtime
    ]
    headings = ("method", "ratio", "IQM", "mean", "combinations", "runs")
    notes = [f"Share of the baseline's score above random actions, under {runtime}: interquartile mean and mean."]
    return tabular(headings, cells, notes, left=1)


def _place(combination: Combination) -> list[str]:
    mark = _NOT_LEARNED if combination.seeds and combination.learned.verdict != "learned" else ""
    return [escaped(combination.algorithm.upper()), escaped(combination.environment) + mark]


def _paper(value: float | None) -> str:
    return "" if value is None else f" [{value}]"


def _best(norm: str, ratio: float) -> str:
    return f"{norm_name(norm)} {percent(ratio)}"
