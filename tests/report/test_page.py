"""The page: it says what the results say, holds everything itself, and trusts nothing that came with an agent."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

from synthetic_results import costs

from policypress.report.costs import read_costs
from policypress.report.figures import figures
from policypress.report.page import cost_table, render, tiles
from policypress.report.results import Results

Read = Callable[..., Results]


class Page(HTMLParser):
    """Tags with attributes, the text outside scripts and styles, and the charts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.charts = ""
        self._inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside.append(dict(attrs).get("id") or tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.text += data
        elif self._inside[-1] == "charts":
            self.charts += data


def page_of(results: Results) -> Page:
    return Page(render(results, figures(results)))


def test_nothing_is_loaded_from_outside(read: Read) -> None:
    page = page_of(read())
    loading = {"src", "srcset", "data", "action", "poster"}
    for tag, attributes in page.tags:
        for name in loading & set(attributes):
            assert (attributes[name] or "").startswith("data:image/svg+xml;base64,"), (tag, name)
        if "href" in attributes:
            assert ":" not in (attributes["href"] or ""), attributes["href"]
        assert tag != "link"
    policy = next(a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv"))
    assert "default-src 'none'" in (policy or "")


def test_the_table_has_every_recipe_with_its_verdict(read: Read) -> None:
    page = page_of(read())
    for text in ("random actions", "none (fp32)", "ptdq", "prune(l2, 0.5)", "keeps 95 %", "below 95 %", "too close"):
        assert text in page.text
    assert "3.6× smaller" in page.text
    assert "Measured, not certified." in page.text
    assert "would not do what the policy does" in page.text


def test_the_charts_are_those_of_the_figures(read: Read) -> None:
    results = read()
    charts = json.loads(page_of(results).charts)
    assert list(charts["specs"]) == [figure.name for figure in figures(results)] or set(charts["specs"]) == {
        figure.name for figure in figures(results)
    }
    assert charts["light"]["range"] != charts["dark"]["range"]


def test_what_came_with_the_agent_is_text_not_markup(read: Read) -> None:
    page = page_of(read(source="</script><script>alert(1)</script><img src=x onerror=alert(2)>.zip"))
    assert [a for t, a in page.tags if t == "img" and not (a["src"] or "").startswith("data:")] == []
    assert len([t for t, _ in page.tags if t == "script"]) == 3
    assert "<script>alert(1)" in page.text


def test_modelled_energy_is_labelled_wherever_it_stands(read: Read) -> None:
    results = read()
    assert [tile.note for tile in tiles(results) if tile.label.startswith("Energy")] == ["modelled"]
    headings = cost_table(results.rows)["headings"]
    assert [h for h in headings if "energy" in h] == ["energy per action, modelled", "energy per episode, modelled"]


def under_two_runtimes(results: Results) -> Results:
    """``results`` with baseline and one recipe measured natively first, and under ONNX Runtime, too."""
    rows = []
    for row in results.rows:
        if row.name in ("none", "equalize > int8"):
            native = [replace(m, protocol={**m.protocol, "runtime": "native"}) for m in costs(200)]
            row = replace(row, costs=read_costs(native), other_runtimes={"onnxruntime": row.costs})
        rows.append(row)
    return replace(results, rows=tuple(rows))


def test_costs_under_two_runtimes_are_two_lines_that_name_them(read: Read) -> None:
    results = under_two_runtimes(read())
    table = cost_table(results.rows)
    assert table["headings"][0] == "runtime"
    lines = [(line["name"], dict(line["cells"])["runtime"]) for line in table["lines"]]
    assert lines[:2] == [("none (fp32)", "native"), ("none (fp32)", "ONNX Runtime")]
    assert ("equalize > int8", "ONNX Runtime") in lines
    latency = next(tile for tile in tiles(results) if tile.label == "Latency")
    assert "native" in latency.note
    text = page_of(results).text
    assert "Under ONNX Runtime it takes" in text
    assert "The episodes were played under ONNX Runtime." in text


def test_one_runtime_needs_no_column(read: Read) -> None:
    assert "runtime" not in cost_table(read().rows)["headings"]


def test_what_was_not_measured_is_said_not_shown_as_zero(read: Read) -> None:
    results = read(with_costs=False)
    assert cost_table(results.rows)["headings"] == []
    text = page_of(results).text
    assert "Latency: not measured." in text
    assert "Energy: not measured." in text


def test_without_returns_the_page_shows_action_errors(read: Read) -> None:
    text = page_of(read(episodes=0)).text
    assert "action error" in text
    assert "Built, not certified." in text
    assert "return kept" not in text
