"""What the charts share: their colours' groups, axes with SI units, and labels that do not cover each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair

FAMILIES = ("baseline", "quantized", "pruned", "pruned and quantized", "other")
_SHAPES = ("diamond", "circle", "square", "triangle-up", "cross")
# Expressions of Vega; they see what is SI and show what is scaled.
BYTES_EXPRESSION = (
    "datum.value >= 1e6 ? format(datum.value / 1e6, '~r') + ' MB' : "
    "datum.value >= 1e3 ? format(datum.value / 1e3, '~r') + ' kB' : "
    "datum.value > 0 ? format(datum.value, '~r') + ' B' : '0'"
)
SECONDS_EXPRESSION = (
    "datum.value >= 1 ? format(datum.value, '.3~r') + ' s' : datum.value >= 1e-3 ? "
    "format(datum.value * 1e3, '.3~r') + ' ms' : datum.value >= 1e-6 ? format(datum.value * 1e6, '.3~r') + ' µs' : "
    "format(datum.value * 1e9, '.3~r') + ' ns'"
)
_COLUMNS = altair.ExprRef("width < 400 ? 2 : 0")
_MANTISSAS = (
    (1, 2, 5),
    (1, 1.5, 2, 3, 5, 7),
    tuple(n / 2 for n in range(2, 20)),
    tuple(n / 4 for n in range(4, 40)),
    tuple(n / 10 for n in range(10, 100)),
)
_CHARACTER = 6.3  # width of a character of a label, in pixels, on average
_LINE = 12.0
_GAP = 10.0
_NEAR = 6.0  # both ways, where a label stands diagonally

Side = Literal["right", "left", "above", "below", "above right", "below right", "above left", "below left"]
Area = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels from the upper left."""


@dataclass(frozen=True)
class Drawn:
    """A chart, as Vega-Lite, with what to say of it."""

    title: str
    meaning: str
    spec: dict[str, Any]


def chart_of(values: Sequence[Mapping[str, Any]]) -> altair.Chart:
    """A chart of rows that stand in the chart itself."""
    return altair.Chart(altair.InlineData(values=list(values)))


def layered(layers: Sequence[Any], height: float | int, description: str) -> dict[str, Any]:
    """The layers as one Vega-Lite chart, as wide as its container."""
    return dict(altair.layer(*layers).properties(width="container", height=height, description=description).to_dict())


def family_colour(values: Sequence[str], *, legend: bool) -> altair.Color:
    """Colour by family; the legend has only those that occur."""
    shown = [name for name in FAMILIES if name in values]
    return altair.Color(
        "family:N",
        scale=altair.Scale(domain=list(FAMILIES)),
        legend=altair.Legend(values=shown, title=None, symbolOpacity=1, columns=_COLUMNS) if legend else None,
    )


def family_shape(values: Sequence[str]) -> altair.Shape:
    """Shape by family, so that nobody depends on colour."""
    shown = [name for name in FAMILIES if name in values]
    scale = altair.Scale(domain=list(FAMILIES), range=list(_SHAPES))
    return altair.Shape(
        "family:N", scale=scale, legend=altair.Legend(values=shown, title=None, symbolOpacity=1, columns=_COLUMNS)
    )


def log_domain(values: Sequence[float], margin: float = 0.12) -> tuple[float, float]:
    """Domain of a logarithmic axis: the values and a share of their span around them."""
    low, high = math.log(min(values)), math.log(max(values))
    pad = max(margin * (high - low), 0.08)
    return math.exp(low - pad), math.exp(high + pad)


def log_ticks(domain: tuple[float, float]) -> list[float]:
    """Round numbers inside ``domain``: the coarsest series that has at least four, and at most eight of it.

    >>> log_ticks((60e3, 320e3))
    [70000.0, 100000.0, 150000.0, 200000.0, 300000.0]
    """
    low, high = domain
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for mantissas in _MANTISSAS:
        found = [float(f"{mantissa}e{exponent}") for exponent in exponents for mantissa in mantissas]
        ticks = [value for value in found if low <= value <= high]
        if len(ticks) >= 4:
            break
    return ticks[:: math.ceil(len(ticks) / 8)] if ticks else []


def log_axis(field: str, title: str, values: Sequence[float], expression: str) -> altair.X:
    """A logarithmic horizontal axis for ``values`` (> 0) in SI units."""
    domain = log_domain(values)
    return altair.X(
        field,
        title=title,
        scale=altair.Scale(type="log", domain=list(domain), nice=False),
        axis=altair.Axis(values=log_ticks(domain), labelExpr=expression, labelFlush=False, labelOverlap=True),
    )


@dataclass(frozen=True)
class Label:
    """A label of a point at ``x``, ``y`` (pixels, from the upper left); an important one may lie on a line."""

    text: str
    x: float
    y: float
    important: bool = False

    def area(self, side: Side) -> Area:
        """What it covers when it stands on that side of its point."""
        width = _CHARACTER * len(self.text)
        properties = _PLACEMENT[side]
        x, y = self.x + properties.get("dx", 0.0), self.y + properties.get("dy", 0.0)
        left = x - {"left": 0.0, "center": width / 2, "right": width}[properties["align"]]
        top = y - {"top": 0.0, "middle": _LINE / 2, "bottom": _LINE}[properties["baseline"]]
        return left, top, left + width, top + _LINE


def place(labels: Sequence[Label], width: float, height: float, lines: Sequence[Area] = ()) -> list[Side | None]:
    """Side of each label, so that none covers another, a point or one of ``lines``; None where there is no room.

    Who comes first chooses first.
    """
    points = [(label.x - 5, label.y - 5, label.x + 5, label.y + 5) for label in labels]
    taken: list[Area] = []
    sides: list[Side | None] = []
    for index, label in enumerate(labels):
        others = [*taken, *(point for other, point in enumerate(points) if other != index)]
        free = [side for side in _PLACEMENT if _free(label.area(side), others, width, height)]
        clear = [side for side in free if _free(label.area(side), lines, width, height)]
        side = next(iter([*clear, *(free if label.important else [])]), None)
        sides.append(side)
        if side is not None:
            taken.append(label.area(side))
    return sides


_PLACEMENT: dict[Side, dict[str, Any]] = {
    "right": {"align": "left", "dx": _GAP, "baseline": "middle"},
    "above": {"align": "center", "dy": -_GAP, "baseline": "bottom"},
    "below": {"align": "center", "dy": _GAP, "baseline": "top"},
    "left": {"align": "right", "dx": -_GAP, "baseline": "middle"},
    "above right": {"align": "left", "dx": _NEAR, "dy": -_NEAR, "baseline": "bottom"},
    "below right": {"align": "left", "dx": _NEAR, "dy": _NEAR, "baseline": "top"},
    "above left": {"align": "right", "dx": -_NEAR, "dy": -_NEAR, "baseline": "bottom"},
    "below left": {"align": "right", "dx": -_NEAR, "dy": _NEAR, "baseline": "top"},
}


def placement(side: Side) -> dict[str, Any]:
    """Properties of a text mark that stands on that side of its point."""
    return dict(_PLACEMENT[side])


def _free(area: Area, others: Sequence[Area], width: float, height: float) -> bool:
    left, top, right, bottom = area
    inside = left >= 0 and top >= 0 and right <= width and bottom <= height
    return inside and not any(o[0] < right and left < o[2] and o[1] < bottom and top < o[3] for o in others)
