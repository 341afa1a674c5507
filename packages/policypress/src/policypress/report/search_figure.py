"""What a search tried: size against action error, and how far each recipe came."""

from __future__ import annotations

from typing import Any

import altair

from policypress.report.axes import BYTES_EXPRESSION, Drawn, chart_of, layered, log_axis, log_domain, log_ticks
from policypress.report.quantities import percent, size
from policypress.report.results import Results
from policypress.report.search_words import STAGES

HEIGHT = 320.0
# In the order of the colours: what is only there, what was looked at, what is good.
_ORDER = ("not raced", "raced, out", "not certified", "certified", "promising")
_SHAPES = ("circle", "cross", "triangle-down", "diamond", "triangle-up")


def search_map(results: Results) -> Drawn | None:
    """Packed bytes against action error of everything that was built; None without a search."""
    if results.search is None:
        return None
    data: list[dict[str, Any]] = [
        {
            "recipe": row.name,
            "x": row.artifact.packed_bytes,
            "y": row.artifact.action_error,
            "stage": STAGES[row.tried.stage],
            "packed": size(row.artifact.packed_bytes),
            "error": percent(row.artifact.action_error, 2),
            "reason": row.tried.reason,
            "winner": row.name == results.search.winner,
        }
        for row in results.variants
        if row.artifact is not None and row.tried is not None and row.artifact.action_error
    ]
    if len(data) < 2:
        return None
    shown = [stage for stage in _ORDER if any(point["stage"] == stage for point in data)]
    legend = altair.Legend(values=shown, title=None, symbolOpacity=1)
    colour = altair.Color("stage:N", scale=altair.Scale(domain=list(_ORDER)), legend=legend)
    shape = altair.Shape("stage:N", scale=altair.Scale(domain=list(_ORDER), range=list(_SHAPES)), legend=legend)
    x = log_axis("x:Q", "packed size (log scale)", [float(point["x"]) for point in data], BYTES_EXPRESSION)
    span = log_domain([float(point["y"]) for point in data])
    y = altair.Y(
        "y:Q",
        title="action error (log scale)",
        scale=altair.Scale(type="log", nice=False, domain=list(span)),
        axis=altair.Axis(labelExpr="format(100 * datum.value, '~r') + ' %'", values=log_ticks(span)),
    )
    tooltip = [altair.Tooltip(f"{name}:N") for name in ("recipe", "stage", "packed", "error", "reason")]
    points = chart_of(data).encode(x=x, y=y)
    winner = points.transform_filter("datum.winner")
    layers: list[Any] = [
        points.mark_point(filled=True, size=80, opacity=0.9).encode(color=colour, shape=shape, tooltip=tooltip),
        winner.mark_point(shape="circle", size=330, strokeWidth=1.5, style="mean"),
    ]
    meaning = (
        "Every recipe that was built. Down and to the left is better; what lies above and to the right of another was "
        "not raced. Along the lower edge the race decided, with episodes, how small is still good. "
        "The ring marks the winner."
    )
    return Drawn("What was tried", meaning, layered(layers, HEIGHT, "action error and size of every recipe tried"))
