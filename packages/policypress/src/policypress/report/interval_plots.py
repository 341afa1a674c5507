"""One line per recipe: its episodes, its latency, its memory, its energy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair
import numpy as np

from policypress.measurement.statistics import Missing
from policypress.report.axes import (
    BYTES_EXPRESSION,
    SECONDS_EXPRESSION,
    Drawn,
    chart_of,
    family_colour,
    layered,
    log_axis,
)
from policypress.report.costs import Energy, Latency, Memory
from policypress.report.quantities import si, size
from policypress.report.recipe_results import BASELINE, RecipeResult
from policypress.report.results import Results
from policypress.report.words import display_name, energy_in_short, family

_STEP = 26
_MOST_POINTS = 200


def returns(results: Results) -> Drawn | None:
    """Every episode's return, with the mean and its interval."""
    rows = [row for row in results.rows if row.returns]
    if not rows:
        return None
    points = [
        {"recipe": display_name(row), "family": family(row), "value": value, "told": f"{value:.6g}"}
        for row in rows
        for value in _thinned(row.returns)
    ]
    means = [
        {"recipe": display_name(row), "mean": row.mean.mean, "lower": row.mean.lower, "upper": row.mean.upper}
        for row in rows
        if not isinstance(row.mean, Missing)
    ]
    x = altair.X("value:Q", title="return of an episode", scale=altair.Scale(zero=False), axis=altair.Axis(tickCount=6))
    y = _lines(rows)
    tooltip = [altair.Tooltip("recipe:N"), altair.Tooltip("told:N", title="return of this episode")]
    layers: list[Any] = []
    base = next((row for row in rows if row.name == BASELINE), None)
    if base is not None:
        level = [{"value": float(np.mean(base.returns))}]
        layers.append(chart_of(level).mark_rule(style="threshold").encode(x=x))
    colour = family_colour([], legend=False)
    dots = chart_of(points).mark_circle(size=42, opacity=0.4)
    layers.append(dots.encode(x=x, y=y, color=colour, tooltip=tooltip))
    if means:
        spread = chart_of(means)
        layers.append(spread.mark_rule(strokeWidth=2, style="mean").encode(x="lower:Q", x2="upper:Q", y=y))
        layers.append(spread.mark_tick(thickness=2.5, size=16, style="mean").encode(x="mean:Q", y=y))
    thinned = "" if len(points) == sum(len(row.returns) for row in rows) else (
        f" Of more than {_MOST_POINTS} episodes, {_MOST_POINTS} are drawn, evenly by rank."
    )  # fmt: skip
    return Drawn(
        "Return of every episode",
        "Each dot is one episode, the tick the mean with its 95 % interval, the dashed line the fp32 agent's mean. A "
        f"dot far to the left of its cloud is an episode that went wrong: a mean alone would hide it.{thinned}",
        _finished(layers, rows, "returns of all episodes by recipe"),
    )


def latency(results: Results) -> Drawn | None:
    """Latency from the median to the 99th percentile, with the harness floor."""
    found = [(row, row.costs.latency) for row in results.rows if isinstance(row.costs.latency, Latency)]
    if not found:
        return None
    data = [{**_named(row), **_latency_fields(value)} for row, value in found]
    numbers = [point[key] for point in data for key in ("p50", "p99", "cold") if isinstance(point[key], float)]
    floors = [value.floor_s["p50"] for _, value in found if value.floor_s is not None]
    y = _lines([row for row, _ in found])
    x = log_axis("p50:Q", "time for one action (log scale)", numbers, SECONDS_EXPRESSION)
    chart = chart_of(data).encode(y=y, color=family_colour([], legend=False))
    fields = ("recipe", "runtime", "median", "95th", "99th", "cold median")
    tooltip = [altair.Tooltip(f"{name}:N") for name in fields]
    layers: list[Any] = [
        chart.mark_rule(strokeWidth=2.5, opacity=0.55).encode(x=x, x2="p99:Q", tooltip=tooltip),
        chart.mark_tick(thickness=2, size=9).encode(x="p95:Q", tooltip=tooltip),
        chart.mark_tick(thickness=2, size=9).encode(x="p99:Q", tooltip=tooltip),
        chart.mark_circle(size=90, opacity=1).encode(x=x, tooltip=tooltip),
    ]
    meaning = "Dot: the median; ticks: the 95th and 99th percentile, which is what a control loop has to wait for."
    if any(value.cold_s is not None for _, value in found):
        cold = chart.transform_filter("isValid(datum.cold)").mark_point(size=70, strokeWidth=1.5)
        layers.append(cold.encode(x="cold:Q", tooltip=tooltip))
        meaning += " Hollow: the median with cold caches, as after other work."
    if floors:
        meaning += f" In all of them is the harness itself: {si(max(floors), 's')} for a policy that does nothing."
    return Drawn("Latency of one action", meaning, _finished(layers, [row for row, _ in found], "latency by recipe"))


