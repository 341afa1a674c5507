"""Panels become SVG whose marks carry what they belong to and say."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import altair
import pytest

from policypress.report.axes import chart_of
from policypress.report.drawing.looks import Look, Palette
from policypress.report.drawing.panels import Panel, layered, telling, to_png, to_svg, told

NAMES = ("ptdq", "ptsq", "qat")
PALETTE = Palette({n: Look(n, f"m-{n}", f"#00{7 - at}2b2", "#56b4e9", "circle") for at, n in enumerate(NAMES)})

HOSTILE = '</svg><script>alert("1")</script>'


def panel(label: str = "PPO") -> Panel:
    rows = [
        {"x": at, "y": at * at, "method": method, "told": told(f"{label} {at}", algorithm=label, method=method)}
        for at, method in enumerate(("ptdq", "ptsq", "qat"))
    ]
    methods = [row["method"] for row in rows]
    points = (
        chart_of(rows)
        .mark_point(filled=True, clip=True)
        .encode(
            x=altair.X("x:Q"),
            y=altair.Y("y:Q"),
            color=PALETTE.colour(methods),
            shape=PALETTE.shape(methods),
            description=telling(),
        )
    )
    return Panel("a panel", layered([points], 120, 80, "three points"))


def marks(svg: str) -> list[ElementTree.Element]:
    return [element for element in ElementTree.fromstring(svg).iter() if "data-method" in element.attrib]


def test_marks_belong_to_what_their_rows_say() -> None:
    found = marks(panel().inline("a"))
    assert [mark.attrib["data-method"] for mark in found] == ["ptdq", "ptsq", "qat"]
    assert {mark.attrib["data-algorithm"] for mark in found} == {"PPO"}
    assert [child.text for mark in found for child in mark] == ["PPO 0", "PPO 1", "PPO 2"]


def test_on_a_page_all_colours_are_the_pages() -> None:
    svg = panel().inline("a")
    assert [mark.attrib["fill"] for mark in marks(svg)] == ["var(--m-ptdq)", "var(--m-ptsq)", "var(--m-qat)"]
    painted = {
        e.attrib[key] for e in ElementTree.fromstring(svg).iter() for key in ("fill", "stroke") if key in e.attrib
    }
    assert {paint for paint in painted if paint != "none" and not paint.startswith("var(--")} <= {"transparent"}


def test_ids_of_panels_do_not_meet() -> None:
    one, two = (
        {e.attrib["id"] for e in ElementTree.fromstring(panel().inline(unique)).iter() if "id" in e.attrib}
        for unique in ("one", "two")
    )
    assert one
    assert not one & two
    assert "url(#one-" in panel().inline("one")


def test_labels_are_text_whatever_they_say() -> None:
    svg = panel(HOSTILE).inline("a")
    assert "<script" not in svg
    assert marks(svg)[0].attrib["data-algorithm"] == HOSTILE


def test_a_file_has_colours_of_its_own() -> None:
    svg = to_svg(panel().spec)
    assert "var(--" not in svg
    assert "#0072b2" in svg
    assert to_png(svg).startswith(b"\x89PNG\r\n\x1a\n")


def test_a_chart_that_would_load_anything_fails() -> None:
    spec = {**panel().spec, "data": {"url": "https://example.org/a.csv"}}
    spec["layer"] = [{name: value for name, value in spec["layer"][0].items() if name != "data"}]
    with pytest.raises(ValueError, match="example"):
        to_svg(spec)


def test_what_a_mark_says_steers_nothing_and_is_well_formed() -> None:
    text = "a\x1b]0;x\x07 \x08\u202e <b> \udcff"
    rows = [{"x": 1, "name": text, "told": told(text, algorithm=text)}]
    drawn = chart_of(rows).mark_point().encode(x="x:Q", y="name:N", description=telling())
    svg = Panel(text, layered([drawn], 100, 100, text)).inline("here")
    svg.encode()
    shown = {element.get("data-algorithm") for element in ElementTree.fromstring(svg).iter()}
    assert "a?]0;x? ?? <b> ?" in shown
