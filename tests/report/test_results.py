"""``results.json``: its schema as documented, the winner by its rule, and valid JSON whatever happened."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic_results import MACHINE, RECIPES
from synthetic_search import attempt, history, robustness

from policypress.engine.store.reader import StoreReader
from policypress.report.folder import write_folder
from policypress.report.results import KEEP, Results, read_results
from policypress_runtime.errors import StoreError

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "results.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
Read = Callable[..., Results]
MakeStore = Callable[..., tuple[Path, dict[str, str]]]


def test_the_winner_is_the_smallest_whose_lower_bound_reaches_the_share(read: Read) -> None:
    results = read()
    bounds = {row.name: row.retention.lower for row in results.variants if hasattr(row.retention, "lower")}
    # ptdq is smaller, but its interval reaches below; pruning is smaller still, and loses.
    assert bounds["ptdq"] < KEEP < bounds["equalize > int8"]
    assert results.winner is not None
    assert results.winner.name == "equalize > int8"


def test_no_winner_where_none_is_sure_or_none_is_smaller(read: Read) -> None:
    assert read(recipes=("none", "ptdq", "prune(l2, 0.5)")).winner is None


def test_no_winner_without_returns(read: Read) -> None:
    results = read(episodes=0)
    assert results.winner is None
    assert results.to_json()["baseline"]["returns"] == []
    assert results.to_json()["random"] is None


def test_the_schema_that_scripts_rely_on(read: Read) -> None:
    data = json.loads(read().to_text())
    assert data["schema"] == 2
    assert data["machine"] == MACHINE
    assert data["protocol"]["seeds"] == sorted(set(data["protocol"]["seeds"]))
    assert data["winner"] == "equalize > int8"
    assert [variant["recipe"] for variant in data["variants"]] == [name for name in RECIPES if name != "none"]
    variant = data["variants"][1]
    assert variant["packed_bytes"] == 1100
    assert variant["retention"]["lower"] <= variant["retention"]["estimate"] <= variant["retention"]["upper"]
    assert variant["return_ratio"] == pytest.approx(1.0, abs=0.05)
    assert variant["latency_s"]["runtime"] == "onnxruntime"
    assert variant["latency_s"]["p50"] < variant["latency_s"]["p95"] < variant["latency_s"]["p99"]
    assert variant["energy_j"]["source"] == "modelled"
    assert len(variant["returns"]) == 12


def test_a_recipe_that_failed_has_every_field_and_its_reason(read: Read) -> None:
    data = read().to_json()
    failed, done = data["variants"][3], data["variants"][1]
    assert failed["status"] == "failed"
    assert "would not do" in failed["error"]
    assert {key for key in done if not key.endswith("_reason")} - set(failed) <= {"bare_python_bytes"}
    assert failed["packed_bytes"] is None
    assert failed["retention"] is None
    assert failed["retention_reason"]


def test_without_costs_the_machine_is_the_one_of_the_report(read: Read) -> None:
    results = read(with_costs=False)
    assert results.machine == {"cpu": "the machine of the report"}
    assert results.to_json()["variants"][0]["latency_s"] is None


def test_a_ratio_that_would_mislead_is_null_with_its_reason(read: Read) -> None:
    data = read(means={"random": -300.0, "none": -100.0, "ptdq": -110.0}, recipes=("none", "ptdq")).to_json()
    variant = data["variants"][0]
    assert variant["return_ratio"] is None
    assert "mislead" in variant["return_ratio_reason"]
    assert variant["retention"]["estimate"] == pytest.approx(0.95, abs=0.02)


def test_a_store_without_the_baseline_is_refused(make_store: MakeStore) -> None:
    path, cells = make_store()
    with StoreReader(path) as store, pytest.raises(StoreError, match="baseline"):
        read_results(store, {"random": cells["random"]}, {})


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_documented_examples_run(
    example: str, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, cells = make_store()
    with StoreReader(path) as store:
        write_folder(read_results(store, cells, {}), store)
    monkeypatch.chdir(path.parent)
    exec(example, {})
    assert "equalize > int8" in capsys.readouterr().out


def test_every_field_is_documented(read: Read) -> None:
    named = set(re.findall(r"`([a-z_0-9.]+)`", DOCUMENT))
    data = read().to_json()
    fields = {*data, *data["baseline"], *data["variants"][3], *data["agent"], *data["protocol"]}
    searched = history(attempt("ptdq", 99.5)).to_json()
    first, disturbed = searched["attempts"][0], robustness("ptdq").to_json()
    fields |= {*searched, *searched["tried"][0], *first, *first["certificate"], *disturbed, *disturbed["conditions"][0]}
    assert sorted(field for field in fields if field not in named) == []
