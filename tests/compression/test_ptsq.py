from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from optimised_graphs import INTEGER_KERNELS, float_weights, integer_weights, operators, optimised

from checkpoint_policies import POLICIES, cnn_dqn, materials_for, normalised_ppo, observations_of, sac
from policypress.compression.calibration import ranges
from policypress.compression.pipeline import Pressed, press
from policypress.compression.ptsq import Ptsq
from policypress.compression.recipe import Recipe
from policypress.errors import RecipeError
from policypress.export.parity import to_tensors
from policypress.policy.policy import Policy
from policypress.policy.quantization import LayerQuant, affine_spec
from policypress.runtime.onnx_runtime import OnnxRuntime


def pressed_by(policy: Policy, text: str) -> Pressed:
    return press(policy, Recipe.parse(text), materials_for(policy))


def model_of(pressed: Pressed) -> onnx.ModelProto:
    return onnx.load_from_string(pressed.artifact.model)


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy(name: str) -> None:
    policy = POLICIES[name]()
    pressed = pressed_by(policy, "ptsq")
    assert pressed.artifact.contract.precision == "int8"
    assert pressed.artifact.contract.batch_independent
    assert pressed.record.packed_bytes < 0.45 * 4 * pressed.record.parameters
    assert pressed.record.action_error is not None
    assert pressed.record.action_error < 0.1
    assert {"QuantizeLinear", "DequantizeLinear"} < set(operators(model_of(pressed)))


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
    pressed = pressed_by(policy, "ptsq(weights=fp32)")
    assert pressed.artifact.contract.precision == "fp32"
    for model in (model_of(pressed), optimised(pressed.artifact.model, tmp_path)):
        assert integer_weights(model) == []
        assert not set(operators(model)) & set(INTEGER_KERNELS)
    kept = [weight.tobytes() for weight in float_weights(model_of(pressed))]
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
