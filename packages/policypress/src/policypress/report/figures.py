"""Every figure of the report: as a Vega-Lite chart, as SVG and as PNG, from the same rows.

Charts name no colours of their own: they come from :data:`LIGHT` or :data:`DARK` when they are drawn.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import vl_convert

from policypress.report import interval_plots as strips
from policypress.report import scatter, search_figure
from policypress.report.axes import Drawn
from policypress.report.results import Results
from policypress_runtime.foreign_text import plain_data

WIDTH = 720
_FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif"
_SCALE = 2.0


def _config(text: str, muted: str, grid: str, surface: str | None, categories: list[str]) -> dict[str, Any]:
    axis = {"labelColor": muted, "titleColor": text, "gridColor": grid, "domainColor": grid, "tickColor": grid}
    return {
        "background": surface,
        "font": _FONT,
        "view": {"stroke": None},
        "axis": {**axis, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "titlePadding": 10},
        "axisY": {"labelLimit": 190},
        "legend": {"labelColor": text, "titleColor": muted, "orient": "top", "labelFontSize": 12, "title": None},
        "range": {"category": categories},
        "text": {"color": text, "fontSize": 11.5},
        "style": {
            "threshold": {"color": muted, "strokeDash": [4, 4], "strokeWidth": 1},
            "reference": {"color": muted, "strokeWidth": 1},
            "front": {"color": muted, "strokeWidth": 1.5},
            "strong": {"color": text, "fontWeight": 600},
            "quiet": {"color": muted},
            "mean": {"color": text},
        },
    }


# Okabe and Ito's colours, which people with any colour vision tell apart; lighter ones on a dark ground.
LIGHT = _config("#1b1f24", "#5b6470", "#e3e6ea", "#ffffff", ["#3d434b", "#0072b2", "#d55e00", "#009e73", "#cc79a7"])
DARK = _config("#e9ecef", "#a3acb8", "#333a44", None, ["#c4cad2", "#56b4e9", "#f0914a", "#2fc99b", "#e3a1c6"])


@dataclass(frozen=True)
class Figure:
    """One figure: its file name without ending, its title, what it means, and its chart as Vega-Lite.

    ``spec`` is as wide as its container; :meth:`svg` and :meth:`png` are :data:`WIDTH` wide, on white.
    """

    name: str
    title: str
    meaning: str
    spec: dict[str, Any]

    def svg(self) -> str:
        """The figure as SVG."""
        # No base URL is allowed: a chart that would load anything fails.
        return str(vl_convert.vegalite_to_svg(self._fixed(), config=LIGHT, allowed_base_urls=[]))

    def png(self) -> bytes:
        """The figure as PNG, two pixels to a unit."""
        return bytes(vl_convert.svg_to_png(self.svg(), scale=_SCALE))

    def _fixed(self) -> dict[str, Any]:
        return {**plain_data(json.loads(json.dumps(self.spec))), "width": WIDTH}


_MAKERS: dict[str, Callable[[Results], Drawn | None]] = {
    "return-against-size": scatter.return_against_size,
    "search": search_figure.search_map,
    "return-against-latency": scatter.return_against_latency,
    "returns": strips.returns,
    "latency": strips.latency,
    "memory": strips.memory,
    "energy": strips.energy,
}
NAMES = tuple(_MAKERS)
"""Names of all figures that there may be."""


def figures(results: Results) -> tuple[Figure, ...]:
    """The figures that ``results`` have data for, in the order of the report."""
    drawn = [(name, draw(results)) for name, draw in _MAKERS.items()]
    return tuple(Figure(name, d.title, d.meaning, d.spec) for name, d in drawn if d is not None)
