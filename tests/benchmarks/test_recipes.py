"""The benchmark of recipes: its table, whole, continued, and of chosen recipes."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from policypress.compression.recipe import Recipe
from policypress.engine.store.reader import StoreReader

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark() -> dict[str, Any]:
    return runpy.run_path(str(BENCHMARKS / "recipes.py"))


def test_every_recipe_of_the_list_parses(benchmark: dict[str, Any]) -> None:
    listed = [Recipe.parse(text).text for text in benchmark["RECIPES"]]
    assert listed == list(benchmark["RECIPES"])
    assert len(set(listed)) == len(listed)


def test_a_table_that_can_be_continued(
    benchmark: dict[str, Any], own_agents: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = str(own_agents / "dqn-CartPole-v1.zip")
    call = [agent, "--output", str(tmp_path), "--episodes", "2", "--jobs", "1", "--recipe", "equalize > int8"]
    benchmark["main"](call)
    table = capsys.readouterr().out.splitlines()
    assert [line.split("|")[2].strip() for line in table[2:]] == ["`none`", "`equalize > int8`"]
    assert "1.0 ×" in table[2]
    assert "100.0 %" in table[2]
    with StoreReader(tmp_path / "dqn-CartPole-v1" / "study.db") as store:
        before = {row.key: row.updated_at for row in store.cells("done")}
    benchmark["main"]([*call, "--recipe", "prune(l2, 0.3)", "--form", "matrix"])
    matrix = capsys.readouterr().out.splitlines()
    assert matrix[0] == "| recipe | dqn-CartPole-v1 |"
    assert [line.split("|")[1].strip() for line in matrix[2:]] == ["`none`", "`equalize > int8`", "`prune(l2, 0.3)`"]
    with StoreReader(tmp_path / "dqn-CartPole-v1" / "study.db") as store:
        after = {row.key: row.updated_at for row in store.cells("done")}
    assert before.items() <= after.items()
    assert len(after) == len(before) + 1


def test_a_recipe_that_fails_says_so(benchmark: dict[str, Any]) -> None:
    row = benchmark["Row"]("agent", "equalize > int8", failure="NetworkError")
    assert list(benchmark["as_rows"]([row]))[-1] == "| agent | `equalize > int8` | NetworkError | | | | | |"
    assert list(benchmark["as_matrix"]([row]))[-1] == "| `equalize > int8` | NetworkError |"
