"""The map of what a search tried."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from synthetic_search import attempt, history, robustness

from policypress.engine.store.reader import StoreReader
from policypress.report.folder import write_folder
from policypress.report.page import render
from policypress.report.results import Results, read_results
from policypress.report.search_figure import search_map


def test_without_a_search_there_is_no_map(read: Callable[..., Results]) -> None:
    assert search_map(read()) is None


def test_the_map_shows_everything_that_was_built_and_why_no_further(make_store: Callable[..., Any]) -> None:
    path, cells = make_store()
    with StoreReader(path) as store:
        results = read_results(store, cells, {}, history(attempt("ptdq", 99.5)))
    drawn = search_map(results)
    assert drawn is not None
    text = json.dumps(drawn.spec)
    assert all(name in text for name in ("ptdq", "equalize > int8", "prune(l2, 0.5)", "a milder one"))
    assert "ptsq" not in text


def test_the_page_shows_search_and_robustness(make_store: Callable[..., Any]) -> None:
    path, cells = make_store()
    with StoreReader(path) as store:
        results = read_results(store, cells, {}, history(attempt("ptdq", 99.5)), robustness("ptdq"))
        page = write_folder(results, store).read_text()
        data = json.loads((store.folder / "results.json").read_text())
        unlike = replace(results.rows[4], returns=())
        escaped = render(replace(results, rows=(*results.rows[:4], unlike)), ())
        sidecar = json.loads((store.folder / "ptdq.onnx.json").read_text())
    assert "How it was found" in page
    assert "1 more that did not race" in page
    assert "a milder one &lt;keeps&gt; too little" in escaped
    assert "actions one step late" in page
    assert "more fragile" in page
    assert data["schema"] == 2
    assert data["winner"] == "ptdq"
    assert [tried["recipe"] for tried in data["search"]["tried"]][:2] == ["ptdq", "equalize > int8"]
    assert len(data["search"]["attempts"][0]["returns"]) == 150
    assert data["robustness"]["conditions"][1]["difference"]["estimate"] == -0.2
    assert sidecar["measured_return"]["count"] == 150
    assert not (path.parent / "prune-l2-0.5.onnx").exists()
    assert (path.parent / "figures" / "search.png").is_file()
