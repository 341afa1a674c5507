"""The table of calibration sizes: a line of the repository's CartPole agent, and what a cell says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from policypress.compression.recipe import Recipe
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress_runtime.errors import StudyInputError

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "calibration_size.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("calibration_size", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_cell_counts_what_failed(script: ModuleType) -> None:
    base = np.array([100.0, 102.0, 98.0])
    assert script.ratio(base, base).startswith("100.0 ± ")
    assert script.ratio(np.array([100.0, 100.0, 10.0]), base).endswith("1 failed")
    assert "failed" not in script.ratio(-base, -base)


def test_an_agent_has_a_cell_for_each_number_and_seed(
    script: ModuleType, own_agents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "COUNTS", (64, 96))
    cells = list(script.line(str(own_agents / "dqn-CartPole-v1.zip"), Recipe.parse("prune(activation, 0.02)"), 2))
    assert len(cells) == 5
    assert all("±" in cell for cell in cells[1:])


def test_lowering_is_refused(script: ModuleType, own_agents: Path) -> None:
    subject = agent_in_environment(str(own_agents / "dqn-CartPole-v1.zip"))
    with pytest.raises(StudyInputError, match="before lowering"):
        script.pressed(subject, Recipe.parse("ptdq"), 32, 0)
