"""A spec's JSON and hash."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from policypress_runtime.contract import EnvironmentSpec, WrapperSpec
from policypress_train.qat.config import QatConfig
from policypress_train.spec import TrainingSpec

SPEC = TrainingSpec(
    "sac",
    EnvironmentSpec("Hopper-v4", (("a", 1),), (WrapperSpec("TimeFeatureWrapper"),)),
    1000,
    3,
    "cpu",
    {"gamma": 0.9},
)


@pytest.mark.parametrize(
    "spec", [SPEC, replace(SPEC, qat=QatConfig(weight_bits=4), update="stock"), replace(SPEC, episodes=7)]
)
def test_json_and_back(spec: TrainingSpec) -> None:
    assert TrainingSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@pytest.mark.parametrize(
    "other",
    [
        replace(SPEC, algorithm="td3"),
        replace(SPEC, environment=EnvironmentSpec("Hopper-v5")),
        replace(SPEC, steps=1001),
        replace(SPEC, seed=4),
        replace(SPEC, hyperparameters={"gamma": 0.8}),
        replace(SPEC, qat=QatConfig()),
        replace(SPEC, episodes=7),
    ],
)
def test_what_changes_the_agent_changes_the_hash(other: TrainingSpec) -> None:
    assert other.hash != SPEC.hash


@pytest.mark.parametrize("other", [replace(SPEC, device="cuda"), replace(SPEC, update="stock")])
def test_how_it_is_computed_does_not(other: TrainingSpec) -> None:
    assert other.hash == SPEC.hash


def test_the_hash_is_golden() -> None:
    """Stored trainings are found by it: it must not move."""
    assert TrainingSpec("dqn", EnvironmentSpec("CartPole-v1"), 100).hash == "a0a5be578bc51ffd"
