"""Quantization-aware training in C: ranges, gradients and actions of the quantized layers, and an artifact of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from native_updates import FAST, NATIVE, built_model, learned, slopes
from policypress.agents.loading import load_agent
from policypress.compression.pipeline import CalibrationData, build_artifact
from policypress.compression.recipe import Recipe
from policypress.policy.importers.from_agent import policy_from_agent
from policypress.training_package import TrainingRequest
from policypress_runtime.contract import EnvironmentSpec
from policypress_train.hyperparameters.preparing import prepare
from policypress_train.native.networks import td3_networks
from policypress_train.qat.config import QatConfig
from policypress_train.qat.layers import QatLinear
from policypress_train.qat.policies import quantized_policy
from policypress_train.trainer import TrainOptions, train

CONFIGS = {
    "actor": QatConfig(),
    "all": QatConfig(networks="all"),
    "raw": QatConfig(networks="all", observation_scaling=False, per_channel=False),
    "few bits": QatConfig(networks="all", weight_bits=4, activation_bits=5),
}
ROUNDING = {"amx": 3e-4, "plain": 3e-5}


def pair(algorithm: str, config: QatConfig, **more: Any) -> tuple[Any, Any]:
    """The fast model and the native one, quantized."""
    policy, own = quantized_policy(algorithm, config)
    arguments = {"policy": policy, "policy_kwargs": {"net_arch": [40, 24], **own}, "batch": 100, **more}
    if algorithm == "td3":
        arguments["policy_delay"] = 1
    return tuple(built_model(kinds[algorithm], 7, 3, **arguments) for kinds in (FAST, NATIVE))  # type: ignore[return-value]


def by_integers(layer: QatLinear, seen: torch.Tensor) -> torch.Tensor:
    """The layer's forward pass, whose sums are of integers."""
    x, weight, bias = layer._rounded(seen)
    given = torch.nn.functional.linear(x, weight, bias)
    kept = layer._kept
    if kept is not None:
        with torch.no_grad():
            scale, each = kept.grid[0], kept.weight_scale.reshape(-1)
            factor = each * np.float32(scale)
            levels = torch.round(x / scale).double() @ torch.round(weight / each[:, None]).double().T
            given.detach().copy_((levels + torch.round(bias / factor)).float() * factor)  # type: ignore[operator]
    return given


def standing(model: Any) -> None:
    """From now on its parameters stay, while its ranges move."""
    model._update_learning_rate = lambda optimizers: None
    for network in (model.actor, model.critic):
        network.optimizer.param_groups[0]["lr"] = 0.0


def forget(model: Any) -> None:
    """Begin Adam's averages anew, so that they tell the next gradient."""
    for network in (model.actor, model.critic):
        for state in network.optimizer.state.values():
            state["exp_avg"].zero_()


@pytest.mark.parametrize("kernels", ["amx", "plain"])
@pytest.mark.parametrize("name", list(CONFIGS))
@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_ranges_and_gradients_are_the_fast_update_s(
    algorithm: str, name: str, kernels: str, use: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(kernels)
    # With few bits many sums are 0, or on the middle of two integers of the next layer, to the bit: torch's, whose
    # terms are rounded, miss by a hair, and gradients go another way.
    monkeypatch.setattr(QatLinear, "forward", by_integers)
    fast, native = pair(algorithm, CONFIGS[name])
    for model in (fast, native):
        standing(model)
    for updates in (1, 20):
        expected, found = learned(fast, updates), learned(native, updates)
        running = [key for key in expected if "running" in key]
        assert any(float(expected[key].abs().max()) > 0 for key in running)
        for key in running:
            torch.testing.assert_close(found[key], expected[key], rtol=1e-4, atol=1e-6, msg=key)
    for model in (fast, native):
        forget(model)
        learned(model, 1, seed=5)
    alike = []
    for key, slope in slopes(fast).items():
        gap = (slopes(native)[key] - slope).abs() / slope.abs().max().clamp_min(1e-6)
        alike.append((gap <= ROUNDING[kernels]).float().flatten())
    # A value on the middle of two integers, or on 0, goes either way: with few bits sums are often 0 to the bit, which
    # torch's, rounded in between, miss by a hair. Each takes a row of gradients along.
    # One value that still goes the other way takes a row of gradients along.
    assert float(torch.cat(alike).mean()) > 0.99


@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_it_acts_by_the_integers(algorithm: str) -> None:
    fast, native = pair(algorithm, QatConfig())
    learned(native, 20)
    fast.policy.load_state_dict(native.policy.state_dict())
    seen = np.random.default_rng(0).normal(size=(60, 7))
    given = []
    for model in (fast, native):
        model._last_obs = seen
        torch.manual_seed(0)
        given.append(model.predict(seen)[0])
    # An integer more or less moves an action by a part of 255.
    np.testing.assert_allclose(given[1], given[0], atol=0.1)
    assert np.mean(np.abs(given[1] - given[0]) < 1e-5) > 0.95
    plain = built_model(FAST[algorithm], 7, 3, policy_kwargs={"net_arch": [40, 24]})
    plain.policy.load_state_dict({k: v for k, v in native.policy.state_dict().items() if "running" not in k})
    plain._last_obs = seen
    torch.manual_seed(0)
    assert np.mean(np.abs(given[1] - plain.predict(seen)[0]) < 1e-5) < 0.5


def test_targets_get_the_ranges_of_what_they_follow() -> None:
    _, native = pair("td3", QatConfig(networks="all"))
    learned(native, 3)
    names = [key for key in native.policy.state_dict() if "running" in key and "target" not in key]
    assert len(names) > 10
    for name in names:
        owner, _, rest = name.partition(".")
        state = native.policy.state_dict()
        assert torch.equal(state[name], state[f"{owner}_target.{rest}"]), name


def test_rectified_layers_are_known_from_those_behind_a_relu() -> None:
    _, native = pair("td3", QatConfig())
    actor, critic = td3_networks(native.policy).actor, td3_networks(native.policy).critics[0]
    assert [place.activation for place in actor] == ["nothing", "nothing", "nothing"]
    assert [place.activation for place in critic] == ["relu", "relu", "nothing"]


@pytest.mark.parametrize("networks", ["actor", "all"])
@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_the_artifact_computes_what_was_learned(algorithm: str, networks: Any, tmp_path: Path) -> None:
    stated = [("net_arch", [32, 32]), ("learning_starts", 40), ("batch_size", 32)]
    spec = prepare(
        TrainingRequest(
            algorithm,
            EnvironmentSpec("Pendulum-v1"),
            steps=150,
            overrides=stated,
            update="native",
            qat=QatConfig(networks=networks),
        )
    ).spec
    train(spec, tmp_path / "agent.zip", options=TrainOptions(evaluate_every=0))
    policy = policy_from_agent(load_agent(tmp_path / "agent.zip"))
    angles, speeds = np.random.default_rng(0).uniform(-1, 1, (2, 400)) * np.array([[np.pi], [8.0]])
    seen = np.stack([np.cos(angles), np.sin(angles), speeds], axis=1).astype(np.float32)
    compressed = build_artifact(policy, Recipe.parse("qat"), CalibrationData(seen, seen, seen))
    assert compressed.artifact.contract.precision == "int8"
    assert compressed.artifact.parity.share_within >= 0.999
