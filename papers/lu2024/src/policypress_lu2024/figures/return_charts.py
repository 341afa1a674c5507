"""Returns as charts: what quantization keeps, and what pruning keeps ratio by ratio, for every combination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair

from policypress.measurement.statistics import Missing
from policypress.report.axes import chart_of
from policypress.report.drawing.figure import StudyFigure
from policypress.report.drawing.panels import Panel, layered, telling, told
from policypress.report.quantities import percent
from policypress.report.studies.estimates import Estimate, MaybeEstimate
from policypress.report.studies.wording import algorithm_name
from policypress_lu2024.cells.combination import Combination, Variant
from policypress_lu2024.cells.methods import PALETTE, QUANTIZATION, labelled, ordered
from policypress_lu2024.study_report import StudyReport

RULE = 0.9
"""Share of the baseline's return that the paper's rule asks for."""
_LOWEST, _HIGHEST = -0.1, 1.5
_EDGE = "What lies outside of −10 % to 150 % of the baseline's return is drawn at the edge."
_SHARES = altair.Axis(labelExpr="format(100 * datum.value, '~r') + ' %'", tickCount=5)
_DOMAIN = altair.Scale(domain=[_LOWEST, _HIGHEST], nice=False)


def quantization_returns(report: StudyReport) -> StudyFigure | None:
    """Return of each quantized agent as a share of its baseline's, with the paper's beside it; by environment."""
    panels = []
    for runtime in report.runtimes:
        for environment in report.environments:
            found = [c for c in report.combinations if (c.runtime, c.environment) == (runtime, environment)]
            rows = [row for c in found for v in c.variants if v.method in QUANTIZATION for row in _quantized(c, v)]
            if any(row["ours"] for row in rows):
                belongs = {"environment": environment, "runtime": runtime}
                panels.append(Panel(_titled(environment, runtime, report), _dots(rows), belongs))
    if not panels:
        return None
    meaning = (
        "Return as a share of the fp32 agents' own. Filled: this study, with 95 % intervals where they are known; "
        f"hollow: Lu et al., Table 1. The dashed line is 90 %, the solid one the baseline. {_EDGE}"
    )
    columns = min(3, len(panels))
    name, title = "quantization-returns", "Return after quantization"
    return StudyFigure(name, title, meaning, tuple(panels), QUANTIZATION, columns, palette=PALETTE)


def pruning_returns(report: StudyReport) -> StudyFigure | None:
    """Return against the share of channels removed; a panel for each combination."""
    panels, methods = [], set()
    for combination in report.combinations:
        rows = _pruned(combination)
        if rows:
            methods |= {row["method"] for row in rows}
            title = f"{algorithm_name(combination.algorithm)} {combination.environment}"
            title += "" if len(report.runtimes) == 1 else f", {combination.runtime}"
            belongs = {
                "algorithm": combination.algorithm,
                "environment": combination.environment,
                "runtime": combination.runtime,
            }
            note = "" if combination.learned.verdict == "learned" else combination.learned.verdict
            panels.append(Panel(title, _curves(rows), belongs, note))
    if not panels:
        return None
    planned = len(report.combinations)
    without = f" Without pruned agents so far: {planned - len(panels)} of {planned} combinations."
    left = without if planned > len(panels) else ""
    meaning = (
        "Return as a share of the baseline's, by the share of hidden channels that was removed; bands are 95 % "
        f"intervals where they are known. The dashed line is the paper's rule, 90 %. {_EDGE}{left}"
    )
    columns = min(5, len(panels))
    name, title, drawn = "pruning-returns", "Return after pruning", ordered(methods)
    return StudyFigure(name, title, meaning, tuple(panels), drawn, columns, narrow=True, palette=PALETTE)


def _titled(environment: str, runtime: str, report: StudyReport) -> str:
    return environment if len(report.runtimes) == 1 else f"{environment}, {runtime}"


def _quantized(combination: Combination, variant: Variant) -> list[dict[str, Any]]:
    """The study's dot, if there is one, and the paper's."""
    belongs = {"algorithm": combination.algorithm, "method": variant.method}
    name = f"{algorithm_name(combination.algorithm)}, {labelled(variant.method, None)}"
    row = {"algorithm": algorithm_name(combination.algorithm), "method": variant.method}
    rows = []
    if isinstance(variant.ratio_to_baseline, Estimate):
        text = f"{name}: {_said(variant.ratio_to_baseline)}"
        rows.append({**row, "ours": True, **_placed(variant.ratio_to_baseline), "told": told(text, **belongs)})
    if variant.published is not None and combination.published_baseline:
        share = variant.published / combination.published_baseline
        text = f"{name}, Lu et al.: {percent(share, 0)} of the baseline"
        rows.append({**row, "ours": False, "at": _inside(share), "told": told(text, **belongs)})
    return rows


def _pruned(combination: Combination) -> list[dict[str, Any]]:
    rows = []
    for variant in combination.variants:
        if variant.ratio is None or isinstance(variant.ratio_to_baseline, Missing):
            continue
        text = f"{labelled(variant.method, variant.ratio)}: {_said(variant.ratio_to_baseline)}"
        row = {"method": variant.method, "ratio": variant.ratio, **_placed(variant.ratio_to_baseline)}
        rows.append({**row, "told": told(text, method=variant.method)})
    return rows


def _said(value: Estimate) -> str:
    text = f"{percent(value.value)} of the baseline"
    if value.lower is not None and value.upper is not None:
        text += f" ({percent(value.lower)} to {percent(value.upper)})"
    return f"{text}, {value.runs} {'run' if value.runs == 1 else 'runs'}"


def _placed(value: MaybeEstimate) -> dict[str, float]:
    """Where an estimate and its interval are drawn."""
    if isinstance(value, Missing):
        return {}
    placed = {"at": _inside(value.value)}
    if value.lower is not None and value.upper is not None:
        placed |= {"lower": _inside(value.lower), "upper": _inside(value.upper)}
    return placed


def _inside(share: float) -> float:
    return min(max(share, _LOWEST), _HIGHEST)


def _levels(**channel: altair.X | altair.Y) -> list[Any]:
    """The baseline and the paper's rule as lines across a chart, on its own axis."""
    levels = ((1.0, "reference"), (RULE, "threshold"))
    return [chart_of([{"at": value}]).mark_rule(style=style).encode(**channel) for value, style in levels]


