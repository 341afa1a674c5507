from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from optimised_graphs import INTEGER_KERNELS, float_weights, integer_weights, operators, optimised

from checkpoint_policies import POLICIES, cnn_dqn, materials_for, normalised_ppo, observations_of, sac
from policypress.compression.calibration import ranges
from policypress.compression.pipeline import CompressedPolicy, build_artifact
from policypress.compression.quantization.ptsq import Ptsq
from policypress.compression.recipe import Recipe
from policypress.environments.rollout_source import RolloutSource
from policypress.export.parity import to_tensors
from policypress.policy.policy import Policy
from policypress.policy.quantization import LayerQuant, affine_spec
from policypress.seeding import EVALUATION, episode_seeds
from policypress_runtime.errors import ObservationError, RecipeError
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime


def pressed_by(policy: Policy, text: str) -> CompressedPolicy:
    return build_artifact(policy, Recipe.parse(text), materials_for(policy))


def model_of(compressed: CompressedPolicy) -> onnx.ModelProto:
    return onnx.load_from_string(compressed.artifact.model)


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy(name: str) -> None:
    policy = POLICIES[name]()
    compressed = pressed_by(policy, "ptsq")
    assert compressed.artifact.contract.precision == "int8"
    assert compressed.artifact.contract.batch_independent
    assert compressed.record.packed_bytes < 0.45 * 4 * compressed.record.parameters
    assert compressed.record.action_error is not None
    assert compressed.record.action_error < 0.1
    assert {"QuantizeLinear", "DequantizeLinear"} < set(operators(model_of(compressed)))


def parameters(model: onnx.ModelProto, layer: str) -> list[list[Any]]:
    """Stored tensors of the DequantizeLinear behind the value and behind the weight that a layer reads."""
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    producers = {output: node for node in model.graph.node for output in node.output}
    node = next(n for n in model.graph.node if n.name.startswith(f"{layer}/") and n.op_type in ("Gemm", "Conv"))
    return [[stored.get(name) for name in producers[value].input] for value in node.input[:2]]


@pytest.mark.parametrize("build", [sac, normalised_ppo, cnn_dqn])
def test_scales_are_minimum_and_maximum_on_the_rollouts(build: type[Policy]) -> None:
    policy = build()
    model = model_of(pressed_by(policy, "ptsq"))
    seen = ranges(policy, materials_for(policy).calibration)
    for name, layer in policy.weighted_layers():
        (_, scale, zero), (weight, weight_scale, weight_zero) = parameters(model, name)
        low, high = seen[policy.node(name).inputs[0]]
        assert scale.shape == weight_scale.shape == ()
        assert float(scale) == pytest.approx((max(high, 0.0) - min(low, 0.0)) / 255, rel=1e-3)
        assert zero.dtype == np.uint8
        assert float(weight_scale) == pytest.approx(float(layer.weight.detach().abs().max()) / 127, rel=0.01)
        assert weight_zero == 0
        assert weight.dtype == np.int8


def test_what_pre_and_post_processes_stays_float() -> None:
    nodes = model_of(pressed_by(normalised_ppo(), "ptsq")).graph.node
    producers = {output: node for node in nodes for output in node.output}
    for node in nodes:
        if node.op_type in ("Sub", "Mul", "Clip"):
            assert producers.get(node.input[0], node).op_type in ("Sub", "Mul", "Clip")
    # The network's own output is quantized, unlike by int8; its clip is not.
    assert producers["action"].op_type == "Min"
    assert producers[producers["action"].input[0]].op_type == "Max"
    quantized = [producers[node.input[0]].op_type for node in nodes if node.op_type == "QuantizeLinear"]
    assert quantized == ["Clip", "Gemm", "Tanh", "Gemm", "Tanh", "Gemm"]


def test_the_output_has_at_most_256_levels() -> None:
    policy = sac()
    observations = observations_of(policy.observation_space, 4000)
    actions = OnnxRuntime(pressed_by(policy, "ptsq").artifact.model).act_batch(observations)
    assert len(np.unique(actions)) <= 256 * 3


@pytest.mark.parametrize("build", [sac, normalised_ppo, cnn_dqn])
def test_with_float_weights_onnx_runtime_uses_them(build: type[Policy], tmp_path: Path) -> None:
    """Behind a DequantizeLinear the optimiser would quantize them again."""
    policy = build()
    compressed = pressed_by(policy, "ptsq(weights=fp32)")
    assert compressed.artifact.contract.precision == "fp32"
    for model in (model_of(compressed), optimised(compressed.artifact.model, tmp_path)):
        assert integer_weights(model) == []
        assert not set(operators(model)) & set(INTEGER_KERNELS)
    kept = [weight.tobytes() for weight in float_weights(model_of(compressed))]
    weights = [layer.weight.detach().numpy() for _, layer in policy.weighted_layers()]
    assert sorted(kept) == sorted(weight.tobytes() for weight in weights)


