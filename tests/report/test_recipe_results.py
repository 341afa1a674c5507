"""Rows from a store: every number is that of the cell it stands for."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from policypress import compress
from policypress.engine.store.reader import StoreReader
from policypress.measurement.statistics import Interval, Missing
from policypress.records import ArtifactRecord
from policypress.report.recipe_results import BASELINE, RANDOM, RecipeResult, file_names, read_rows
from policypress.report.table import comparison, reasons


@pytest.fixture(scope="module")
def rows(own_agents: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RecipeResult, ...]:
    """Three cells of the repository's CartPole agent."""
    folder = tmp_path_factory.mktemp("rows")
    done = compress(own_agents / "dqn-CartPole-v1.zip", ["prune(l2, 0.1)"], output=folder, episodes=4, executor="debug")
    with StoreReader(done.store) as store:
        return read_rows(store, done.cells)


def test_rows_come_in_order_with_their_returns(rows: tuple[RecipeResult, ...]) -> None:
    assert [row.name for row in rows] == [RANDOM, BASELINE, "prune(l2, 0.1)"]
    assert rows[1].returns == (500.0,) * 4
    assert all(row.status == "done" and row.failure is None for row in rows)
    assert isinstance(rows[2].ratio, Interval)
    assert rows[2].ratio.estimate == pytest.approx(sum(rows[2].returns) / 2000)
    assert isinstance(rows[0].retention, Missing)


def test_json_names_what_is_undefined_and_why(rows: tuple[RecipeResult, ...]) -> None:
    data = rows[0].to_json()
    assert data["retention"] is None
    assert "reference" in data["retention_reason"]
    assert rows[2].to_json()["packed_bytes"] < rows[1].to_json()["packed_bytes"]


def test_the_table_fits_a_narrow_terminal(rows: tuple[RecipeResult, ...]) -> None:
    wide = [column.header for column in comparison(rows, 160).columns]
    narrow = [column.header for column in comparison(rows, 80).columns]
    assert "action error" in wide
    assert "action error" not in narrow
    assert narrow[-1] == "retention"


def test_a_dash_comes_with_its_reason_once(rows: tuple[RecipeResult, ...]) -> None:
    assert reasons(rows) == ()
    blind = replace(rows[2], retention=Missing("the baseline has learned nothing"))
    told = reasons((*rows[:2], blind, blind))
    assert told == ("no “retention”: the baseline has learned nothing",)


def record(path: str, hashed: str = "0123456789abcdef") -> ArtifactRecord:
    return ArtifactRecord("r", hashed, path, "0" * 64, 2, 1, 1, 1, 0.0, 0.0, 0.0, 0.0, 1.0)


def test_artifacts_are_called_as_they_were_built() -> None:
    built = record("artifacts/0123/prune-l2-0.1.onnx")
    assert file_names({"a": built, "b": None, "c": built}) == {
        "a": "prune-l2-0.1.onnx",
        "c": "prune-l2-0.1-01234567.onnx",
    }


@pytest.mark.parametrize(
    "path", ["x/study.db", "x/..", "x/json.py", "javascript:alert(1).onnx", "a/-rf.onnx", "\x1b.onnx"]
)
def test_a_foreign_store_names_no_other_file(path: str) -> None:
    names = file_names({"a": record(path), "b": record(path, "../../ev"), "c": record(f"{path}/b.onnx", "../../ev")})
    assert len(set(names.values())) == 3
    for name in names.values():
        assert name == "artifact.onnx" or re.fullmatch(r"artifact-[0-9a-f]{8}\.onnx", name), name
