"""A forest plot: estimates in lines, each with its interval, and a level to compare them with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair

from policypress.report.axes import chart_of
from policypress.report.drawing.looks import Palette
from policypress.report.drawing.panels import layered, telling
from policypress.report.quantities import percent
from policypress.report.studies.estimates import Estimate

SHARES = altair.Axis(labelExpr="format(100 * datum.value, '~r') + ' %'", tickCount=5)
"""An axis of shares in per cent."""
_NAMES = 230  # pixels for the names of lines


def with_interval(value: Estimate) -> str:
    """A share with its interval, as people read it."""
    if value.lower is None or value.upper is None:
        return percent(value.value)
    return f"{percent(value.value)} ({percent(value.lower)} to {percent(value.upper)})"


def forest(
    rows: Sequence[dict[str, Any]], title: str, level: float, describing: str, palette: Palette, width: int = 250
) -> dict[str, Any]:
    """Estimates in lines, with their intervals and a level to compare them with.

    Args:
        rows: each with ``name`` (of its line), ``method`` (for its look), ``at``, perhaps ``lower`` and ``upper``, and
            what it says (``told``, see :func:`~.panels.told`).
        title: of the horizontal axis.
        level: where nothing is gained or lost.
        describing: the chart, for who cannot see it.
        palette: how methods look.
        width: of the plot without names, in pixels.
    """
    methods = palette.ordered(row["method"] for row in rows)
    low = min([level, *(row.get("lower", row["at"]) for row in rows)])
    high = max([level, *(row.get("upper", row["at"]) for row in rows)])
    pad = max(0.08 * (high - low), 0.02)
    scale = altair.Scale(domain=[low - pad, high + pad], nice=False)
    x = altair.X("at:Q", title=title, scale=scale, axis=SHARES)
    y = altair.Y(
        "name:N", sort=None, title=None, axis=altair.Axis(grid=False, ticks=False, domain=False, labelLimit=_NAMES)
    )
    spread = chart_of([row for row in rows if "lower" in row])
    colour = palette.colour(methods)
    layers = [
        chart_of([{"at": level}]).mark_rule(style="reference").encode(x=x),
        spread.mark_rule(strokeWidth=2.5).encode(x="lower:Q", x2="upper:Q", y=y, color=colour, description=telling()),
        chart_of(rows)
        .mark_point(filled=True, size=80, opacity=1)
        .encode(x=x, y=y, color=colour, shape=palette.shape(methods), description=telling()),
    ]
    return layered(layers, width, altair.Step(30), describing)
