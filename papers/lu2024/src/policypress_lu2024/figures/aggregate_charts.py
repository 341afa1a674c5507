"""Aggregates over combinations as charts: interquartile means, performance profiles, probabilities of improvement.

Agarwal et al. (2021), "Deep Reinforcement Learning at the Edge of the Statistical Precipice".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import altair

from policypress.report.axes import chart_of
from policypress.report.drawing.figure import StudyFigure
from policypress.report.drawing.forest import SHARES, forest, with_interval
from policypress.report.drawing.panels import Panel, layered, telling, told
from policypress.report.quantities import percent
from policypress.report.studies.estimates import Estimate
from policypress_lu2024.cells.methods import PALETTE, labelled, look, ordered
from policypress_lu2024.findings.conclusions import Aggregate, Improvement
from policypress_lu2024.study_report import StudyReport

PROFILE_RATIO = 0.1
"""Ratio of the pruning whose profile is drawn: the one that the paper calls safe."""
_WIDTH, _HEIGHT = 250, 190


def aggregate_figures(report: StudyReport) -> list[StudyFigure]:
    """Those of the three that there are numbers for."""
    made = [interquartile_means(report), profiles(report), improvements(report)]
    return [figure for figure in made if figure is not None]


def interquartile_means(report: StudyReport) -> StudyFigure | None:
    """IQM of the return kept: of each method without a ratio, and of pruning by its ratio."""
    panels = []
    for runtime in report.runtimes:
        known = [a for a in report.aggregates if a.runtime == runtime and isinstance(a.iqm, Estimate)]
        whole, pruned = [a for a in known if a.ratio is None], [a for a in known if a.ratio is not None]
        for title, chosen, draw in (("by method", whole, _means), ("pruning", pruned, _mean_curves)):
            if chosen:
                panels.append(Panel(_titled(title, runtime, report), draw(chosen), {"runtime": runtime}))
    meaning = (
        "Interquartile mean of the return kept (0 is random actions, 100 % the fp32 agent) over all runs of all "
        "combinations whose baseline has learned, with 95 % intervals by stratified bootstrap over training seeds."
    )
    return _figure("interquartile-means", "Interquartile mean of the return kept", meaning, panels, report.aggregates)


def profiles(report: StudyReport) -> StudyFigure | None:
    """Performance profiles: share of runs that keep at least so much."""
    panels = []
    for runtime in report.runtimes:
        chosen = [
            aggregate
            for aggregate in report.aggregates
            if aggregate.runtime == runtime and aggregate.profile and aggregate.ratio in (None, PROFILE_RATIO)
        ]
        whole, pruned = [a for a in chosen if a.ratio is None], [a for a in chosen if a.ratio is not None]
        for title, some in (("by method", whole), (f"pruning, {percent(PROFILE_RATIO, 0)}", pruned)):
            if some:
                panels.append(Panel(_titled(title, runtime, report), _profile(some), {"runtime": runtime}))
    meaning = (
        "Share of runs that keep more than so much of their baseline's return: the higher the line, the better; where "
        "two cross, neither is better throughout. Bands are 95 % intervals."
    )
    return _figure("performance-profiles", "Performance profiles", meaning, panels, report.aggregates)


def improvements(report: StudyReport) -> StudyFigure | None:
    """Probability that one method keeps more than another."""
    panels = []
    for runtime in report.runtimes:
        chosen = [i for i in report.improvements if i.runtime == runtime and isinstance(i.probability, Estimate)]
        if chosen:
            panels.append(Panel(_titled("pairs of methods", runtime, report), _pairs(chosen), {"runtime": runtime}))
    if not panels:
        return None
    meaning = (
        "Probability that a run of the first method keeps more than one of the second, mean over combinations, with "
        "95 % intervals. Where the interval holds 50 %, nothing can be said of the pair."
    )
    title = "Probability of improvement"
    return StudyFigure("probability-of-improvement", title, meaning, tuple(panels), columns=2, palette=PALETTE)


def _figure(
    name: str, title: str, meaning: str, panels: Sequence[Panel], shown: Sequence[Aggregate]
) -> StudyFigure | None:
    if not panels:
        return None
    methods = ordered(a.method for a in shown if not a.missing)
    return StudyFigure(name, title, meaning, tuple(panels), methods, 2, palette=PALETTE)


def _titled(title: str, runtime: str, report: StudyReport) -> str:
    return title if len(report.runtimes) == 1 else f"{title}, {runtime}"


def _row(aggregate: Aggregate) -> dict[str, Any]:
    iqm = aggregate.iqm
    if not isinstance(iqm, Estimate):
        return {}
    text = (
        f"{labelled(aggregate.method, aggregate.ratio)}: {with_interval(iqm)}, {aggregate.runs} runs of "
        f"{aggregate.combinations} combinations"
    )
    row: dict[str, Any] = {"method": aggregate.method, "name": look(aggregate.method).label, "at": iqm.value}
    if aggregate.ratio is not None:
        row["ratio"] = aggregate.ratio
    if iqm.lower is not None and iqm.upper is not None:
        row |= {"lower": iqm.lower, "upper": iqm.upper}
    return {**row, "told": told(text, method=aggregate.method)}


def _means(chosen: Sequence[Aggregate]) -> dict[str, Any]:
    rows = [_row(aggregate) for aggregate in chosen]
    return forest(rows, "interquartile mean of the return kept", 1.0, "interquartile means by method", PALETTE)


def _pairs(chosen: Sequence[Improvement]) -> dict[str, Any]:
    rows = []
    for pair in chosen:
        if isinstance(pair.probability, Estimate):
            name = f"{_short(pair.first)} over {_short(pair.second)}"
            row = {"method": pair.first, "name": name, "at": pair.probability.value}
            if pair.probability.lower is not None and pair.probability.upper is not None:
                row |= {"lower": pair.probability.lower, "upper": pair.probability.upper}
            text = f"{name}: {with_interval(pair.probability)}, {pair.combinations} combinations"
            rows.append({**row, "told": told(text, method=pair.first)})
    return forest(rows, "probability of improvement", 0.5, "probabilities of improvement", PALETTE)


def _short(method: str) -> str:
    return look(method).label.removesuffix(" pruning")


def _banded(
    rows: Sequence[dict[str, Any]], x: altair.X, y: altair.Y, below: Callable[[str], altair.Y], *, dots: bool
) -> list[Any]:
    """Lines by method with a band around each."""
    methods = ordered(row["method"] for row in rows)
    colour = PALETTE.colour(methods)
    spread = chart_of([row for row in rows if "lower" in row])
    lines = chart_of(rows)
    layers: list[Any] = [
        spread.mark_area(opacity=0.16).encode(
            x=x, y=below("lower:Q"), y2="upper:Q", color=colour, description=telling()
        ),
        lines.mark_line(strokeWidth=2).encode(
            x=x, y=y, color=colour, strokeDash=PALETTE.dash(methods), description=telling()
        ),
    ]
    if dots:
        layers.append(
            lines.mark_point(filled=True, size=36, opacity=1).encode(
                x=x, y=y, color=colour, shape=PALETTE.shape(methods), description=telling()
            )
        )
    return layers


def _mean_curves(chosen: Sequence[Aggregate]) -> dict[str, Any]:
    rows = [_row(aggregate) for aggregate in chosen]
    shown = altair.Axis(labelExpr=SHARES.labelExpr, values=[0, 0.2, 0.4, 0.6], grid=False)
    x = altair.X(
        "ratio:Q", title="hidden channels removed", scale=altair.Scale(domain=[0, 0.72], nice=False), axis=shown
    )
    scale = altair.Scale(domain=[min([0.0, *(row["at"] for row in rows)]), max([1.05, *(row["at"] for row in rows)])])

    def upward(field: str) -> altair.Y:
        return altair.Y(field, title="interquartile mean", scale=scale, axis=SHARES)

    level = chart_of([{"at": 1.0}]).mark_rule(style="reference").encode(y=upward("at:Q"))
    layers = [level, *_banded(rows, x, upward("at:Q"), upward, dots=True)]
    return layered(layers, _WIDTH, _HEIGHT, "interquartile mean by the share of channels removed")


def _profile(chosen: Sequence[Aggregate]) -> dict[str, Any]:
    rows = []
    for aggregate in chosen:
        text = f"{labelled(aggregate.method, aggregate.ratio)}, {aggregate.runs} runs"
        for point in aggregate.profile:
            share = point.share
            values = {"score": point.score, "at": share.estimate, "lower": share.lower, "upper": share.upper}
            rows.append({"method": aggregate.method, **values, "told": told(text, method=aggregate.method)})
    x = altair.X("score:Q", title="return kept", axis=SHARES)

    def upward(field: str) -> altair.Y:
        return altair.Y(field, title="share of runs", scale=altair.Scale(domain=[0, 1]), axis=SHARES)

    layers = _banded(rows, x, upward("at:Q"), upward, dots=False)
    return layered(layers, _WIDTH, _HEIGHT, "performance profiles")
