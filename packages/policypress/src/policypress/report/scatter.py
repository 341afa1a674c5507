"""Return against size, and against latency: where the good compromises lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import altair

from policypress.measurement.statistics import Interval, Missing
from policypress.report.axes import (
    BYTES_EXPRESSION,
    SECONDS_EXPRESSION,
    Area,
    Drawn,
    Label,
    Side,
    chart_of,
    family_colour,
    family_shape,
    layered,
    log_axis,
    log_domain,
    place,
    placement,
)
from policypress.report.quantities import percent, si, size, with_spread
from policypress.report.recipe_results import BASELINE, RANDOM, RecipeResult
from policypress.report.results import KEEP, Results
from policypress.report.words import display_name, family, verdict

HEIGHT = 360.0
_INNER_WIDTH = 640.0  # of the plot without its axis, where the figure is as wide as in the files
_NARROW = 400
# Worse than random is drawn at the edge: how much worse does not matter, and would squeeze the rest.
_WORST = -0.1
_BEST = 1.5
_PERCENT = "format(100 * datum.value, '~r') + ' %'"
_FRONT = "The line joins the Pareto front: recipes that no other beats in both, by their estimates."


@dataclass(frozen=True)
class Vertical:
    """What the vertical axis shows. ``of`` gives estimate, lower and upper bound, or None."""

    title: str
    explanation: str
    of: Callable[[RecipeResult], tuple[float, float, float] | None]
    share: bool
    levels: bool = False
    better_is_more: bool = True


def return_against_size(results: Results) -> Drawn | None:
    """Retention (or return, or action error) against packed bytes."""
    vertical = _vertical(results)
    chart = _scatter(
        results,
        vertical,
        lambda row: None if row.artifact is None else float(row.artifact.packed_bytes),
        "packed size (log scale)",
        BYTES_EXPRESSION,
    )
    meaning = (
        f"{_explained(results, vertical, 'fewer bytes')} "
        "Packed size counts weights, biases, scales and normaliser as a device would hold them."
    )
    return None if chart is None else Drawn(_titled(vertical, "size"), meaning, chart)


def return_against_latency(results: Results) -> Drawn | None:
    """Retention (or return, or action error) against the median latency, warm."""
    vertical = _vertical(results)
    chart = _scatter(
        results,
        vertical,
        lambda row: None if isinstance(row.costs.latency, Missing) else row.costs.latency.warm_s["p50"],
        "median latency, warm (log scale)",
        SECONDS_EXPRESSION,
    )
    meaning = (
        f"{_explained(results, vertical, 'less time')} Latency belongs to this "
        "machine and runtime: for small networks the runtime's own overhead hides most of what compression saves."
    )
    return None if chart is None else Drawn(_titled(vertical, "latency"), meaning, chart)


def front(points: Sequence[tuple[float, float]], better_is_more: bool = True) -> list[int]:
    """Indices of the points (x, y) that no other beats: smaller or equal x and better or equal y; by x.

    >>> front([(1.0, 0.5), (2.0, 0.9), (3.0, 0.8), (2.0, 0.7)])
    [0, 1]
    """
    sign = -1.0 if better_is_more else 1.0
    chosen: list[int] = []
    best = math.inf
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], sign * points[i][1])):
        if sign * points[index][1] < best:
            best = sign * points[index][1]
            chosen.append(index)
    return chosen


def _explained(results: Results, vertical: Vertical, saved: str) -> str:
    better = f"Up and to the left is better: more return in {saved}."
    if not vertical.better_is_more:
        better = f"Down and to the left is better: closer to the fp32 agent in {saved}."
    ring = "" if results.winner is None else " The ring marks the winner."
    return f"{better} {vertical.explanation} {_FRONT}{ring}"


def _titled(vertical: Vertical, against: str) -> str:
    return f"{vertical.title[0].upper()}{vertical.title[1:]} against {against}"


def _vertical(results: Results) -> Vertical:
    variants = results.variants
    if any(isinstance(row.retention, Interval) for row in variants):
        return Vertical(
            "return kept",
            f"The solid line is the fp32 agent, the dashed one {percent(KEEP, 0)} of it; bars are "
            "95 % intervals. Worse than random is drawn at the lower edge.",
            _retention,
            share=True,
            levels=True,
        )
    if any(row.returns for row in variants):
        return Vertical("mean return", "Bars are 95 % intervals of the mean.", _mean, share=False)
    return Vertical(
        "action error",
        "The action error is the mean distance to the fp32 agent's action, as a share of the action range (discrete "
        "actions: the share that differs).",
        _action_error,
        share=True,
        better_is_more=False,
    )


def _retention(row: RecipeResult) -> tuple[float, float, float] | None:
    if row.name == BASELINE:
        return (1.0, 1.0, 1.0)
    if isinstance(row.retention, Missing):
        return None
    return row.retention.estimate, row.retention.lower, row.retention.upper


def _mean(row: RecipeResult) -> tuple[float, float, float] | None:
    if isinstance(row.mean, Missing):
        return None if not row.returns else (sum(row.returns) / len(row.returns),) * 3
    return row.mean.mean, row.mean.lower, row.mean.upper


def _action_error(row: RecipeResult) -> tuple[float, float, float] | None:
    error = 0.0 if row.name == BASELINE else None if row.artifact is None else row.artifact.action_error
    return None if error is None else (error, error, error)


def _scatter(
    results: Results,
    vertical: Vertical,
    horizontal: Callable[[RecipeResult], float | None],
    x_title: str,
    expression: str,
) -> dict[str, Any] | None:
    data: list[dict[str, Any]] = []
    for row in results.rows:
        x, y = horizontal(row), vertical.of(row)
        if row.name != RANDOM and x is not None and y is not None:
            data.append({"x": x, "y": y[0], "lower": y[1], "upper": y[2], **_told(row)})
    if len(data) < 2:
        return None
    on_front = front([(point["x"], point["y"]) for point in data], vertical.better_is_more)
    winner = results.winner
    for index, point in enumerate(data):
        point["front"] = index in on_front
        point["winner"] = winner is not None and point["recipe"] == display_name(winner)
    domain = _domain(data, vertical)
    for point, side in zip(data, _sides(data, domain, vertical.levels), strict=True):
        point["side"] = side
    y_axis = altair.Y(
        "y:Q",
        title=vertical.title,
        scale=altair.Scale(domain=list(domain), nice=False, clamp=True, zero=False),
        axis=altair.Axis(labelExpr=_PERCENT, tickCount=6) if vertical.share else altair.Axis(),
    )
    x_axis = log_axis("x:Q", x_title, [point["x"] for point in data], expression)
    return _layers(data, [data[index] for index in on_front], x_axis, y_axis, vertical)


def _layers(
    data: list[dict[str, Any]], on_front: list[dict[str, Any]], x: altair.X, y: altair.Y, vertical: Vertical
) -> dict[str, Any]:
    families = [point["family"] for point in data]
    chart = chart_of(data).encode(x=x, y=y)
    colour = family_colour(families, legend=True)
    tooltip = [altair.Tooltip(f"{name}:N", title=title) for name, title in _TOOLTIP if any(p[name] for p in data)]
    layers: list[Any] = []
    if vertical.levels:
        for level, style in ((1.0, "reference"), (KEEP, "threshold")):
            layers.append(chart_of([{"y": level}]).mark_rule(style=style).encode(y=y))
    line = chart_of(on_front).encode(x=x, y=y)
    layers.append(line.mark_line(interpolate="step-after", style="front"))
    layers.append(chart.mark_rule(strokeWidth=2, opacity=0.6).encode(y=y, y2="upper:Q", color=colour))
    layers.append(chart.mark_rule(strokeWidth=2, opacity=0.6).encode(y=y, y2="lower:Q", color=colour))
    layers.append(
        chart.transform_filter("datum.winner").mark_point(shape="circle", size=330, strokeWidth=1.5, style="mean")
    )
    points = chart.mark_point(filled=True, size=95, opacity=1).encode(
        color=colour, shape=family_shape(families), tooltip=tooltip
    )
    layers.append(points)
    layers += _labels(chart, data)
    return layered(layers, HEIGHT, f"{vertical.title} of every recipe")


def _labels(chart: Any, data: list[dict[str, Any]]) -> list[Any]:
    layers: list[Any] = []
    for side in dict.fromkeys(point["side"] for point in data if point["side"] is not None):
        for strong in (True, False):
            shown = chart.transform_filter(f"datum.side == '{side}' && datum.front == {str(strong).lower()}")
            # On a phone there is room for the winner alone; the others are under the finger.
            opacity = altair.condition(f"datum.winner || width > {_NARROW}", altair.value(1), altair.value(0))
            text = shown.mark_text(style="strong" if strong else "quiet", **placement(side))
            layers.append(text.encode(text="recipe:N", opacity=opacity))
    return layers


_TOOLTIP = (
    ("recipe", "recipe"),
    ("kept", "return kept"),
    ("return", "return"),
    ("error", "action error"),
    ("packed", "packed size"),
    ("latency", "latency"),
    ("verdict", "verdict"),
)


def _told(row: RecipeResult) -> dict[str, str]:
    """What the tooltip says."""
    kept = row.retention
    half = None if isinstance(row.mean, Missing) else (row.mean.upper - row.mean.lower) / 2
    latency = row.costs.latency
    error = None if row.artifact is None else row.artifact.action_error
    return {
        "recipe": display_name(row),
        "family": family(row),
        "kept": ""
        if isinstance(kept, Missing)
        else f"{percent(kept.estimate)} [{percent(kept.lower)}, {percent(kept.upper)}]",
        "return": with_spread(sum(row.returns) / len(row.returns), half) if row.returns else "",
        "error": "" if error is None or row.name == BASELINE else percent(error, 2),
        "packed": "" if row.artifact is None else size(row.artifact.packed_bytes),
        "latency": "" if isinstance(latency, Missing) else f"{si(latency.warm_s['p50'], 's')} ({latency.runtime})",
        "verdict": verdict(row).text,
    }


def _domain(data: list[dict[str, Any]], vertical: Vertical) -> tuple[float, float]:
    low, high = min(point["lower"] for point in data), max(point["upper"] for point in data)
    if vertical.levels:
        low, high = max(min(low, KEEP), _WORST), min(max(high, 1.0), _BEST)
    elif vertical.share:
        low = 0.0
    pad = 0.06 * (high - low) or max(abs(high), 1.0) * 0.05
    # Above, there is room for a label.
    return low - pad * (low != 0.0), high + 1.6 * pad


def _sides(data: list[dict[str, Any]], domain: tuple[float, float], kept: bool) -> list[Side | None]:
    """Where each label stands; the front's are placed first."""

    def height_of(value: float) -> float:
        return HEIGHT * (1 - (min(max(value, domain[0]), domain[1]) - domain[0]) / (domain[1] - domain[0]))

    left, right = log_domain([point["x"] for point in data])
    order = sorted(range(len(data)), key=lambda i: (not data[i]["winner"], not data[i]["front"], i))
    labels = [
        Label(
            data[i]["recipe"],
            _INNER_WIDTH * math.log(data[i]["x"] / left) / math.log(right / left),
            height_of(data[i]["y"]),
            important=data[i]["winner"],
        )
        for i in order
    ]
    lines = _lines(data, dict(zip(order, labels, strict=True)), height_of, kept)
    placed = dict(zip(order, place(labels, _INNER_WIDTH, HEIGHT, lines), strict=True))
    return [placed[i] for i in range(len(data))]


def _lines(
    data: list[dict[str, Any]], labels: Mapping[int, Label], height_of: Callable[[float], float], kept: bool
) -> list[Area]:
    """What labels must not cover: the two levels, the intervals, and the steps of the front."""
    levels = [height_of(level) for level in (1.0, KEEP)] if kept else []
    lines: list[Area] = [(0.0, y - 1, _INNER_WIDTH, y + 1) for y in levels]
    for index, point in enumerate(data):
        x = labels[index].x
        lines.append((x - 1, height_of(point["upper"]), x + 1, height_of(point["lower"])))
    steps = sorted((labels[index] for index, point in enumerate(data) if point["front"]), key=lambda label: label.x)
    for before, after in pairwise(steps):
        lines.append((before.x, before.y - 1, after.x, before.y + 1))
        lines.append((after.x - 1, min(before.y, after.y), after.x + 1, max(before.y, after.y)))
    return lines
