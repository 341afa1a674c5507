"""Quantized networks in the fast update: what is told to have changed is all that has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from policypress.training_package import TrainingRequest
from policypress_runtime.contract import EnvironmentSpec
from policypress_train.hyperparameters.preparing import prepare
from policypress_train.outputs import output_paths
from policypress_train.qat.config import QatConfig
from policypress_train.qat.layers import FakeQuantized
from policypress_train.trainer import Silent, TrainOptions, _Run

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "dqn": ("CartPole-v1", {"train_freq": 4, "gradient_steps": 2, "target_update_interval": 6, "tau": 0.5}),
    "td3": ("Pendulum-v1", {}),
    "sac": ("Pendulum-v1", {}),
    "ppo": ("CartPole-v1", {"n_steps": 16, "n_envs": 2, "batch_size": 8, "n_epochs": 2}),
}


def parameters(name: str, folder: Path, prune: float | None) -> dict[str, torch.Tensor]:
    """What a short training with quantized networks learns, evaluated in between."""
    environment, stated = CASES[name]
    overrides = [("net_arch", [16, 16]), *stated.items()]
    steps = 48
    if name != "ppo":
        overrides += [("learning_starts", 24), ("batch_size", 16)]
    qat = QatConfig(networks="all")
    spec = prepare(
        TrainingRequest(
            name, EnvironmentSpec(environment), steps=steps, seed=1, overrides=overrides, qat=qat, prune=prune
        )
    ).spec
    run = _Run(
        spec, output_paths(folder / f"{name}.zip"), TrainOptions(evaluate_every=32, evaluation_episodes=1), Silent()
    )
    run.run()
    run.close()
    return {key: tensor.clone() for key, tensor in run.model.policy.state_dict().items()}


# Gradual pruning changes the actor of both algorithms with two critics alike.
PRUNED = [pytest.param(name, 0.5, marks=pytest.mark.slow if name == "td3" else ()) for name in CASES]


@pytest.mark.parametrize(("name", "prune"), [*((name, None) for name in CASES), *PRUNED])
def test_trusting_what_is_told_learns_the_same_as_looking_every_time(
    name: str, prune: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusting = parameters(name, tmp_path / "trusting", prune)
    original = FakeQuantized.trust
    monkeypatch.setattr(FakeQuantized, "trust", lambda layer, trusted: original(layer, False))
    monkeypatch.setattr(FakeQuantized, "changed", lambda layer: vars(layer).update(_kept=None, _sources=None))
    looking = parameters(name, tmp_path / "looking", prune)
    assert trusting.keys() == looking.keys()
    for key, tensor in trusting.items():
        assert torch.equal(tensor, looking[key]), key
