from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from onnx import numpy_helper
from optimised_graphs import INTEGER_KERNELS, float_weights, integer_weights, operators, optimised

from checkpoint_policies import POLICIES, cnn_dqn, materials_for, normalised_ppo, observations_of, sac
from policypress.compression.pipeline import CompressedPolicy, build_artifact
from policypress.compression.quantization.ptdq import Ptdq
from policypress.compression.recipe import Recipe
from policypress.export.parity import to_tensors
from policypress.policy.policy import Policy
from policypress_runtime.errors import RecipeError
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime


def pressed_by(policy: Policy, text: str) -> CompressedPolicy:
    return build_artifact(policy, Recipe.parse(text), materials_for(policy))


def model_of(compressed: CompressedPolicy) -> onnx.ModelProto:
    return onnx.load_from_string(compressed.artifact.model)


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy(name: str) -> None:
    policy = POLICIES[name]()
    compressed = pressed_by(policy, "ptdq")
    assert compressed.artifact.contract.precision == "int8"
    assert not compressed.artifact.contract.batch_independent
    assert compressed.record.packed_bytes < 0.45 * 4 * compressed.record.parameters
    assert compressed.record.action_error is not None
    assert compressed.record.action_error < 0.05
    assert {"DynamicQuantizeLinear"} < set(operators(model_of(compressed)))


def test_weights_are_symmetric_with_one_scale_per_tensor() -> None:
    policy = sac()
    graph = model_of(pressed_by(policy, "ptdq")).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for name, layer in policy.weighted_layers():
        weight = layer.weight.detach().numpy()
        scale, zero = stored[f"{name}.weight_scale"], stored[f"{name}.weight_zero_point"]
        assert scale.shape == ()
        assert zero == 0
        assert float(scale) == pytest.approx(np.abs(weight).max() / 127, rel=0.01)
        np.testing.assert_allclose(stored[f"{name}.weight_quantized"].T * scale, weight, atol=0.51 * float(scale))


def test_what_pre_and_post_processes_stays_float() -> None:
    graph = model_of(pressed_by(normalised_ppo(), "ptdq")).graph
    assert [node.op_type for node in graph.node][:4] == ["Sub", "Sub", "Mul", "Clip"]
    assert [node.op_type for node in graph.node][-3:] == ["Add", "Max", "Min"]
    assert sum(node.op_type == "DynamicQuantizeLinear" for node in graph.node) == 3


def test_an_image_stays_bytes_until_it_is_scaled() -> None:
    nodes = model_of(pressed_by(cnn_dqn(), "ptdq")).graph.node
    readers = {name: node.op_type for node in nodes for name in node.input}
    producers = {output: node.op_type for node in nodes for output in node.output}
    assert readers["observation"] == "Cast"
    assert readers["to_float"] == "Mul"
    quantized = [producers[node.input[0]] for node in nodes if node.op_type == "DynamicQuantizeLinear"]
    assert quantized == ["Mul", "Relu", "Flatten", "Relu"]


def test_observations_do_not_meet_in_a_batch() -> None:
    policy = sac()
    runtime = OnnxRuntime(pressed_by(policy, "ptdq").artifact.model)
    observations = observations_of(policy.observation_space, 8)
    observations[0] *= 100
    batch = runtime.act_batch(observations)
    np.testing.assert_array_equal(batch, [runtime.act(observation) for observation in observations])


@pytest.mark.parametrize("build", [sac, normalised_ppo, cnn_dqn])
def test_with_float_weights_nothing_else_is_an_integer(build: type[Policy], tmp_path: Path) -> None:
    policy = build()
    compressed = pressed_by(policy, "ptdq(weights=fp32)")
    assert compressed.artifact.contract.precision == "fp32"
    assert not compressed.artifact.contract.batch_independent
    kept = [weight.tobytes() for weight in float_weights(model_of(compressed))]
    weights = [layer.weight.detach().numpy() for _, layer in policy.weighted_layers()]
    assert sorted(kept) == sorted(weight.tobytes() for weight in weights)
    run = optimised(compressed.artifact.model, tmp_path)
    assert integer_weights(run) == []
    assert not set(operators(run)) & set(INTEGER_KERNELS)


def rounded(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """DynamicQuantizeLinear and back, by ONNX's definition, in float64."""
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    scale = (high - low) / 255
    zero = np.rint(np.clip(-low / scale, 0, 255))
    return (np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale


def test_with_float_weights_only_activations_are_rounded() -> None:
    policy = sac()
    runtime = OnnxRuntime(pressed_by(policy, "ptdq(weights=fp32)").artifact.model)
    observations = observations_of(policy.observation_space, 64, seed=3)
    layers = [layer.double() for _, layer in policy.clone().weighted_layers()]
    low, high = policy.action_space.bounds()  # type: ignore[union-attr]
    expected = []
    for observation in observations.astype(np.float64):
        value = observation
        for layer in layers:
            with torch.no_grad():
                value = layer(torch.from_numpy(rounded(value))[None])[0].numpy()
            if layer is not layers[-1]:
                value = np.maximum(value, 0)
        expected.append(low + 0.5 * (np.tanh(value) + 1) * (high - low))
    error = np.abs(runtime.act_batch(observations) - expected) / (high - low)
    assert (error < 1e-5).mean() > 0.95
    with torch.no_grad():
        exact = policy(to_tensors(observations)).numpy()
    assert np.abs(runtime.act_batch(observations) - exact).max() > 1e-3


def test_unknown_weights_are_refused() -> None:
    with pytest.raises(RecipeError, match="weights=int8 or weights=fp32"):
        Ptdq(weights="int4")
