"""The paper's three tables and the aggregates as LaTeX: plain ``tabular``, no package needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from policypress.foreign_text import plain, plain_lines
from policypress.report.quantities import with_spread
from policypress.report.studies.estimates import Estimate, MaybeEstimate
from policypress.report.study.combination import Combination
from policypress.report.study.layout import OptimalRow, PruningRow, QuantizationRow, norm_name
from policypress.report.study.paper import METHODS, NORMS
from policypress.report.study.study_report import StudyReport

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "–": "--",
    "|": r"\textbar{}",
}
_NOTHING = "--"
_NOT_LEARNED = r"$^\dagger$"
Rows = Sequence[Sequence[str]]


def escaped(text: str) -> str:
    r"""Text as LaTeX sets it.

    >>> escaped("10 % & more_{}")
    '10 \\% \\& more\\_\\{\\}'
    """
    return "".join(_SPECIAL.get(character, character) for character in plain(text))


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


def tabular(columns: Sequence[str], rows: Rows, notes: Sequence[str], left: int = 2) -> str:
    """A ``tabular`` with rules, its notes as comments above; every row has as many cells as there are columns.

    Args:
        columns: headings, as LaTeX.
        rows: cells, as LaTeX.
        notes: of plain text.
        left: number of columns that are aligned left.
    """
    lines = [f"% {line}" for note in notes for line in plain_lines(note).splitlines()]
    lines += [rf"\begin{{tabular}}{{{'l' * left}{'r' * (len(columns) - left)}}}", r"\hline"]
    lines += [" & ".join(columns) + r" \\", r"\hline"]
    # Behind the end of a row, a bracket or an asterisk would be an argument of it, blanks before it or not.
    lines += [("{}" if "".join(row).lstrip()[:1] in ("[", "*") else "") + " & ".join(row) + r" \\" for row in rows]
    return "\n".join([*lines, r"\hline", r"\end{tabular}", ""])


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
                _bold(_estimate(row.returns[name]), row.best == name) + _paper(row.published.get(name))
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
                _estimate(known) + _paper(row.published.get(name))
                for name, known in (("baseline", row.baseline), ("best_pruned", row.best))
            ]
            ratios = []
            for norm in NORMS:
                pruned = row.ratios.get(norm)
                text = _NOTHING if pruned is None else "none" if pruned.ratio is None else _percent(pruned.ratio)
                told = row.published.get(f"{norm}_ratio")
                ratios.append(text + ("" if told is None else f" [{_percent(told)}]"))
            cells.append([*_place(own[row.combination]), *returns, *ratios])
    headings = ("algorithm", "environment", "baseline", "pruned", "L1", "L2")
    return tabular(headings, cells, _notes("Returns of pruned agents, and what keeps 90 % of the return", runtime))


def _optimal(rows: Sequence[OptimalRow], own: Mapping[str, Combination], runtime: str) -> str:
    cells = []
    for row in rows:
        if row.combination in own:
            ours = _NOTHING if row.norm is None else row.norm if row.ratio is None else _best(row.norm, row.ratio)
            paper = _NOTHING
            if row.published_norm is not None and row.published_ratio is not None:
                paper = _best(row.published_norm, row.published_ratio)
            cells.append([*_place(own[row.combination]), ours, paper])
    headings = ("algorithm", "environment", "best pruning", "Lu et al.")
    return tabular(headings, cells, _notes("The pruning that removes most and keeps 90 % of the return", runtime))


def _aggregates(report: StudyReport, runtime: str) -> str:
    cells = [
        [
            escaped(one.method.upper()),
            "" if one.ratio is None else _percent(one.ratio),
            _estimate(one.iqm, runs=False),
            _estimate(one.mean, runs=False),
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


def _estimate(known: MaybeEstimate, *, runs: bool = True) -> str:
    if not isinstance(known, Estimate):
        return _NOTHING
    half = None if known.lower is None or known.upper is None else (known.upper - known.lower) / 2
    return escaped(with_spread(known.value, half)) + (f" ({known.runs})" if runs else "")


def _paper(value: float | None) -> str:
    return "" if value is None else f" [{value}]"


def _percent(ratio: float) -> str:
    return rf"{100 * ratio:.0f}\,\%"


def _best(norm: str, ratio: float) -> str:
    return f"{norm_name(norm)} {_percent(ratio)}"


def _bold(text: str, best: bool) -> str:
    return rf"\textbf{{{text}}}" if best else text
