"""A policy-only zip acts as the whole one, and holds nothing that would be executed."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from policypress.agents.loading import load_agent
from policypress.policy.importers.from_agent import policy_from_agent
from policypress.training_package import TrainingRequest
from policypress_runtime.contract import EnvironmentSpec
from policypress_train.algorithms import ALGORITHMS
from policypress_train.hyperparameters.preparing import prepare
from policypress_train.model import build_model
from policypress_train.outputs import saved_zip
from policypress_train.sparse.strip import strip
from policypress_train.vector_envs.making import learning_environments

ENVIRONMENTS = {"dqn": "CartPole-v1", "ppo": "CartPole-v1", "trpo": "Pendulum-v1"}


def zip_of(name: str) -> bytes:
    spec = prepare(
        TrainingRequest(
            name,
            EnvironmentSpec(ENVIRONMENTS.get(name, "Pendulum-v1")),
            overrides=[("buffer_size", 10)] if ALGORITHMS[name].off_policy else [],
        )
    ).spec
    model: BaseAlgorithm = build_model(spec, learning_environments(spec))
    return saved_zip(model, spec)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_policy_is_the_same(name: str, tmp_path: Path) -> None:
    full = zip_of(name)
    small = strip(full, ALGORITHMS[name])
    (tmp_path / "full.zip").write_bytes(full)
    (tmp_path / "small.zip").write_bytes(small)
    assert len(small) < len(full) / 2
    policies = [policy_from_agent(load_agent(tmp_path / file)) for file in ("full.zip", "small.zip")]
    width = policies[0].inputs[""].shape[0]
    observations = torch.randn(50, width, generator=torch.Generator().manual_seed(0))
    assert torch.equal(policies[0](observations), policies[1](observations))
    environment = load_agent(tmp_path / "small.zip").environment
    assert environment is not None
    assert environment.id == ENVIRONMENTS.get(name, "Pendulum-v1")


@pytest.mark.parametrize("name", ["sac", "ppo"])
def test_nothing_pickled_is_left_and_the_bytes_are_stable(name: str) -> None:
    full = zip_of(name)
    small = strip(full, ALGORITHMS[name])
    assert small == strip(full, ALGORITHMS[name])
    with zipfile.ZipFile(io.BytesIO(small)) as archive:
        assert sorted(archive.namelist()) == ["_stable_baselines3_version", "data", "policy.pth"]
        text = archive.read("data").decode()
    assert ":serialized:" not in text
    assert " at 0x" not in text
    assert json.loads(text)["seed"] == 0
