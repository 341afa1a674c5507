"""From an agent that learned with quantization to an artifact that computes the same, for all six algorithms."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto
from stable_baselines3.common.base_class import BaseAlgorithm

from checkpoint_policies import materials_for, sac
from policypress.agents.loading import load_agent
from policypress.compression.pipeline import CalibrationData, build_artifact
from policypress.compression.recipe import Recipe
from policypress.compression.step import Context, Stage
from policypress.export.parity import to_tensors
from policypress.policy.identity import fingerprint
from policypress.policy.importers.from_agent import policy_from_agent
from policypress.policy.layers import ArgMax
from policypress.policy.policy import Policy
from policypress_runtime.errors import RecipeError
from policypress_train.algorithms import ALGORITHMS
from policypress_train.qat.config import QatConfig
from policypress_train.sparse.strip import strip
from quantized_agents import NAMES, Pictures, trained, untrained

QAT = Recipe.parse("qat")
DEFAULT = QatConfig()


def read(model: BaseAlgorithm, name: str, *, stripped: bool = False) -> Policy:
    """The policy that policypress reads from the zip that the library saves."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.zip"
        model.save(path)
        if stripped:
            path.write_bytes(strip(path.read_bytes(), ALGORITHMS[name]))
        return policy_from_agent(load_agent(path))


@functools.cache
def agent(name: str, config: QatConfig = DEFAULT) -> BaseAlgorithm:
    return trained(name, config)


def visited(model: BaseAlgorithm, count: int, seed: int = 0) -> Any:
    """Observations of rollouts of the agent itself, with some noise in its actions."""
    environment = model.get_env()
    assert environment is not None
    environment.seed(seed)
    rng = np.random.default_rng(seed)
    seen = [environment.reset()]
    while len(seen) < count:
        action, _ = model.predict(seen[-1], deterministic=rng.random() < 0.8)
        seen.append(environment.step(action)[0])
    return np.concatenate(seen).astype(np.float32)


def sampled(environment: Pictures, count: int) -> Any:
    """Observations of the environment's space."""
    environment.observation_space.seed(1)
    drawn = [environment.observation_space.sample() for _ in range(count)]
    if isinstance(drawn[0], dict):
        return {key: np.stack([part[key] for part in drawn]) for key in drawn[0]}
    return np.stack(drawn)


def materials(observations: Any) -> CalibrationData:
    return CalibrationData(observations, observations, observations)


def trained_outputs(model: BaseAlgorithm, observations: Any) -> torch.Tensor:
    """What the trained network itself gives: scores, or the action before the environment's bounds."""
    policy: Any = model.policy
    policy.set_training_mode(False)
    with torch.no_grad():
        seen = torch.from_numpy(observations)
        if hasattr(policy, "q_net"):
            return policy.q_net(seen)
        if hasattr(policy, "actor"):
            return policy.actor(seen, deterministic=True) if hasattr(policy.actor, "latent_pi") else policy.actor(seen)
        return policy.action_net(policy.mlp_extractor.forward_actor(policy.extract_features(seen)))


def quantized_outputs(policy: Policy, observations: Any) -> torch.Tensor:
    with torch.no_grad():
        values = policy.run(to_tensors(observations))
    squash = [node.name for node in policy.nodes if getattr(policy.layers[node.name], "role", "") == "squash"]
    return values[squash[0] if squash else policy.scores_node or policy.nodes[-1].name]


@pytest.mark.parametrize(
    "config",
    [QatConfig(), QatConfig(observation_scaling=False, per_channel=False), QatConfig(weight_bits=4, activation_bits=5)],
    ids=["default", "raw", "few_bits"],
)
@pytest.mark.parametrize("name", NAMES)
def test_the_quantized_policy_is_the_trained_network_to_the_bit(name: str, config: QatConfig) -> None:
    model = agent(name, config)
    policy = QAT.steps[0].apply(read(model, name), Context(np.zeros((1, 1), np.float32)))
    observations = visited(model, 200)
    assert torch.equal(quantized_outputs(policy, observations), trained_outputs(model, observations))
    assert all(layer.quant.active for _, layer in policy.weighted_layers())


@pytest.mark.parametrize("name", NAMES)
def test_the_artifact_is_truly_quantized_and_passes_parity(name: str) -> None:
    model = agent(name)
    policy = read(model, name)
    compressed = build_artifact(policy, QAT, materials(visited(model, 300)))
    assert compressed.artifact.contract.precision == "int8"
    assert compressed.artifact.parity.share_within >= 0.999
    stored = {
        tensor.data_type for tensor in onnx_of(compressed.artifact.model).graph.initializer if len(tensor.dims) == 2
    }
    assert stored == {TensorProto.INT8}
    assert not policy.quantized


