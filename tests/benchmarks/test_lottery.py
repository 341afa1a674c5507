"""The table of the lottery-ticket experiments, and what is committed of them."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DATA = Path(__file__).resolve().parents[2] / "benchmarks" / "data" / "lottery"


@pytest.fixture
def lottery(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DATA.parents[1]))
    module = importlib.import_module("lottery")
    # What is printed in the documents takes a minute.
    monkeypatch.setattr(module, "RESAMPLES", 100)
    return module


def unit(kind: str, seed: int, round_: int, level: float) -> dict[str, Any]:
    return {"kind": kind, "seed": seed, "round": round_, "sparsity": 0.5 * round_, "returns": [level - 1, level + 1]}


def test_differences_are_within_seeds(lottery: ModuleType) -> None:
    units = [unit("dense", seed, 0, 500.0) for seed in range(4)]
    for seed in range(4):
        units += [unit("ticket", seed, 1, 100.0 * seed + 30), unit("random", seed, 1, 100.0 * seed)]
    found = {"units": units}
    # Seeds lie far apart, tickets and random tickets of each do not.
    assert lottery.difference(found, {1}) == "+30.0 (+30.0 … +30.0)"
    assert lottery.difference(found, {2}) == "–"
    lines = lottery.table(found).splitlines()
    assert lines[2].startswith("| 0.0% | 500.0 (")
    assert lines[3].endswith("| +30.0 (+30.0 … +30.0) |")
    assert lines[4] == "| all | | | +30.0 (+30.0 … +30.0) |"


def test_two_seeds_have_no_interval(lottery: ModuleType) -> None:
    units = [unit(kind, seed, 1, 1.0) for seed in range(2) for kind in ("ticket", "random")]
    assert lottery.difference({"units": units}, {1}) == "–"


@pytest.mark.parametrize("path", sorted(DATA.glob("*.json")), ids=lambda path: path.stem)
def test_what_is_committed_is_whole(path: Path, lottery: ModuleType) -> None:
    found = json.loads(path.read_text())
    plan = found["plan"]
    assert f"{plan['algorithm']}-{plan['environment']}" == path.stem
    assert len(plan["seeds"]) >= 5
    assert len(found["units"]) == len(plan["seeds"]) * (1 + 2 * plan["rounds"])
    assert {len(one["returns"]) for one in found["units"]} == {plan["episodes"]}
    assert len(lottery.table(found).splitlines()) == 4 + plan["rounds"]
