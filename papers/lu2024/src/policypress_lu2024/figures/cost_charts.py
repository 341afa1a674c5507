"""The paper's Figures 1, 2 and 3: what inference costs after quantization, and ratio by ratio after pruning."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import median
from typing import Any

import altair

from policypress.report.axes import chart_of
from policypress.report.drawing.figure import StudyFigure
from policypress.report.drawing.panels import Panel, layered, telling, told
from policypress.report.quantities import percent
from policypress.report.studies.estimates import Estimate
from policypress.report.studies.wording import algorithm_name
from policypress_lu2024.cells.methods import PALETTE, labelled, look, ordered
from policypress_lu2024.layout import Point, Series
from policypress_lu2024.study_report import StudyReport

_TITLES = {
    1: ("figure-1", "Figure 1: costs of quantized agents"),
    2: ("figure-2", "Figure 2: costs after L1 pruning"),
    3: ("figure-3", "Figure 3: costs after L2 pruning"),
}
_EXPLAINED = (
    "Every value is a share of the same agents' fp32 baseline, under the same runtime; the line at 100 % is that "
    "baseline."
)
_WIDTH, _HEIGHT = 250, 190


def cost_figure(report: StudyReport, number: int) -> StudyFigure | None:
    """The paper's figure ``number`` (1, 2 or 3); a panel for each quantity and runtime that has numbers."""
    drawn = [(series, _drawable(series)) for series in report.series if series.figure == number]
    panels = tuple(
        Panel(_titled(series, report), _strips(points) if number == 1 else _curves(points), {"runtime": series.runtime})
        for series, points in drawn
        if points
    )
    if not panels:
        return None
    name, title = _TITLES[number]
    methods = ordered(point.method for _, points in drawn for point in points)
    marks = (
        "A mark is one combination of algorithm and environment; the bar is the median of them all."
        if number == 1
        else "A thin line is one combination of algorithm and environment; the thick one is the median of them all."
    )
    meaning = f"{_EXPLAINED} {marks} {_source(drawn)}{missing_words(report, number)}"
    columns = 2 if len(panels) in (2, 4) else 3
    return StudyFigure(name, title, meaning.strip(), panels, methods, columns, palette=PALETTE)


def missing_words(report: StudyReport, number: int) -> str:
    """What of the figure ``number`` has no numbers, and why."""
    reasons: dict[str, list[str]] = {}
    for series in report.series:
        if series.figure == number and series.missing:
            reasons.setdefault(series.missing, []).append(_titled(series, report))
    return " ".join(f"Not drawn: {', '.join(titles)} ({reason})." for reason, titles in reasons.items())


def _titled(series: Series, report: StudyReport) -> str:
    return series.title if len(report.runtimes) == 1 else f"{series.title}, {series.runtime}"


def _drawable(series: Series) -> tuple[Point, ...]:
    """The points with a share of the baseline; the baseline's own is the line at 100 %."""
    return tuple(p for p in series.points if isinstance(p.relative, Estimate) and p.method != "baseline")


def _source(drawn: Sequence[tuple[Series, Sequence[Point]]]) -> str:
    modelled = [series.title for series, points in drawn if any(point.source == "modelled" for point in points)]
    if not modelled:
        return ""
    return f"Modelled from CPU time, not measured: {', '.join(dict.fromkeys(modelled))}. "


def _row(point: Point) -> dict[str, Any]:
    relative, absolute = point.relative, point.absolute
    value = relative.value if isinstance(relative, Estimate) else 1.0
    text = (
        f"{algorithm_name(point.algorithm)} {point.environment}, {labelled(point.method, point.ratio)}: "
        f"{percent(value)} of the baseline"
    )
    if isinstance(absolute, Estimate):
        text += f", {absolute.runs} {'run' if absolute.runs == 1 else 'runs'}"
    belongs = {"algorithm": point.algorithm, "environment": point.environment, "method": point.method}
    return {
        "combination": point.combination,
        "method": point.method,
        "name": look(point.method).label,
        "ratio": point.ratio,
        "at": value,
        "told": told(text, **belongs),
    }


