"""The page holds all that the report says, loads nothing, trusts nothing, and may be filtered."""

from __future__ import annotations

from collections import Counter
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from synthetic_study_report import make_report

from policypress_lu2024.figures.drawn import NAMES, study_figures
from policypress_lu2024.page import filters, render, write_page
from policypress_lu2024.study_report import StudyReport

HOSTILE = '"></td><script>alert(1)</script><img src=x onerror=alert(2)>'
ALGORITHMS, ENVIRONMENTS = ("ppo", "sac"), ("Hopper", "Ant")


class Page(HTMLParser):
    """Tags with attributes, and the text outside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._inside -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.text += data

    def values(self, name: str) -> set[str | None]:
        return {attributes[name] for _, attributes in self.tags if name in attributes}


@cache
def report() -> StudyReport:
    return make_report(algorithms=ALGORITHMS, environments=ENVIRONMENTS, runs=2)


@cache
def page() -> Page:
    made = report()
    return Page(render(made, study_figures(made), ("report.json", "tables/table-1.csv")))


def without_figures(**options: Any) -> Page:
    return Page(render(make_report(**{"algorithms": ALGORITHMS, "environments": ENVIRONMENTS, **options}), ()))


def test_nothing_is_loaded_from_outside() -> None:
    for tag, attributes in page().tags:
        assert tag not in ("link", "img", "iframe", "object", "embed"), tag
        assert not {"src", "srcset", "data", "action", "poster"} & set(attributes), (tag, attributes)
        assert ":" not in (attributes.get("href") or ""), attributes
    policy = next(a["content"] for t, a in page().tags if t == "meta" and a.get("http-equiv"))
    assert (policy or "").startswith("default-src 'none'")


def test_ids_are_unique_and_every_anchor_leads_somewhere() -> None:
    ids = Counter(attributes["id"] for _, attributes in page().tags if "id" in attributes)
    assert {name: count for name, count in ids.items() if count > 1} == {}
    anchors = {(a.get("href") or "")[1:] for _, a in page().tags if (a.get("href") or "").startswith("#")}
    assert anchors <= set(ids)
    assert set(NAMES) | {f"finding-{finding.name}" for finding in report().findings} <= set(ids)


def test_every_section_is_in_the_contents() -> None:
    sections = [a["id"] for tag, a in page().tags if tag in ("section", "header")]
    assert sections == [
        "answer",
        "coverage",
        "table-1",
        "table-2",
        "table-3",
        "costs",
        "aggregates",
        "findings",
        "provenance",
    ]
    anchors = [
        (a.get("href") or "")[1:] for tag, a in page().tags if tag == "a" and (a.get("href") or "").startswith("#")
    ]
    assert anchors[: len(sections)] == sections


def test_tables_and_marks_can_be_filtered_by_everything_that_the_filters_name() -> None:
    named = {group["name"]: {value for value, _, _ in group["values"]} for group in filters(report())}
    assert named == {
        "algorithm": set(ALGORITHMS),
        "environment": set(ENVIRONMENTS),
        "method": {"ptdq", "ptsq", "qat", "l1", "l2"},
    }
    for name, values in named.items():
        assert page().values(f"data-{name}") == values
    boxes = [a for tag, a in page().tags if tag == "input"]
    assert {(a["data-name"], a["value"]) for a in boxes} == {(name, v) for name, vs in named.items() for v in vs}
    assert all("checked" in a for a in boxes)


def test_without_scripts_everything_is_there_and_the_filters_are_not() -> None:
    assert next("hidden" in a for _, a in page().tags if a.get("id") == "filters")
    assert not [a for _, a in page().tags if "display:none" in (a.get("style") or "").replace(" ", "")]


def test_runtimes_are_filtered_where_there_are_several() -> None:
    made = without_figures(runtimes=("onnxruntime", "native"))
    assert made.values("data-runtime") == {"onnxruntime", "native"}
    assert "under native" in made.text


def test_recipes_beyond_the_paper_have_a_section_of_their_own() -> None:
    assert "#own" not in page().values("href")
    made = without_figures(own=("equalize > int8",))
    assert "#own" in made.values("href")
    assert "equalize > int8" in made.values("data-method")


def test_every_statement_stands_with_both_verdicts() -> None:
    for finding in report().findings:
        assert finding.statement in page().text
        for evidence in (finding.paper, *finding.study):
            assert evidence.text in page().text
            assert evidence.verdict in page().text
    assert report().contradictions[0] in page().text


def test_a_paper_figure_that_is_not_drawn_says_why() -> None:
    made = without_figures(costs=False)
    for number in (1, 2, 3):
        assert f"Figure {number} is not drawn: the study file asks for no costs." in made.text


def test_commands_failures_and_files_are_named() -> None:
    for text in (*report().provenance.commands, *report().provenance.failures, *report().reduced):
        assert text in page().text
    assert {"report.json", "tables/table-1.csv", "figures/figure-1.svg"} <= page().values("href")


def test_an_empty_database_says_so() -> None:
    made = without_figures(empty=True)
    for text in ("Nothing has been measured yet", "not run", "There are no aggregates yet", "no data"):
        assert text in made.text
    nothing = {name: () for name in ("combinations", "table1", "table2", "table3", "runtimes", "algorithms")}
    bare = without_figures(empty=True, **nothing, environments=(), series=(), aggregates=(), findings=())
    assert "Nothing is here yet." in bare.text
    assert "No combination has been planned." in bare.text


def test_what_comes_from_files_is_text_not_markup() -> None:
    made = make_report(algorithms=(HOSTILE, "sac"), environments=("Ant", HOSTILE), study=HOSTILE, description=HOSTILE)
    drawn = Page(render(made, study_figures(made)[:1], (HOSTILE,)))
    assert len([tag for tag, _ in drawn.tags if tag == "script"]) == 1
    assert not [tag for tag, _ in drawn.tags if tag == "img"]
    assert HOSTILE in drawn.text
    assert HOSTILE in drawn.values("data-algorithm")


def test_the_folder_holds_page_and_figures_and_no_old_ones(tmp_path: Path) -> None:
    made = make_report(algorithms=("ppo",), environments=("Hopper", "Ant"), runs=1, costs=False)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "figure-1.svg").write_text("of an earlier run")
    path, *drawn = write_page(made, tmp_path)
    assert path == tmp_path / "report.html"
    assert set(drawn) == set((tmp_path / "figures").iterdir())
    names = ("pruning-returns", "quantization-returns")
    assert sorted(p.name for p in (tmp_path / "figures").iterdir()) == sorted(
        n + e for n in names for e in (".png", ".svg")
    )
    text = path.read_text()
    assert all(f"figures/{name}.png" in text for name in names)
