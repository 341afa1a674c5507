"""The figures of the general report: return against size of every agent, and what is kept over all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair

from policypress.report.axes import Area, Label, chart_of, log_domain, log_ticks, place, placement
from policypress.report.drawing.figure import StudyFigure
from policypress.report.drawing.forest import SHARES, forest, with_interval
from policypress.report.drawing.looks import Look, Palette
from policypress.report.drawing.panels import Panel, layered, telling, told
from policypress.report.grid.outcomes import AgentOutcomes
from policypress.report.grid.report import GridReport
from policypress.report.grid.sentences import runtime_name
from policypress.report.grid.summary import RecipeSummary
from policypress.report.quantities import percent, size
from policypress.report.results import KEEP
from policypress.report.studies.estimates import Estimate
from policypress.report.studies.wording import short_names

PALETTE = Palette(
    {
        "baseline": Look("fp32", "m-baseline", "#3d434b", "#c4cad2", "diamond"),
        "quantized": Look("quantized", "m-quantized", "#0072b2", "#56b4e9", "circle"),
        "pruned": Look("pruned or smaller", "m-pruned", "#9a6a00", "#e3b341", "square"),
        "pruned and quantized": Look("smaller and quantized", "m-both", "#00805d", "#2fc99b", "triangle-up"),
        "other": Look("other", "m-other", "#a8407f", "#e89ccb", "cross"),
    }
)
NAMES = ("return-against-size", "return-kept", "probability-of-improvement")
"""Names of all figures that there may be."""
_LOWEST, _HIGHEST = -0.1, 1.2
_EDGE = "Where less than −10 % or more than 120 % is kept, the mark is at the edge."
_HEIGHT = 230
_ALL_NAMED = 8  # points of a panel
_PANELS = 6
"""Of more panels only those under the first runtime are drawn: what is kept hardly depends on it."""
_BYTES = (
    "datum.value >= 1e6 ? format(datum.value / 1e6, '~r') + ' MB' : datum.value >= 1e3 ? "
    "format(datum.value / 1e3, '~r') + ' kB' : format(datum.value, '~r') + ' B'"
)


def grid_figures(report: GridReport) -> tuple[StudyFigure, ...]:
    """The figures that ``report`` has numbers for."""
    made = (return_against_size(report), return_kept(report), improvement(report))
    return tuple(figure for figure in made if figure is not None)


def return_against_size(report: GridReport) -> StudyFigure | None:
    """Return kept against packed size: a panel for each agent that has learned, under each runtime."""
    drawn = [(agent, _points(agent)) for agent in report.agents if agent.counts]
    drawn = [(agent, rows) for agent, rows in drawn if len(rows) > 1]
    if not drawn:
        return None
    every = len(drawn)
    if every > _PANELS:
        first = next(runtime for runtime in report.runtimes if any(agent.runtime == runtime for agent, _ in drawn))
        drawn = [(agent, rows) for agent, rows in drawn if agent.runtime == first]
    columns = 1 if len(drawn) == 1 else 2 if len(drawn) <= _PANELS else 3
    width = {1: 640, 2: 330, 3: 230}[columns]
    panels = []
    for agent, rows in drawn:
        title = agent.title if len(report.runtimes) == 1 else f"{agent.title}, {runtime_name(agent.runtime)}"
        belongs = {"algorithm": agent.title, "environment": agent.environment_id, "runtime": agent.runtime}
        panels.append(Panel(title, _scatter(rows, width), belongs))
    families = PALETTE.ordered(row["method"] for _, rows in drawn for row in rows)
    meaning = (
        "Packed size (weights, biases, scales) along, upwards the share kept of the return above random actions, with "
        "95 % intervals. The line joins the Pareto front: recipes that no other beats in both, by their estimates. "
        f"Solid across: the fp32 baseline; dashed: {percent(KEEP, 0)}. {_EDGE}"
        + (f" Drawn under {runtime_name(drawn[0][0].runtime)} alone." if len(drawn) < every else "")
    )
    name, title = NAMES[0], "Return against size"
    return StudyFigure(name, title, meaning, tuple(panels), families, columns, palette=PALETTE)


def return_kept(report: GridReport) -> StudyFigure | None:
    """Interquartile mean of the return kept over all agents, recipe by recipe."""
    panels = []
    for runtime in report.runtimes:
        known = [one for one in report.recipes_of(runtime) if isinstance(one.kept, Estimate)]
        names = short_names([one.recipe for one in known])
        rows = [_mean(one, names[one.recipe]) for one in known]
        if rows:
            spec = forest(rows, "interquartile mean of the return kept", 1.0, "return kept by recipe", PALETTE, 300)
            panels.append(Panel(runtime_name(runtime), spec, {"runtime": runtime}))
    if not panels:
        return None
    meaning = (
        "Interquartile mean of the return kept (0 is random actions, 100 % the agents' own fp32 form) over the runs of "
        "all agents that have learned, with 95 % intervals by stratified bootstrap "
        "over training seeds (Agarwal et al. 2021). The smallest recipe stands first."
    )
    families = PALETTE.ordered(one.family for one in report.recipes if isinstance(one.kept, Estimate))
    columns = min(2, len(panels))
    return StudyFigure(
        NAMES[1], "Return kept over all agents", meaning, tuple(panels), families, columns, palette=PALETTE
    )


def improvement(report: GridReport) -> StudyFigure | None:
    """Probability that a run of the answer keeps more than one of another recipe."""
    panels = []
    families = {one.recipe: one.family for one in report.recipes}
    for runtime in report.runtimes:
        rows = []
        names = short_names([pair.second for pair in report.improvements if pair.runtime == runtime], 22)
        for pair in report.improvements:
            if pair.runtime == runtime and isinstance(pair.probability, Estimate):
                family = families.get(pair.second, "other")
                row: dict[str, Any] = {"name": f"over {names[pair.second]}", "method": family}
                text = f"{pair.first} over {pair.second}: {with_interval(pair.probability)}, {pair.agents} agents"
                rows.append({**row, **_spread(pair.probability), "told": told(text, method=family)})
        if rows:
            spec = forest(rows, "probability of improvement", 0.5, "probabilities of improvement", PALETTE, 300)
            panels.append(Panel(f"{report.answers[runtime]}, {runtime_name(runtime)}", spec, {"runtime": runtime}))
    if not panels:
        return None
    meaning = (
        "Probability that a run of the recipe to take keeps more of the return than one of another, mean over agents, "
        "with 95 % intervals. Where the interval holds 50 %, nothing can be said of the pair."
    )
    title = "Does the recipe to take keep more?"
    return StudyFigure(NAMES[2], title, meaning, tuple(panels), (), min(2, len(panels)), palette=PALETTE)


def _spread(value: Estimate) -> dict[str, float]:
    found = {"at": value.value}
    if value.lower is not None and value.upper is not None:
        found |= {"lower": value.lower, "upper": value.upper}
    return found


def _mean(one: RecipeSummary, name: str) -> dict[str, Any]:
    if not isinstance(one.kept, Estimate):
        return {}
    text = f"{one.recipe}: {with_interval(one.kept)}, {one.kept.runs} runs of {one.agents} agents"
    row = {"name": name, "method": one.family, "told": told(text, method=one.family)}
    return {**row, **_spread(one.kept)}


def _points(agent: AgentOutcomes) -> list[dict[str, Any]]:
    rows = []
    names = {**short_names([one.recipe for one in agent.outcomes]), "none": "fp32"}
    for one in (agent.baseline, *agent.outcomes):
        packed = one.cost("packed_bytes").absolute
        if isinstance(one.retention, Estimate) and isinstance(packed, Estimate) and packed.value > 0:
            text = f"{one.recipe}: {with_interval(one.retention)} of the return, {size(packed.value)}"
            row: dict[str, Any] = {"recipe": names[one.recipe], "method": one.family, "bytes": packed.value}
            row |= {name: _inside(value) for name, value in _spread(one.retention).items()}
            rows.append({**row, "front": one.dominated_by == (), "told": told(text, method=one.family)})
    return rows


def _inside(share: float) -> float:
    return min(max(share, _LOWEST), _HIGHEST)


def _scatter(rows: Sequence[dict[str, Any]], width: int) -> dict[str, Any]:
    low, high = log_domain([row["bytes"] for row in rows], 0.18)
    bottom = min(0.75, *(row.get("lower", row["at"]) for row in rows)) - 0.04
    top = max(1.06, *(row.get("upper", row["at"]) for row in rows)) + 0.04
    x = altair.X(
        "bytes:Q",
        title="packed size",
        scale=altair.Scale(type="log", domain=[low, high], nice=False),
        axis=altair.Axis(values=log_ticks((low, high)), labelExpr=_BYTES, grid=False),
    )
    scale = altair.Scale(domain=[bottom, top], nice=False)

    def upward(field: str) -> altair.Y:
        return altair.Y(field, title="return kept", scale=scale, axis=SHARES)

    families = PALETTE.ordered(row["method"] for row in rows)
    colour, shape = PALETTE.colour(families), PALETTE.shape(families)
    levels = [
        chart_of([{"at": value}]).mark_rule(style=style).encode(y=upward("at:Q"))
        for value, style in ((1.0, "reference"), (KEEP, "threshold"))
    ]
    front = sorted((row for row in rows if row["front"]), key=lambda row: row["bytes"])
    spread = chart_of([row for row in rows if row.get("lower") != row.get("upper")])
    layers: list[Any] = [
        *levels,
        chart_of(front).mark_line(style="quiet", strokeWidth=1.2, opacity=0.7).encode(x=x, y=upward("at:Q")),
        spread.mark_rule(strokeWidth=2, opacity=0.45).encode(
            x=x, y=upward("lower:Q"), y2="upper:Q", color=colour, description=telling()
        ),
        chart_of(rows)
        .mark_point(filled=True, size=70, opacity=1)
        .encode(x=x, y=upward("at:Q"), color=colour, shape=shape, description=telling()),
    ]
    scaled = [_pixels(row, (low, high), (bottom, top), width) for row in rows]
    across = [_HEIGHT * (1 - (share - bottom) / (top - bottom)) for share in (1.0, KEEP)]
    lines = [(0.0, at - 1, float(width), at + 1) for at in across]
    layers += [mark.encode(x=x, y=upward("at:Q"), text="recipe:N") for mark in _labels(rows, scaled, width, lines)]
    return layered(layers, width, _HEIGHT, "return kept against packed size")


def _pixels(
    row: dict[str, Any], across: tuple[float, float], up: tuple[float, float], width: int
) -> tuple[float, float]:
    share = math.log(row["bytes"] / across[0]) / math.log(across[1] / across[0])
    return share * width, _HEIGHT * (1 - (row["at"] - up[0]) / (up[1] - up[0]))


def _labels(
    rows: Sequence[dict[str, Any]], at: Sequence[tuple[float, float]], width: int, lines: Sequence[Area]
) -> list[Any]:
    """Names of the points where there is room, those of the front first; of many points only these have one."""
    named = [index for index, row in enumerate(rows) if row["front"] or len(rows) <= _ALL_NAMED]
    order = sorted(named, key=lambda index: (not rows[index]["front"], rows[index]["bytes"]))
    labels = [Label(rows[index]["recipe"], *at[index], important=rows[index]["front"]) for index in order]
    sides = place(labels, float(width), float(_HEIGHT), lines)
    return [
        chart_of([rows[index]]).mark_text(style="strong", fontSize=10.5, **placement(side))
        for index, side in zip(order, sides, strict=True)
        if side is not None
    ]
