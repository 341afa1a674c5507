"""The output folder: files for people, copies that know their return, and a store that stays as it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from policypress.engine.store.reader import StoreReader
from policypress.report.folder import write_folder
from policypress.report.results import read_results
from policypress_runtime.contract import Contract
from policypress_runtime.errors import StoreError

MakeStore = Callable[..., tuple[Path, dict[str, str]]]


def write(path: Path, cells: dict[str, str]) -> Path:
    with StoreReader(path) as store:
        return write_folder(read_results(store, cells, {}), store)


def test_everything_is_there_and_the_store_is_untouched(make_store: MakeStore) -> None:
    path, cells = make_store()
    folder = path.parent
    before = {p: p.read_bytes() for p in folder.rglob("artifacts/**/*") if p.is_file()}
    assert write(path, cells) == folder / "report.html"
    assert {p: p.read_bytes() for p in folder.rglob("artifacts/**/*") if p.is_file()} == before
    results = json.loads((folder / "results.json").read_text())
    for entry in [results["baseline"], *results["variants"][:3]]:
        model = (folder / entry["artifact"]).read_bytes()
        sidecar = json.loads((folder / (entry["artifact"] + ".json")).read_text())
        assert sidecar["sha256"] == hashlib.sha256(model).hexdigest()
        contract = Contract.from_json(sidecar)
        assert contract.measured_return is not None
        assert contract.measured_return.mean == pytest.approx(sum(entry["returns"]) / len(entry["returns"]))
        assert contract.measured_return.count == 12
    assert results["variants"][3]["artifact"] is None
    assert results["variants"][1]["artifact"] == "equalize-int8.onnx"
    stems = {"return-against-size", "return-against-latency", "returns", "latency", "memory", "energy"}
    assert {p.name for p in (folder / "figures").iterdir()} == {f"{s}.{e}" for s in stems for e in ("svg", "png")}
    assert not list(folder.rglob("*.partial"))


def test_a_second_time_gives_the_same_bytes(make_store: MakeStore) -> None:
    path, cells = make_store(recipes=("none", "ptdq"))
    folder = path.parent
    write(path, cells)
    first = {p: p.read_bytes() for p in folder.rglob("*") if p.suffix in (".json", ".html", ".svg", ".onnx")}
    write(path, cells)
    assert {p: p.read_bytes() for p in first} == first


def test_figures_that_there_is_no_data_for_any_more_go(make_store: MakeStore) -> None:
    path, cells = make_store(with_costs=False, recipes=("none", "ptdq"))
    old = path.parent / "figures" / "energy.png"
    old.parent.mkdir()
    old.write_bytes(b"old")
    (old.parent / "own.png").write_bytes(b"the user's")
    write(path, cells)
    assert not old.exists()
    assert (old.parent / "own.png").exists()


def test_an_artifact_that_changed_is_not_presented(make_store: MakeStore) -> None:
    path, cells = make_store(recipes=("none", "ptdq"))
    next(path.parent.rglob("ptdq.onnx")).write_bytes(b"something else")
    with pytest.raises(StoreError, match="changed"):
        write(path, cells)
    assert not (path.parent / "results.json").exists()