def onnx_of(model: bytes) -> Any:
    import onnx

    return onnx.load_from_string(model)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_parity_holds_on_ten_thousand_visited_states(name: str) -> None:
    model = agent(name)
    compressed = build_artifact(read(model, name), QAT, materials(visited(model, 10_000)))
    assert compressed.artifact.parity.share_within >= 0.999


@pytest.mark.parametrize("name", NAMES)
def test_a_zip_stripped_to_its_policy_is_the_same_agent(name: str) -> None:
    model = agent(name)
    whole, alone = read(model, name), read(model, name, stripped=True)
    assert fingerprint(alone) == fingerprint(whole)
    assert all(layer.learned is not None for _, layer in alone.weighted_layers())


@pytest.mark.parametrize("name", ["dqn", "ppo"])
@pytest.mark.parametrize(("policy", "kind"), [("CnnPolicy", "image"), ("MultiInputPolicy", "both")])
def test_images_and_dicts_are_read_quantized_and_proven(name: str, policy: str, kind: str) -> None:
    environment = Pictures(kind, discrete=True)
    small = {"features_dim": 8} if kind == "image" else {"cnn_output_dim": 8}
    model = untrained(name, QatConfig(), environment, policy, features_extractor_kwargs=small, net_arch=(8,)).learn(96)
    found = read(model, name)
    compressed = build_artifact(found, QAT, materials(sampled(environment, 48)))
    assert compressed.artifact.contract.precision == "int8"
    quantized = QAT.steps[0].apply(found, Context(np.zeros(1)))
    weighted = dict(quantized.weighted_layers())
    assert len(weighted) == 4 + 2
    assert all(layer.quant.active for layer in weighted.values())
    assert ("input_scale" in quantized.folded()) == (kind == "both")


def test_ranges_are_part_of_a_policy_s_identity_and_fp32_identities_are_as_they_were() -> None:
    policy = read(agent("dqn"), "dqn")
    before = fingerprint(policy)
    first = next(layer for _, layer in policy.weighted_layers())
    assert first.learned is not None
    wider = vars(first.learned) | {"high": first.learned.high * 2}
    first.learned = type(first.learned)(**wider)
    assert fingerprint(policy) != before
    for _, layer in policy.weighted_layers():
        layer.learned = None
    plain = read(agent("dqn"), "dqn")
    for _, layer in plain.weighted_layers():
        del layer.learned
    assert fingerprint(policy) == fingerprint(plain)


def test_without_the_step_ranges_have_no_effect() -> None:
    policy = read(agent("dqn"), "dqn")
    observations = visited(agent("dqn"), 50)
    with torch.no_grad():
        before = policy.scores(to_tensors(observations))
        for _, layer in policy.weighted_layers():
            layer.learned = None
        assert torch.equal(policy.scores(to_tensors(observations)), before)


def test_an_agent_without_ranges_is_told_to_train_with_them() -> None:
    with pytest.raises(RecipeError, match="--qat"):
        build_artifact(sac(), QAT, materials_for(sac(), 32))
    never = read(untrained("dqn", QatConfig()), "dqn")
    with pytest.raises(RecipeError, match="--qat"):
        build_artifact(never, QAT, materials(visited(agent("dqn"), 32)))


@pytest.mark.parametrize("before", ["equalize", "prune(l2, 0.3)"])
def test_a_network_that_was_changed_has_other_ranges(before: str) -> None:
    policy = read(agent("dqn"), "dqn")
    with pytest.raises(RecipeError, match="cannot follow another step"):
        build_artifact(policy, Recipe.parse(f"{before} > qat"), materials(visited(agent("dqn"), 64)))


def test_a_layer_that_read_only_zeros_stays_float_as_in_training() -> None:
    policy = read(agent("td3"), "td3")
    _, last = list(policy.weighted_layers())[-1]
    assert last.learned is not None
    last.learned = type(last.learned)(**(vars(last.learned) | {"low": 0.0, "high": 0.0}))
    quantized = QAT.steps[0].apply(policy, Context(np.zeros(1)))
    active = [layer.quant.active for _, layer in quantized.weighted_layers()]
    assert active == [True, True, False]


def test_the_step_s_place() -> None:
    assert QAT.steps[0].stage is Stage.QUANTIZATION
    assert QAT.text == "qat"
    assert any(isinstance(layer, ArgMax) for layer in read(agent("dqn"), "dqn").layers.values())