def memory(results: Results) -> Drawn | None:
    """Peak resident set, and how much of it Python takes."""
    found = [(row, row.costs.memory) for row in results.rows if isinstance(row.costs.memory, Memory)]
    if not found:
        return None
    data = [
        {
            **_named(row),
            "peak": value.peak_rss_bytes,
            "bare": value.bare_python_bytes or 0,
            "told": size(value.peak_rss_bytes),
        }
        for row, value in found
    ]
    axis = altair.Axis(labelExpr=BYTES_EXPRESSION, tickCount=5, labelOverlap=True)
    top = 1.3 * max(point["peak"] for point in data)
    x = altair.X("peak:Q", title="peak resident set", axis=axis, scale=altair.Scale(domain=[0, top], nice=False))
    chart = chart_of(data).encode(y=_lines([row for row, _ in found]))
    tooltip = [altair.Tooltip("recipe:N"), altair.Tooltip("told:N", title="peak memory")]
    layers: list[Any] = [
        chart.mark_bar(height=12, opacity=0.85).encode(x=x, color=family_colour([], legend=False), tooltip=tooltip),
        chart.mark_text(align="left", dx=6, style="quiet").encode(x=x, text="told:N"),
    ]
    meaning = "The memory of a fresh process that loads the artifact and acts: Python, the runtime, then the policy."
    if any(value.bare_python_bytes for _, value in found):
        layers.insert(1, chart.mark_tick(thickness=2, size=18, style="mean").encode(x="bare:Q"))
        meaning += " Left of the tick: an interpreter that does nothing."
    meaning += " Where the bars are alike, runtime and interpreter decide, not the policy."
    return Drawn("Peak memory", meaning, _finished(layers, [row for row, _ in found], "peak memory by recipe"))


def energy(results: Results) -> Drawn | None:
    """Joules of one action, each labelled measured or modelled."""
    found = [(row, row.costs.energy) for row in results.rows if isinstance(row.costs.energy, Energy)]
    if not found:
        return None
    sources = sorted({value.source for _, value in found})
    data = [
        {
            **_named(row),
            "joules": value.per_action_j,
            "told": f"{si(value.per_action_j, 'J')} ({value.source})",
            "short": si(value.per_action_j, "J") + ("" if len(sources) == 1 else f" ({value.source})"),
            "episode": "" if value.per_episode_j is None else f"{si(value.per_episode_j, 'J')} ({value.source})",
        }
        for row, value in found
    ]
    top = 1.3 * max(point["joules"] for point in data)
    expression = "datum.value > 0 ? replace(format(datum.value, '~s'), /([^0-9.]?)$/, ' $1J') : '0'"
    x = altair.X(
        "joules:Q",
        title=f"one action ({' or '.join(sources)})",
        axis=altair.Axis(labelExpr=expression, tickCount=5, labelOverlap=True),
        scale=altair.Scale(domain=[0, top], nice=False),
    )
    chart = chart_of(data).encode(y=_lines([row for row, _ in found]), x=x)
    tooltip = [altair.Tooltip("recipe:N"), altair.Tooltip("told:N", title="one action")]
    if any(point["episode"] for point in data):
        tooltip.append(altair.Tooltip("episode:N", title="one episode"))
    layers: list[Any] = [
        chart.mark_bar(height=12, opacity=0.85).encode(color=family_colour([], legend=False), tooltip=tooltip),
        chart.mark_text(align="left", dx=6, style="quiet").encode(text="short:N"),
    ]
    meanings = dict.fromkeys(energy_in_short(value) for _, value in found)
    return Drawn(
        f"Energy of one action, {' or '.join(sources)}",
        " ".join(meanings),
        _finished(layers, [row for row, _ in found], "energy by recipe"),
    )


def _lines(rows: Sequence[RecipeResult]) -> altair.Y:
    """One line per recipe, in their order."""
    names = [display_name(row) for row in rows]
    axis = altair.Axis(ticks=False, domain=False, labelPadding=8, grid=False)
    return altair.Y("recipe:N", title=None, sort=names, scale=altair.Scale(domain=names), axis=axis)


def _finished(layers: Sequence[Any], rows: Sequence[RecipeResult], description: str) -> dict[str, Any]:
    return layered(layers, _STEP * len(rows), description)


def _named(row: RecipeResult) -> dict[str, Any]:
    return {"recipe": display_name(row), "family": family(row)}


def _latency_fields(value: Latency) -> dict[str, Any]:
    cold = None if value.cold_s is None else value.cold_s["p50"]
    return {
        "runtime": value.runtime,
        "p50": value.warm_s["p50"],
        "p95": value.warm_s["p95"],
        "p99": value.warm_s["p99"],
        "cold": cold,
        "median": si(value.warm_s["p50"], "s"),
        "95th": si(value.warm_s["p95"], "s"),
        "99th": si(value.warm_s["p99"], "s"),
        "cold median": "not measured" if cold is None else si(cold, "s"),
    }


def _thinned(values: Sequence[float]) -> list[float]:
    """At most :data:`_MOST_POINTS` of the values, evenly by rank, with the smallest and the largest."""
    if len(values) <= _MOST_POINTS:
        return list(values)
    ranks = np.linspace(0, len(values) - 1, _MOST_POINTS).round().astype(int)
    return [float(value) for value in np.sort(np.asarray(values, np.float64))[ranks]]
