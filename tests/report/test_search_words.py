"""A search in sentences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from synthetic_search import attempt, history, robustness

from policypress.report import search_words, words
from policypress.report.results import Results


def test_a_certified_winner_is_said_with_its_numbers(read: Callable[..., Results]) -> None:
    results = replace(read(), search=history(attempt("ptdq", 99.5)))
    assert words.headline(results) == "4.0× smaller, certified to keep 95 %"
    lead = " ".join(words.lead(results))
    assert "“ptdq” takes 1.0 kB instead of 4.0 kB" in lead
    assert "150 held-out pairs of episodes with no crash" in lead
    assert "built 3 recipes, 1 could not be built, raced 2" in lead
    closing = search_words.closing(results)
    assert closing[1].startswith("winner: ptdq, 4.0× smaller")
    assert "confidence 0.95" in closing[2]
    assert "With confidence 0.975 the mean return is at least 0.95" in " ".join(words.caution(results))
    assert "It is assumed that" in " ".join(words.caution(results))


def test_without_a_winner_it_says_what_qualifies(read: Callable[..., Results]) -> None:
    results = replace(read(), search=history(attempt("ptdq", 80.0)))
    assert results.winner is None
    assert words.headline(results) == "nothing smaller is certified to keep 95 %"
    assert search_words.closing(results)[-1].startswith("A summary.")
    assert "chosen by" in words.caution(results)[0]


def test_other_endings(read: Callable[..., Results]) -> None:
    results = read()
    assert words.headline(replace(results, search=history(ending="refused"))) == "nothing can be certified"
    interrupted = replace(results, search=history(ending="interrupted"))
    assert words.headline(interrupted) == "not complete yet"
    assert not interrupted.complete
    assert search_words.closing(interrupted)[-1] == "A summary."


def test_verdicts_of_rows_follow_the_search(make_store: Callable[..., Any]) -> None:
    from policypress.engine.store.reader import StoreReader
    from policypress.report.results import read_results

    path, cells = make_store()
    with StoreReader(path) as store:
        results = read_results(store, cells, {}, history(attempt("ptdq", 99.5)))
    verdicts = {row.name: words.verdict(row).text for row in results.rows}
    assert verdicts["ptdq"] == "certified"
    assert verdicts["prune(l2, 0.5)"] == "not raced"
    assert verdicts["ptsq"] == "failed"
    assert [row.name for row in results.rows] == ["random", "none", "ptdq", "equalize > int8", "prune(l2, 0.5)", "ptsq"]
    assert results.winner is not None
    assert results.deployed_mean(results.winner).count == 150  # type: ignore[union-attr]
    assert [row.file for row in results.rows if row.file] == ["none.onnx", "ptdq.onnx"]


def test_disturbances_in_words() -> None:
    rows = robustness("ptdq").rows
    assert search_words.disturbed_verdict(rows[0]) == ("reference", "no difference seen")
    assert search_words.disturbed_verdict(rows[1]) == ("loses", "more fragile")
    assert search_words.disturbed_verdict(rows[2])[1] == "cannot be told"
    assert "one step late: ptdq 90.0 %, fp32 90.0 %" in search_words.disturbed_in_words(rows[0])
    assert "needs a MuJoCo model" in search_words.disturbed_in_words(rows[2])
