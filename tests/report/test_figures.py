"""Figures are real SVG and PNG, without anything from outside."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

from policypress.report.figures import WIDTH, figures
from policypress.report.results import Results

Read = Callable[..., Results]


def test_there_is_a_figure_for_everything_that_was_measured(read: Read) -> None:
    names = [figure.name for figure in figures(read())]
    assert names == ["return-against-size", "return-against-latency", "returns", "latency", "memory", "energy"]


def test_without_costs_fewer_and_without_returns_fewer_still(read: Read) -> None:
    assert [f.name for f in figures(read(with_costs=False))] == ["return-against-size", "returns"]


def test_svg_and_png_are_what_they_say(read: Read) -> None:
    for figure in figures(read()):
        root = ElementTree.fromstring(figure.svg())
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert not [e for e in root.iter() if any(key.endswith("href") for key in e.attrib)]
        png = figure.png()
        assert png.startswith(b"\x89PNG\r\n\x1a\n")
        width, height = struct.unpack(">II", png[16:24])
        assert width > 2 * WIDTH
        assert height > 200
        assert figure.meaning.endswith(".")


def test_charts_name_no_colours_of_their_own(read: Read) -> None:
    for figure in figures(read()):
        assert "#" not in str(figure.spec["layer"])