@pytest.mark.parametrize("build", [sac, cnn_dqn])
def test_with_float_weights_only_activations_are_rounded(build: type[Policy]) -> None:
    policy = build()
    runtime = OnnxRuntime(pressed_by(policy, "ptsq(weights=fp32)").artifact.model)
    expected = policy.clone()
    seen = ranges(policy, materials_for(policy).calibration)
    for name, layer in expected.weighted_layers():
        layer.quant = LayerQuant(input=affine_spec(*seen[expected.node(name).inputs[0]]))
    observations = observations_of(policy.observation_space, 128, seed=3)
    outputs = runtime.run_batch(observations)
    with torch.no_grad():
        want = expected.double().scores(to_tensors(observations)).numpy()
        exact = policy.scores(to_tensors(observations)).numpy()
    got = outputs.get("scores", outputs["action"])
    span = want.max() - want.min()
    assert (np.abs(got - want) < 1e-5 * span).mean() > 0.95
    assert np.abs(got - exact).max() > 1e-3 * span


def test_unknown_weights_are_refused() -> None:
    with pytest.raises(RecipeError, match="weights=int8 or weights=fp32"):
        Ptsq(weights="int4")


class Drifting(gymnasium.Env[Any, Any]):
    """Observations follow the actions, far from where the fp32 policy goes, and tell in which episode they are."""

    def __init__(self, policy: Policy) -> None:
        space: Any = policy.observation_space
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, space.shape)
        self.action_space = gymnasium.spaces.Box(*(bound.astype(np.float32) for bound in policy.action_space.bounds()))  # type: ignore[union-attr]
        self.seeds: list[int | None] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.seeds.append(seed)
        self._state = self.np_random.normal(size=self.observation_space.shape).astype(np.float32)
        self._steps = 0
        return self._state, {}

    def step(self, action: Any) -> Any:
        self._steps += 1
        self._state = (self._state * 1.01 + float(np.sum(action))).astype(np.float32)
        return self._state, 0.0, False, self._steps >= 20, {}


@pytest.mark.parametrize("weights", ["int8", "fp32"])
def test_calibrated_on_its_own_states(weights: str) -> None:
    policy = sac()
    environments: list[Drifting] = []

    def factory() -> Drifting:
        environments.append(Drifting(policy))
        return environments[-1]

    materials = replace(materials_for(policy), rollouts=RolloutSource(factory))
    plain = build_artifact(policy, Recipe.parse(f"ptsq(weights={weights})"), materials)
    assert environments == []
    scales, seeds = [], []
    for source in ("own", "evaluation"):
        recipe = Recipe.parse(f"ptsq(weights={weights}, calibrate={source})")
        assert recipe.steps[0].learns
        scales.append(recipe_scales(build_artifact(policy, recipe, materials)))
        seeds.append(environments[-1].seeds)
        assert recipe_scales(build_artifact(policy, recipe, materials)) == scales[-1]
    # Its own states are wilder than those of the calibration.
    assert any(own > 1.5 * before > 0 for own, before in zip(scales[0], recipe_scales(plain), strict=True))
    wanted = episode_seeds(0, EVALUATION, len(seeds[1]))
    assert tuple(seeds[1]) == wanted
    assert not set(seeds[0]) & set(wanted)


def recipe_scales(compressed: CompressedPolicy) -> list[float]:
    """Every scalar constant of the file, of which the scales are some."""
    constants = [numpy_helper.to_array(one) for one in model_of(compressed).graph.initializer]
    return [float(value) for value in constants if value.ndim == 0 and value.dtype == np.float32]


def test_its_own_states_want_an_environment() -> None:
    policy = sac()
    with pytest.raises(ObservationError, match=r"calibrate=own[\s\S]*environment[\s\S]*--env"):
        pressed_by(policy, "ptsq(calibrate=own)")


def test_other_states_are_an_error_and_the_old_hash_stays() -> None:
    with pytest.raises(RecipeError, match=r"calibrate=random[\s\S]*calibrate=own"):
        Recipe.parse("ptsq(calibrate=random)")
    assert "calibrate" not in str(Recipe.parse("ptsq").to_json())
    assert Recipe.parse("ptsq(calibrate=own)").hash != Recipe.parse("ptsq").hash