def _dots(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    methods = [method for method in QUANTIZATION if any(row["method"] == method for row in rows)]
    names = list(dict.fromkeys(row["algorithm"] for row in rows))
    x = altair.X("at:Q", title="share of the baseline's return", scale=_DOMAIN, axis=_SHARES)
    y = altair.Y("algorithm:N", sort=names, title=None, axis=altair.Axis(grid=False, ticks=False, domain=False))
    offset = altair.YOffset("method:N", sort=methods, scale=altair.Scale(paddingInner=0, paddingOuter=0.35))
    colour, shape = PALETTE.colour(methods), PALETTE.shape(methods)
    ours = chart_of([row for row in rows if row["ours"]])
    paper = chart_of([row for row in rows if not row["ours"]])
    spread = chart_of([row for row in rows if "lower" in row])
    layers = [
        *_levels(x=x),
        paper.mark_point(size=48, strokeWidth=1.4, opacity=0.75).encode(
            x=x, y=y, yOffset=offset, color=colour, shape=shape, description=telling()
        ),
        spread.mark_rule(strokeWidth=2, opacity=0.6).encode(
            x="lower:Q", x2="upper:Q", y=y, yOffset=offset, color=colour, description=telling()
        ),
        ours.mark_point(filled=True, size=62, opacity=1).encode(
            x=x, y=y, yOffset=offset, color=colour, shape=shape, description=telling()
        ),
    ]
    return layered(layers, 250, altair.Step(13), "returns of quantized agents as shares of the baseline's")


def _curves(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    methods = ordered(row["method"] for row in rows)
    axis = altair.Axis(labelExpr=_SHARES.labelExpr, values=[0, 0.2, 0.4, 0.6], grid=False)
    x = altair.X("ratio:Q", title=None, scale=altair.Scale(domain=[0, 0.72], nice=False), axis=axis)
    shares = altair.Axis(labelExpr=_SHARES.labelExpr, values=[0, 0.5, 1, 1.5])
    y = altair.Y("at:Q", title=None, scale=_DOMAIN, axis=shares)
    starts = [{"method": m, "ratio": 0.0, "at": 1.0, "told": told("", method=m)} for m in methods]
    lines = chart_of([*starts, *rows])
    spread = chart_of([row for row in rows if "lower" in row])
    colour = PALETTE.colour(methods)
    layers = [
        *_levels(y=y),
        spread.mark_area(opacity=0.16).encode(
            x=x,
            y=altair.Y("lower:Q", title=None, scale=_DOMAIN, axis=shares),
            y2="upper:Q",
            color=colour,
            description=telling(),
        ),
        lines.mark_line(strokeWidth=1.6).encode(
            x=x, y=y, color=colour, strokeDash=PALETTE.dash(methods), description=telling()
        ),
        chart_of(rows)
        .mark_point(filled=True, size=20, opacity=1)
        .encode(x=x, y=y, color=colour, shape=PALETTE.shape(methods), description=telling()),
    ]
    return layered(layers, 140, 105, "return against the share of channels removed")