def _axis(rows: Sequence[dict[str, Any]]) -> tuple[altair.Scale, altair.Axis]:
    """Wide enough for the values, and never so narrow that noise looks like an effect."""
    low, high = min(0.9, *(row["at"] for row in rows)), max(1.1, *(row["at"] for row in rows))
    pad = 0.05 * (high - low)
    axis = altair.Axis(labelExpr="format(100 * datum.value, '~r') + ' %'", tickCount=5)
    return altair.Scale(domain=[low - pad, high + pad], nice=False), axis


def _baseline(**channel: altair.X | altair.Y) -> altair.Chart:
    made: altair.Chart = chart_of([{"at": 1.0}]).mark_rule(style="reference").encode(**channel)
    return made


def _strips(points: Sequence[Point]) -> dict[str, Any]:
    """Methods in lines, combinations as marks."""
    rows = [_row(point) for point in points]
    methods = ordered(row["method"] for row in rows)
    combinations = list(dict.fromkeys(row["combination"] for row in rows))
    for row in rows:
        # Each combination keeps its height in every line, so that it can be followed.
        at = combinations.index(row["combination"])
        row["line"] = methods.index(row["method"]) + 0.64 * ((at + 0.5) / len(combinations) - 0.5)
    bars = [
        {"method": m, "line": at - 0.4, "end": at + 0.4, "at": median(row["at"] for row in rows if row["method"] == m)}
        for at, m in enumerate(methods)
    ]
    for bar in bars:
        text = f"{look(bar['method']).label}: median {percent(bar['at'])} of the baseline"
        bar["told"] = told(text, method=bar["method"])
    scale, axis = _axis(rows)
    x = altair.X("at:Q", title="share of the baseline", scale=scale, axis=axis)
    names = " : ".join(f"datum.value == {at} ? {json.dumps(look(m).label)}" for at, m in enumerate(methods)) + ' : ""'
    y = altair.Y(
        "line:Q",
        title=None,
        scale=altair.Scale(domain=[len(methods) - 0.45, -0.55], nice=False),
        axis=altair.Axis(values=list(range(len(methods))), labelExpr=names, grid=False, ticks=False, domain=False),
    )
    colour = PALETTE.colour(methods)
    layers = [
        _baseline(x=x),
        chart_of(rows)
        .mark_point(filled=True, size=34, opacity=0.6)
        .encode(x=x, y=y, color=colour, shape=PALETTE.shape(methods), description=telling()),
        chart_of(bars).mark_rule(strokeWidth=2.5).encode(x=x, y=y, y2="end:Q", color=colour, description=telling()),
    ]
    return layered(layers, _WIDTH, 54 * len(methods) + 14, "costs of quantized agents as shares of the baseline's")


def _curves(points: Sequence[Point]) -> dict[str, Any]:
    """Ratios along, a thin line for each combination."""
    rows = [_row(point) for point in points if point.ratio is not None]
    methods = ordered(row["method"] for row in rows)
    lines = [
        {"method": m, "ratio": r, "at": median(row["at"] for row in rows if (row["method"], row["ratio"]) == (m, r))}
        for m in methods
        for r in sorted({row["ratio"] for row in rows if row["method"] == m})
    ]
    for line in lines:
        text = f"{labelled(line['method'], line['ratio'])}: median {percent(line['at'])} of the baseline"
        line["told"] = told(text, method=line["method"])
    scale, axis = _axis(rows)
    shown = altair.Axis(labelExpr=axis.labelExpr, values=[0, 0.2, 0.4, 0.6], grid=False)
    x = altair.X(
        "ratio:Q", title="hidden channels removed", scale=altair.Scale(domain=[0, 0.72], nice=False), axis=shown
    )
    y = altair.Y("at:Q", title="share of the baseline", scale=scale, axis=axis)
    colour = PALETTE.colour(methods)
    layers = [
        _baseline(y=y),
        chart_of(rows)
        .mark_line(strokeWidth=1, opacity=0.4)
        .encode(x=x, y=y, color=colour, detail="combination:N", description=telling()),
        chart_of(lines)
        .mark_line(strokeWidth=2.5)
        .encode(x=x, y=y, color=colour, strokeDash=PALETTE.dash(methods), description=telling()),
        chart_of(lines)
        .mark_point(filled=True, size=36, opacity=1)
        .encode(x=x, y=y, color=colour, shape=PALETTE.shape(methods), description=telling()),
    ]
    return layered(layers, _WIDTH, _HEIGHT, "costs by the share of channels removed, as shares of the baseline's")
