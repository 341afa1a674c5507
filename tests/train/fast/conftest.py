"""Two models of one spec, one with the library's update and one with the fast one, trained side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from policypress.training_package import TrainingRequest
from policypress_runtime.contract import EnvironmentSpec
from policypress_train.hyperparameters.preparing import prepare
from policypress_train.outputs import output_paths
from policypress_train.spec import Update
from policypress_train.trainer import Silent, TrainOptions, _Run

Pair = tuple[OffPolicyAlgorithm, OffPolicyAlgorithm]


@pytest.fixture
def both(tmp_path: Path) -> Callable[..., Pair]:
    """``both("sac", "Pendulum-v1", 120, learning_starts=100)``: the library's model and the fast one."""

    def train(algorithm: str, environment: str, steps: int, **overrides: Any) -> Pair:
        def one(update: Update) -> Any:
            stated = [("net_arch", [32, 32]), *overrides.items()]
            spec = prepare(
                TrainingRequest(
                    algorithm, EnvironmentSpec(environment), steps=steps, seed=3, overrides=stated, update=update
                )
            ).spec
            run = _Run(spec, output_paths(tmp_path / f"{update}.zip"), TrainOptions(evaluate_every=0), Silent())
            run.run()
            run.close()
            return run.model

        return one("stock"), one("fast")

    return train
