"""The table of searches: read from finished results only, certified or not."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "searches.py"


@pytest.fixture(scope="module")
def searches() -> ModuleType:
    spec = importlib.util.spec_from_file_location("searches", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def results(verdict: str, *, complete: bool = True) -> dict[str, Any]:
    certificate = {"verdict": verdict, "retention": 0.981, "lower": 0.9612, "episodes": 120, "crashes": 1}
    return {
        "complete": complete,
        "baseline": {"packed_bytes": 20000},
        "variants": [{"recipe": "int8", "packed_bytes": 500}],
        "search": {
            "elapsed_s": 90.0,
            "summary": "nothing smaller was certified",
            "winner": "int8" if verdict == "certified" else None,
            "attempts": [{"recipe": "int8", "certificate": certificate}],
        },
    }


def test_a_certified_winner_has_its_proof_in_the_line(searches: ModuleType) -> None:
    line = searches.line("cart", results("certified"))
    assert line == "| cart | 20.0 kB | `int8` | 0.50 kB | 40 × | 98.1 %, 96.1 % | 120 | 1 | 1.5 min |"


def test_nothing_certified_is_said_and_keeps_the_columns(searches: ModuleType) -> None:
    line = searches.line("cart", results("undecided"))
    assert "nothing smaller was certified" in line
    assert line.count("|") == searches.HEADER[0].count("|")


@pytest.mark.parametrize("state", ["absent", "unfinished", "without search"])
def test_what_is_not_finished_is_not_read(searches: ModuleType, tmp_path: Path, state: str) -> None:
    found = results("certified", complete=state != "unfinished")
    if state == "without search":
        found["search"] = None
    if state != "absent":
        (tmp_path / "results.json").write_text(json.dumps(found))
    assert searches.finished(tmp_path) is None


@pytest.mark.parametrize(("agent", "name"), [("a/b-v1.zip", "b-v1"), ("a/ppo-Hopper-v3", "ppo-Hopper-v3")])
def test_names(searches: ModuleType, agent: str, name: str) -> None:
    assert searches.name_of(agent) == name
