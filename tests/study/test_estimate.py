"""What a study will take: by the rates it has measured, of the update that will run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from small_study import small_study

from policypress.engine.store.reader import StoreReader
from policypress.study.estimate import LEARNING_STEPS_PER_S, NATIVE_STEPS_PER_S, estimate
from policypress.study.whole_study import Study


class _Measured(StoreReader):
    """A store whose trainings are given."""

    def __init__(self, *records: Mapping[str, Any]) -> None:
        self._records = records

    def trainings(self) -> dict[str, Mapping[str, Any]]:
        return {str(number): record for number, record in enumerate(self._records)}

    def mean_episode_s(self) -> dict[str, float]:
        return {}

    def mean_build_s(self) -> dict[str, float]:
        return {}


def _record(algorithm: str, environment: str, update: str, steps_per_s: float) -> dict[str, Any]:
    spec = {"algorithm": algorithm, "environment": {"id": environment}, "update": update, "episodes": None}
    return {"spec": spec, "steps": 1000, "wall_s": 1000 / steps_per_s}


def _training_s(study: Study, *records: Mapping[str, Any]) -> float:
    return estimate(study.plan, study.plan.cells, _Measured(*records)).training_s


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return small_study(tmp_path)


def _steps(study: Study) -> int:
    return sum(int((agent.training or {"steps": 0})["steps"]) for agent in study.plan.agents.values())


def test_without_measurements_a_native_training_is_thought_faster(study: Study) -> None:
    assert _training_s(study) == pytest.approx(_steps(study) / NATIVE_STEPS_PER_S["ppo"])
    assert all(NATIVE_STEPS_PER_S[name] > LEARNING_STEPS_PER_S[name] for name in LEARNING_STEPS_PER_S)


def test_the_same_environment_and_update_count_first(study: Study) -> None:
    near, far = _record("ppo", "CartPole-v1", "auto", 50.0), _record("ppo", "Hopper-v4", "auto", 10.0)
    assert _training_s(study, near, far) == pytest.approx(_steps(study) / 50.0)
    assert _training_s(study, far) == pytest.approx(_steps(study) / 10.0)


@pytest.mark.parametrize("other", [("ppo", "CartPole-v1", "fast"), ("sac", "CartPole-v1", "auto")])
def test_another_update_or_algorithm_says_nothing(study: Study, other: tuple[str, str, str]) -> None:
    assert _training_s(study, _record(*other, 1.0)) == pytest.approx(_training_s(study))
