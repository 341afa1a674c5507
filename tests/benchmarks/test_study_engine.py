"""The engine's benchmark: shares and ratios are of the numbers given, and goals that are missed are named."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "study_engine.py"


@pytest.fixture(scope="module")
def engine() -> ModuleType:
    spec = importlib.util.spec_from_file_location("study_engine", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look for their module.
    sys.modules["study_engine"] = module
    spec.loader.exec_module(module)
    return module


def test_overhead_is_what_is_not_the_cells_own(engine: ModuleType) -> None:
    here = engine.Spent(wall_s=10.4, cpu_s=10.2, tasks_wall_s=10.0, tasks_cpu_s=10.0)
    local = engine.Spent(wall_s=11.0, cpu_s=10.1, tasks_wall_s=11.0, tasks_cpu_s=10.0)
    lines = engine.overhead_table(here, local)
    assert [line.split("|")[-2].strip() for line in lines[2:]] == ["4.00%", "2.00%", "1.00%"]
    times = [(4.0, 2.0), (3.6, 2.0), (4.0, 4.0)]
    assert "**1.80**" in engine.speed_up_table(times)[-1]
    assert engine.missed(here, local, times) == []
    slow = engine.Spent(wall_s=10.6, cpu_s=10.2, tasks_wall_s=10.0, tasks_cpu_s=10.0)
    assert engine.missed(slow, local, [(3.0, 2.0)]) == ["overhead 6.0% > 5%", "speed-up 1.50 < 1.7"]


def test_cells_pass_through_the_engine_and_their_artifacts_are_played_again(
    engine: ModuleType, own_agents: Path
) -> None:
    agent = engine.agent_of(str(own_agents / "dqn-CartPole-v1.zip"))
    worker, cells = engine.TaskFactory(agent), engine.cells_of(agent, 1)[:2]
    spent, artifacts = engine.in_one_process(worker, cells)
    assert 0 < spent.tasks_wall_s < spent.wall_s
    assert set(artifacts) == {cell.key for cell in cells}
    built = engine.Built(worker, artifacts)
    assert engine.played(built, cells, engine.DebugExecutor()) > 0
    assert built.build(cells[0]).function(artifacts[cells[0].key]) == artifacts[cells[0].key]
