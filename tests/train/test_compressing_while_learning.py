"""Trainings with quantization, sparsity, gradual pruning or an agent to start from: they resume exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from policypress.training_package import TrainingRequest
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import TrainingInputError
from policypress_train.algorithms import ALGORITHMS
from policypress_train.hyperparameters.preparing import prepare
from policypress_train.qat.config import QatConfig
from policypress_train.qat.networks import quantized_layers
from policypress_train.spec import TrainingSpec
from policypress_train.trainer import Silent, TrainOptions, train

OFF_POLICY = {"learning_starts": 30, "batch_size": 16, "policy_kwargs.net_arch": [16, 16]}
ON_POLICY = {"n_steps": 32, "n_envs": 2, "batch_size": 32, "policy_kwargs.net_arch": [16, 16]}
CASES: dict[str, tuple[str, int, dict[str, Any]]] = {
    "dqn": ("CartPole-v1", 150, {**OFF_POLICY, "train_freq": 4, "gradient_steps": 2, "target_update_interval": 10}),
    "ddpg": ("Pendulum-v1", 75, OFF_POLICY),
    "td3": ("Pendulum-v1", 75, OFF_POLICY),
    "sac": ("Pendulum-v1", 75, OFF_POLICY),
    "ppo": ("CartPole-v1", 256, {**ON_POLICY, "n_epochs": 2}),
    "trpo": ("CartPole-v1", 256, {**ON_POLICY, "n_critic_updates": 2}),
}
QUICK = TrainOptions(evaluate_every=0, checkpoint_every=40)


def spec_of(name: str, **more: Any) -> TrainingSpec:
    environment, steps, overrides = CASES[name]
    return prepare(
        TrainingRequest(name, EnvironmentSpec(environment), steps=steps, seed=2, overrides=overrides.items(), **more)
    ).spec


def loaded(path: Path, name: str) -> BaseAlgorithm:
    return ALGORITHMS[name].stock.load(path, device="cpu")


class StopsAt(Silent):
    def __init__(self, steps: int) -> None:
        self.steps = steps

    def advanced(self, steps: int) -> None:
        if steps >= self.steps:
            raise KeyboardInterrupt


def assert_goes_on_exactly(spec: TrainingSpec, folder: Path) -> BaseAlgorithm:
    train(spec, folder / "whole.zip", options=QUICK)
    with pytest.raises(KeyboardInterrupt):
        train(spec, folder / "cut.zip", options=QUICK, progress=StopsAt(2 * spec.steps // 3))
    train(spec, folder / "cut.zip", options=QUICK)
    whole, cut = (loaded(folder / f"{name}.zip", spec.algorithm) for name in ("whole", "cut"))
    expected, got = whole.policy.state_dict(), cut.policy.state_dict()
    assert expected.keys() == got.keys()
    assert [name for name in expected if not torch.equal(expected[name], got[name])] == []
    return cut


# All networks are quantized alike; of an actor alone one algorithm off policy and one on it are enough here.
ACTORS = [pytest.param(name, "actor", marks=() if name in ("dqn", "ppo") else pytest.mark.slow) for name in CASES]


@pytest.mark.parametrize(("name", "networks"), [*((name, "all") for name in CASES), *ACTORS])
def test_quantization_aware_training_goes_on_exactly(name: str, networks: Any, tmp_path: Path) -> None:
    model = assert_goes_on_exactly(spec_of(name, qat=QatConfig(networks=networks)), tmp_path)
    layers = quantized_layers(model.policy)
    assert layers
    assert all(float(layer.running_min) < float(layer.running_max) for layer in layers.values())


@pytest.mark.parametrize("name", ["dqn", "sac", "trpo"])
def test_so_does_a_sparse_one_that_is_pruned_gradually(name: str, tmp_path: Path) -> None:
    spec = spec_of(name, sparse=[("alpha", 4)], prune=0.6)
    model = assert_goes_on_exactly(spec, tmp_path)
    from policypress_train.acting import ActingNetwork

    weights = [layer.weight for _, layer in ActingNetwork(model.policy).weighted()]
    share = sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)
    assert share == pytest.approx(0.6, abs=0.15)


@pytest.mark.parametrize("name", ["td3", "ppo"])
def test_quantization_aware_fine_tuning_goes_on_exactly(name: str, tmp_path: Path) -> None:
    train(spec_of(name), tmp_path / "teacher.zip", options=QUICK)
    spec = spec_of(name, qat=QatConfig(), start_from=tmp_path / "teacher.zip")
    model = assert_goes_on_exactly(spec, tmp_path)
    assert quantized_layers(model.policy)


def test_what_was_asked_is_in_the_spec_its_hash_and_the_record(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"one")
    (tmp_path / "b.zip").write_bytes(b"one")
    (tmp_path / "c.zip").write_bytes(b"two")
    plain = spec_of("td3")
    from_a, from_b, from_c = (spec_of("td3", start_from=tmp_path / f"{name}.zip") for name in "abc")
    assert from_a.hash == from_b.hash
    asked: list[dict[str, Any]] = [{"sparse": []}, {"prune": 0.5}, {"qat": QatConfig()}]
    forms = [plain, from_a, from_c, *(spec_of("td3", **more) for more in asked)]
    assert len({spec.hash for spec in forms}) == len(forms)
    for spec in forms:
        assert TrainingSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@pytest.mark.parametrize("wrong", [[("beta", 1.0)], [("alpha", -1)], [("alpha", "four")], [("strength", True)]])
def test_settings_of_sparsity_that_cannot_be_are_refused(wrong: Any) -> None:
    with pytest.raises(TrainingInputError, match="alpha or strength"):
        spec_of("td3", sparse=wrong)


def test_a_share_that_cannot_be_pruned_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingInputError, match="cannot be pruned"):
        train(spec_of("td3", prune=1.5), tmp_path / "agent.zip", options=QUICK)
