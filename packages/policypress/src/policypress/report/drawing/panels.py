"""Panels of figures: Vega-Lite charts that become SVG for a page or for a file.

On a page the SVG stands in the text: its colours are the page's (light or dark), every mark carries what it belongs to,
so that the page's filters reach it without redrawing, and says its numbers when it is pointed at.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import altair
import vl_convert

from policypress_runtime.foreign_text import plain_data

_SVG = "http://www.w3.org/2000/svg"
_FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif"
# Stand-ins that no drawing uses, put in place of a page's colours while Vega draws.
_TEXT, _MUTED, _GRID = "#010203", "#010204", "#010205"
_STAND_IN = re.compile(r"«([a-z][a-z0-9-]*)\|(#[0-9a-f]{6})»")
_MARK = "policypress-mark:"
_PNG_SCALE = 2.0
_MOST_SCALED = 1.25  # letters of a panel that is wider than this look out of place


@dataclass(frozen=True)
class Panel:
    """One chart of a figure.

    Attributes:
        title: what is particular of it in its figure.
        spec: Vega-Lite, one view with its own width and height, in pixels; colours are those of a
            :class:`~.looks.Palette`.
        belongs: ``algorithm``, ``environment`` or ``runtime`` → what all of it belongs to, for filters.
        note: what a reader must know of this panel; may be empty.
    """

    title: str
    spec: dict[str, Any]
    belongs: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    def inline(self, unique: str) -> str:
        """The panel as an SVG element for a page; ``unique`` keeps its ids apart from those of other panels."""
        colours = {"text": _TEXT, "muted": _MUTED, "grid": _GRID}
        content = json.dumps(plain_data(self.spec), ensure_ascii=False)
        names = dict.fromkeys(name for name, _ in _STAND_IN.findall(content))
        palette = {name: f"#0a00{index:02x}" for index, name in enumerate(names)}
        drawn = _svg(content, _config(**colours, surface=None), palette)
        text = _for_page(drawn, unique)
        for stand_in, variable in ((_TEXT, "text"), (_MUTED, "muted"), (_GRID, "line")):
            text = text.replace(stand_in, f"var(--{variable})")
        for name, stand_in in palette.items():
            text = text.replace(stand_in, f"var(--{name})")
        return text


def to_svg(spec: dict[str, Any]) -> str:
    """A chart as SVG for a file: on white, with colours of its own."""
    text = json.dumps(plain_data(spec), ensure_ascii=False)
    return _svg(text, _config("#1b1f24", "#5b6470", "#e3e6ea", "#ffffff"), {})


def to_png(svg: str) -> bytes:
    """SVG as PNG, two pixels to a unit."""
    return bytes(vl_convert.svg_to_png(svg, scale=_PNG_SCALE))


def layered(layers: Sequence[Any], width: int, height: int | altair.Step, description: str) -> dict[str, Any]:
    """The layers as one Vega-Lite view."""
    return dict(altair.layer(*layers).properties(width=width, height=height, description=description).to_dict())


def told(text: str, **belongs: str) -> str:
    """What a mark says (``text``) and belongs to, for its field ``told``; see :func:`telling`."""
    # JSON writes control characters as escapes, which later become them again.
    return _MARK + json.dumps(plain_data({"text": text, "belongs": belongs}), ensure_ascii=False)


def telling() -> altair.Description:
    """The channel that hands a row's ``told`` to its mark."""
    return altair.Description("told:N")


def _config(text: str, muted: str, grid: str, surface: str | None) -> dict[str, Any]:
    axis: dict[str, Any] = {
        "labelColor": muted,
        "titleColor": text,
        "gridColor": grid,
        "domainColor": grid,
        "tickColor": grid,
    }
    axis |= {"labelOverlap": True, "labelSeparation": 6}
    return {
        "background": surface,
        "font": _FONT,
        "view": {"stroke": None},
        "axis": {**axis, "labelFontSize": 11, "titleFontSize": 11.5, "titleFontWeight": "normal", "titlePadding": 7},
        "axisX": {"labelFlush": False},
        "axisY": {"labelLimit": 150},
        "title": {"color": text, "fontSize": 12.5, "anchor": "start", "offset": 8},
        "text": {"color": text, "fontSize": 11.5},
        "style": {
            "threshold": {"color": muted, "strokeDash": [4, 4], "strokeWidth": 1},
            "reference": {"color": muted, "strokeWidth": 1},
            "quiet": {"color": muted},
            "strong": {"color": text},
        },
    }


def _svg(spec: str, config: dict[str, Any], palette: Mapping[str, str]) -> str:
    """The chart drawn; colours are those of ``palette`` by name, or the stand-ins' own."""
    text = _STAND_IN.sub(lambda found: palette.get(found[1], found[2]), spec)
    # No base URL is allowed: a chart that would load anything fails.
    return str(vl_convert.vegalite_to_svg(json.loads(text), config=config, allowed_base_urls=[]))


def _for_page(svg: str, unique: str) -> str:
    """Marks get ``data-`` attributes and titles; what only a file needs goes."""
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(svg)
    description = root.get("aria-label") or ""
    for element in root.iter():
        label = element.attrib.pop("aria-label", "")
        for name in ("aria-roledescription", "aria-hidden", "role", "class", "pointer-events", "font-family"):
            element.attrib.pop(name, None)
        if "id" in element.attrib:
            element.set("id", f"{unique}-{element.attrib['id']}")
        if "clip-path" in element.attrib:
            element.set("clip-path", element.attrib["clip-path"].replace("url(#", f"url(#{unique}-"))
        if label.startswith(_MARK):
            _belonging(element, json.loads(label.removeprefix(_MARK)))
        elif element.tag == f"{{{_SVG}}}svg":
            description = label or description
    _trim(root)
    width, height = root.attrib.pop("width"), root.attrib.pop("height")
    root.set("viewBox", f"0 0 {width} {height}")
    root.set("style", f"max-width:{_MOST_SCALED * float(width):.0f}px")
    root.set("role", "img")
    root.set("aria-label", description)
    return ElementTree.tostring(root, encoding="unicode")


def _belonging(element: ElementTree.Element, said: Mapping[str, Any]) -> None:
    for name, value in said["belongs"].items():
        element.set(f"data-{name}", value)
    if said["text"]:
        ElementTree.SubElement(element, f"{{{_SVG}}}title").text = said["text"]


def _trim(parent: ElementTree.Element) -> None:
    """Take out what draws nothing: Vega leaves empty paths and the grounds of groups."""
    for child in list(parent):
        _trim(child)
        nothing = child.tag.endswith("}path") and (
            child.get("display") == "none" or child.get("d") in ("", "M0,0h0v0h0Z")
        )
        empty = child.tag.endswith("}g") and not len(child) and not child.text
        if nothing or empty:
            parent.remove(child)
