"""A figure of a study: panels that a page shows one by one, and that a file holds side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import altair
from markupsafe import Markup

from policypress.report.axes import chart_of
from policypress.report.drawing.looks import Palette
from policypress.report.drawing.panels import Panel, layered, to_png, to_svg
from policypress_runtime.atomic_write import write_atomic

FIGURES_FOLDER = "figures"
_LEGEND_HEIGHT = 16
_LEGEND_STEP = 26.0
_CHARACTER = 6.6  # width of a character of the legend, in pixels, on average
_PANEL_GAP = 28


@dataclass(frozen=True)
class StudyFigure:
    """One figure with everything that a reader needs to read it.

    Attributes:
        name: of its files, without ending; fit for an anchor.
        title: what it shows.
        meaning: how it is read and what is left out, in sentences.
        panels: at least one.
        methods: those that occur, for the legend; empty where axes name them.
        columns: panels in a row of the file.
        narrow: whether the panels are small enough for two in a row of a phone.
        palette: how the methods look.
    """

    name: str
    title: str
    meaning: str
    panels: tuple[Panel, ...]
    methods: tuple[str, ...] = ()
    columns: int = 3
    narrow: bool = False
    palette: Palette = field(default_factory=Palette)

    def svg(self) -> str:
        """The whole figure for a file, with title and legend."""
        return to_svg(self._whole())

    def png(self, svg: str | None = None) -> bytes:
        """The same as PNG, two pixels to a unit; ``svg`` is the figure's own, where it has been drawn already."""
        return to_png(svg or self.svg())

    def _whole(self) -> dict[str, Any]:
        views = [{**_bare(panel.spec), "title": panel.title} for panel in self.panels]
        panels = {"concat": views, "columns": self.columns, "spacing": _PANEL_GAP}
        legend = [_legend(self.methods, self.palette)] if self.methods else []
        parts = [*legend, *(panel.spec for panel in self.panels)]
        return {
            "$schema": self.panels[0].spec["$schema"],
            "title": {"text": self.title, "fontSize": 15, "offset": 14},
            "padding": 14,
            "vconcat": [_bare(view) for view in legend] + [panels],
            "datasets": {name: rows for view in parts for name, rows in view.get("datasets", {}).items()},
        }


def write_figures(figures: Sequence[StudyFigure], folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """Write each figure as SVG and PNG below ``folder``; of ``names``, those of an earlier report are removed.

    Raises:
        OutputError: a file cannot be written.
    """
    written = []
    for figure in figures:
        svg = figure.svg()
        for ending, content in ((".svg", svg.encode()), (".png", figure.png(svg))):
            write_atomic(folder / FIGURES_FOLDER / (figure.name + ending), content)
            written.append(folder / FIGURES_FOLDER / (figure.name + ending))
    for name in set(names) - {figure.name for figure in figures}:
        for ending in (".svg", ".png"):
            (folder / FIGURES_FOLDER / (name + ending)).unlink(missing_ok=True)
    return tuple(written)


def on_page(figure: StudyFigure) -> dict[str, Any]:
    """A figure as ``studies/parts.html.j2`` draws it."""
    panels = [
        {"panel": panel, "svg": Markup(panel.inline(f"{figure.name}-{at}"))} for at, panel in enumerate(figure.panels)
    ]
    looks = [(method, figure.palette.look(method)) for method in figure.methods]
    return {"figure": figure, "panels": panels, "legend": [(method, look.label, look.token) for method, look in looks]}


def _bare(spec: dict[str, Any]) -> dict[str, Any]:
    """A view as a part of a larger one."""
    return {name: value for name, value in spec.items() if name not in ("$schema", "config", "datasets")}


def _legend(methods: Sequence[str], palette: Palette) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    at = 6.0
    for method in methods:
        rows.append({"method": method, "label": palette.look(method).label, "at": at, "text_at": at + 10})
        at += _LEGEND_STEP + _CHARACTER * len(palette.look(method).label)
    scale = altair.Scale(domain=[0, at], nice=False)
    x = altair.X("at:Q", scale=scale, axis=None)
    chart = chart_of(rows)
    points = chart.mark_point(filled=True, size=70, opacity=1).encode(
        x=x, y=altair.value(8), color=palette.colour(methods), shape=palette.shape(methods)
    )
    words = chart.mark_text(align="left", baseline="middle", style="strong").encode(
        x=altair.X("text_at:Q", scale=scale, axis=None), y=altair.value(8), text="label:N"
    )
    return layered([points, words], int(at), _LEGEND_HEIGHT, "legend")
