"""Fuzz targets of pages and charts: the reports of the tests' synthetic studies, with foreign text in them."""

from __future__ import annotations

import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.fuzz.oracles import Page, check_page, require

from policypress.engine.store.reader import STORE_NAME, StoreReader
from policypress.report.axes import chart_of
from policypress.report.drawing.panels import Panel, layered, telling, told
from policypress.report.figures import Figure, figures
from policypress.report.grid.page import render as grid_page
from policypress.report.grid.report import GridReport, read_report
from policypress.report.page import render as results_page
from policypress.report.results import Results, read_results
from policypress_li2023.page import render as li_page
from policypress_li2023.results import read_results as read_li_results
from policypress_lu2024.page import render as study_page
from policypress_lu2024.study_report import StudyReport
from policypress_runtime.foreign_text import plain_lines

TESTS = Path(__file__).resolve().parents[2] / "tests" / "report"
# What stood in files, in the synthetic results.
_IN_RESULTS = (
    *("agent.zip", "Synthetic-v0", "a note", "2.9.2", "Test CPU", "Linux", "prune(l2, 0.5)", "no counters <here>"),
    *("The file would not do what the policy does.", "a table", "A summary.", "a milder one <keeps> too little"),
)
_IN_STUDY = (
    *("synthetic", "drawn at random, to test the page; no result of anything", "Ant", "an own recipe", "2.13.0"),
    *("ParityError: the file would not do what the policy does", "Linux, x86_64", "trpo"),
    *("policypress study run synthetic.yml", "policypress study report synthetic.yml -o report"),
)
_IN_GRID = (
    *(
        "synthetic",
        "numbers that are chosen",
        "ours",
        "theirs",
        "Test CPU",
        "prune(l2, 0.5)",
        "Hopper-v4",
        "PPO Hopper-v4",
    ),
    *("ppo", "It does something else.", "failed: It does something else.", "policypress study run synthetic.yml"),
)
_IN_LI = ("CartPole-v0", "CartPole", "Li 2023 <published>")


@dataclass(frozen=True)
class _Drawn(Figure):
    """A figure that is not drawn: what Vega makes of it has a target of its own."""

    def svg(self) -> str:
        return "<svg/>"


def with_text(value: Any, texts: Mapping[str, str]) -> Any:
    """``value`` with some of its texts replaced, however deep they stand."""
    if isinstance(value, str):
        return texts.get(value, value)
    if isinstance(value, Mapping):
        return {with_text(key, texts): with_text(one, texts) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(with_text(one, texts) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {part.name: with_text(getattr(value, part.name), texts) for part in fields(value) if part.init}
        return replace(value, **parts)
    return value


@cache
def _results() -> tuple[Results, tuple[Figure, ...]]:
    sys.path.insert(0, str(TESTS))
    from synthetic_results import make_study
    from synthetic_search import attempt, history, robustness

    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        cells = make_study(Path(folder) / STORE_NAME)
        with StoreReader(Path(folder) / STORE_NAME) as store:
            found = read_results(store, cells, {"cpu": "Test CPU", "system": "Linux"})
    won = attempt("prune(l2, 0.5)", 99.0)
    whole = replace(found, search=history(won), robustness=robustness("prune(l2, 0.5)"))
    return whole, tuple(_Drawn(f.name, f.title, f.meaning, f.spec) for f in figures(whole))


@cache
def _study() -> StudyReport:
    sys.path.insert(0, str(TESTS.parent / "papers" / "lu2024"))
    from synthetic_study_report import make_report

    made = {"algorithms": ("ppo", "trpo"), "environments": ("Hopper", "Ant"), "runs": 2, "own": ("an own recipe",)}
    return make_report(**made)  # type: ignore[no-any-return]


@cache
def _grid() -> GridReport:
    sys.path.insert(0, str(TESTS / "grid"))
    from chosen_study import make

    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        make(Path(folder) / STORE_NAME, failed=("ptsq",))
        with StoreReader(Path(folder) / STORE_NAME) as store:
            return read_report(store, "synthetic", "synthetic.yml", "numbers that are chosen")


@cache
def _li() -> Any:
    sys.path.insert(0, str(TESTS.parent / "papers" / "li2023"))
    from synthetic_li import as_the_paper_says

    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        as_the_paper_says(Path(folder), seeds=2).close()
        with StoreReader(Path(folder) / STORE_NAME) as store:
            return read_li_results(store)


def _page(text: str) -> str:
    whole, drawn = with_text(_results(), dict.fromkeys(_IN_RESULTS, text))
    # Vega's own script is large, slow to make, and always the same.
    with patch("policypress.report.page._library", return_value="vegaEmbed"):
        return results_page(whole, drawn)


def _study_page(text: str) -> str:
    return study_page(with_text(_study(), dict.fromkeys(_IN_STUDY, text)), (), ("report.json",))


def _grid_page(text: str) -> str:
    return grid_page(with_text(_grid(), dict.fromkeys(_IN_GRID, text)), (), ("report.json",))


def _li_page(text: str) -> str:
    return li_page(with_text(_li(), dict.fromkeys(_IN_LI, text)), (), (text, "policypress study run x.yml"))


@cache
def _like(render: Callable[[str], str]) -> Page:
    return Page(render("plain text"))


def _target(render: Callable[[str], str]) -> Callable[[bytes], None]:
    def target(content: bytes) -> None:
        text = f"a {content.decode('utf-8', errors='surrogateescape')} b"
        written = render(text)
        written.encode()
        page = Page(written)
        check_page(page, _like(render))
        shown = "".join(plain_lines(text).split())
        require(shown in "".join(page.text.split()), "text that is lost", text)

    return target


def charts(content: bytes) -> None:
    """A chart as it stands on a study's page, and as a file."""
    text = f"a {content.decode('utf-8', errors='surrogateescape')} b"
    rows = [{"x": 1, "name": text, "told": told(text, algorithm=text)}]
    points = chart_of(rows).mark_point().encode(x="x:Q", y="name:N", description=telling())
    panel = Panel(text, layered([points], 100, 100, text))
    _check_drawing(panel.inline("here-0"), text, ["data-algorithm"])
    _check_drawing(Figure("x", text, text, panel.spec).svg(), text, [])


def _check_drawing(svg: str, text: str, added: Sequence[str]) -> None:
    root = ElementTree.fromstring(svg)
    shown = "".join(plain_lines(text).split())
    for element in root.iter():
        tag = element.tag.rpartition("}")[2]
        require(tag in ("svg", "g", "path", "text", "title", "line", "rect", "defs", "clipPath", "tspan"), "a tag", tag)
        for name, value in element.attrib.items():
            require(not name.lower().startswith("on") and "href" not in name, "an attribute", name, value)
    for name in added:
        values = {"".join(element.get(name, "").split()) for element in root.iter()}
        require(shown in values, "another value", name, text, *values)


PAGES: dict[str, Callable[[bytes], None]] = {
    "page": _target(_page),
    "study_page": _target(_study_page),
    "grid_page": _target(_grid_page),
    "li_page": _target(_li_page),
    "charts": charts,
}
