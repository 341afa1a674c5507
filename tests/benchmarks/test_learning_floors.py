"""The floors of learning: what is done first, what is kept of a training, and what the table says."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from policypress_train.record import Episodes

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "learning_floors.py"


@pytest.fixture(scope="module")
def floors() -> ModuleType:
    spec = importlib.util.spec_from_file_location("learning_floors", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def record(algorithm: str, qat: bool, seed: int, mean: float) -> dict[str, Any]:
    environment = "Pendulum-v1" if algorithm in ("td3", "ddpg", "sac") else "CartPole-v1"
    returns = [mean - 10, mean + 10]
    return {"algorithm": algorithm, "environment": environment, "qat": qat, "seed": seed, "returns": returns}


def test_every_algorithm_in_both_forms_and_long_trainings_last(floors: ModuleType) -> None:
    units = list(floors.units(3))
    assert len({unit.name for unit in units}) == len(units) == 36 + 6
    assert {(unit.algorithm, unit.qat) for unit in units} == {
        (name, qat) for name in ("dqn", "ddpg", "td3", "sac", "ppo", "trpo") for qat in (False, True)
    }
    assert [unit.seed for unit in units[:36]] == [0] * 12 + [1] * 12 + [2] * 12
    assert {unit.environment for unit in units[36:]} == {"HalfCheetah-v4"}


def test_a_curve_has_the_mean_of_what_ended_in_each_hundredth(floors: ModuleType) -> None:
    episodes = Episodes()
    for step, value in ((5, 1.0), (10, 3.0), (11, 7.0), (1000, 9.0)):
        episodes.add(step, value, 5, 0.1, 0.1, 0.1)
    assert floors.curve(episodes, 1000) == [[10, 2.0], [20, 7.0], [1000, 9.0]]


def test_a_floor_is_for_the_mean_of_three_seeds(floors: ModuleType) -> None:
    found = [record("ppo", False, seed, mean) for seed, mean in enumerate((500.0, 450.0, 480.0))]
    found += [record("td3", False, seed, -201.0) for seed in range(3)]
    found += [record("sac", True, 0, -101.0)]
    rows = floors.table(found).splitlines()[2:]
    assert rows == [
        "| ppo | CartPole-v1 | fp32 | ≥ 475 | 476.7 | 500, 450, 480 | reached |",
        "| td3 | Pendulum-v1 | fp32 | ≥ -200 | -201.0 | -201, -201, -201 | missed |",
        "| sac | Pendulum-v1 | QAT, int8 | ≥ -200 | – | -101 | 1 of 3 seeds |",
    ]


def test_what_is_committed_are_units_of_the_plan(floors: ModuleType) -> None:
    names = {f"{unit.name}.json" for unit in floors.units(3)}
    for path in floors.RECORDS.glob("*"):
        assert path.name in names
        stored = json.loads(path.read_text())
        assert len(stored["returns"]) == floors.EPISODES, path
        assert path.stat().st_size < 10_000, path


@pytest.mark.slow
def test_a_unit_from_training_to_the_integers_that_act(
    floors: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = floors.Floor("ppo", "CartPole-v1", 475, 512)
    monkeypatch.setattr(floors, "FLOORS", (short,))
    monkeypatch.setattr(floors, "EPISODES", 5)
    found = floors.do(floors.Unit("ppo", "CartPole-v1", True, 0), tmp_path, "native")
    assert found["update"] == "native"
    assert found["kernels"]
    assert found["recipe"] == "qat"
    assert len(found["returns"]) == 5
    assert found["steps"] >= 512
    assert found["learning"]
