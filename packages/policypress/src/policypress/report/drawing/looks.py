"""How what is compared is named and drawn: one colour, one shape and one dash for each, everywhere on a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import altair
from markupsafe import Markup


@dataclass(frozen=True)
class Look:
    """How a method or a family of recipes appears.

    Attributes:
        label: for people.
        token: name of its colour on the page (a CSS variable).
        light: colour on a light ground, as ``#0072b2``.
        dark: colour on a dark ground.
        shape: of its points, as Vega calls it, so that nobody depends on colour.
        dash: of its lines; empty for a solid one.
    """

    label: str
    token: str
    light: str
    dark: str
    shape: str
    dash: tuple[int, ...] = ()

    @property
    def stand_in(self) -> str:
        """Its colour in a chart, until it is known what the chart is drawn for (see :mod:`.panels`)."""
        return f"«{self.token}|{self.light}»"


OTHER = Look("", "m-own", "#5b6470", "#a3acb8", "cross", (1, 2))


@dataclass(frozen=True)
class Palette:
    """The looks of all that a report compares, in their order; whatever else there is shares one look (``other``)."""

    looks: Mapping[str, Look] = field(default_factory=dict)
    other: Look = OTHER

    def look(self, name: str) -> Look:
        """How ``name`` appears; what has no look of its own goes by its own name."""
        return self.looks.get(name) or replace(self.other, label=name)

    def ordered(self, names: Iterable[str]) -> tuple[str, ...]:
        """Each name once, those with a look first and in their order."""
        there = set(names)
        return (*(name for name in self.looks if name in there), *sorted(there - set(self.looks)))

    def tokens(self) -> dict[str, tuple[str, str]]:
        """Name of each colour → that colour on a light and on a dark ground."""
        return {look.token: (look.light, look.dark) for look in (*self.looks.values(), self.other)}

    def css(self) -> Markup:
        """The colours as CSS, for light and dark grounds."""
        light = " ".join(f"--{name}: {colour};" for name, (colour, _) in self.tokens().items())
        dark = " ".join(f"--{name}: {colour};" for name, (_, colour) in self.tokens().items())
        return Markup(f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}")

    def colour(self, names: Sequence[str]) -> altair.Color:
        """Colour by the field ``method``, which has one of ``names``."""
        scale = altair.Scale(domain=list(names), range=[self.look(name).stand_in for name in names])
        return altair.Color("method:N", scale=scale, legend=None)

    def shape(self, names: Sequence[str]) -> altair.Shape:
        """Shape by the field ``method``."""
        scale = altair.Scale(domain=list(names), range=[self.look(name).shape for name in names])
        return altair.Shape("method:N", scale=scale, legend=None)

    def dash(self, names: Sequence[str]) -> altair.StrokeDash:
        """Dash by the field ``method``."""
        scale = altair.Scale(domain=list(names), range=[list(self.look(name).dash) or [1, 0] for name in names])
        return altair.StrokeDash("method:N", scale=scale, legend=None)
