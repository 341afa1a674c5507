from __future__ import annotations

import numpy as np
import pytest
import torch
from branching_modules import Gate, policy_of
from onnx import TensorProto, numpy_helper

from checkpoint_policies import POLICIES, cnn_dqn, dict_td3, materials_for, normalised_ppo, observations_of, sac
from policypress.compression.calibration import ranges
from policypress.compression.pipeline import build_artifact
from policypress.compression.quantization.int8 import Int8
from policypress.compression.recipe import Recipe
from policypress.compression.step import Context
from policypress.export.parity import to_tensors
from policypress.policy.policy import Policy
from policypress.writers.onnx_writer import to_onnx


def quantized(policy: Policy) -> Policy:
    return Int8().apply(policy, Context(observations_of(policy.observation_space, 128)))


@pytest.mark.parametrize("name", POLICIES)
def test_every_layer_is_quantized_and_parity_holds(name: str) -> None:
    policy = POLICIES[name]()
    compressed = build_artifact(policy, Recipe.parse("int8"), materials_for(policy))
    assert compressed.artifact.contract.precision == "int8"
    assert compressed.artifact.contract.batch_independent
    assert compressed.artifact.parity.share_within >= 0.999
    assert compressed.artifact.parity.untied > 0
    assert compressed.record.action_error is not None
    assert compressed.record.action_error < 0.05
    assert not policy.quantized
    assert all(layer.quant.active for _, layer in quantized(policy).weighted_layers())


@pytest.mark.parametrize("build", [sac, cnn_dqn])
def test_specs(build: type[Policy]) -> None:
    policy = quantized(build())
    seen = ranges(build(), observations_of(policy.observation_space, 128))
    for name, layer in policy.weighted_layers():
        spec, weight, bias = layer.quant.input, layer.quant.weight, layer.quant.bias
        assert spec is not None
        assert weight is not None
        assert bias is not None
        low, high = seen[policy.node(name).inputs[0]]
        assert (spec.bits, spec.signed, spec.axis, spec.lowest, spec.highest) == (8, False, None, 0, 255)
        assert float(spec.scale) == pytest.approx((max(high, 0.0) - min(low, 0.0)) / 255, rel=1e-6)
        assert (weight.bits, weight.signed, weight.axis, weight.lowest, weight.highest) == (8, True, 0, -127, 127)
        torch.testing.assert_close(weight.scale, layer.weight.detach().abs().flatten(1).amax(1) / 127)
        assert (bias.bits, bias.axis) == (32, 0)
        assert torch.equal(bias.scale, spec.scale * weight.scale)
        assert not bias.zero_point.any()
        assert layer.quant.output is None


def test_the_output_is_finer_than_any_eight_bits() -> None:
    policy = quantized(sac())
    with torch.no_grad():
        actions = policy(to_tensors(observations_of(policy.observation_space, 2000)))
    assert len(actions[:, 0].unique()) > 300


def test_what_two_layers_read_is_quantized_once() -> None:
    torch.manual_seed(0)
    policy = quantized(policy_of(Gate()))
    specs = [layer.quant.input for _, layer in policy.weighted_layers()]
    assert specs[0] is specs[1]
    assert [node.op_type for node in to_onnx(policy).graph.node].count("QuantizeLinear") == 2


@pytest.mark.parametrize("build", [sac, cnn_dqn, dict_td3])
def test_the_file_holds_integers(build: type[Policy]) -> None:
    policy = build()
    model = to_onnx(quantized(policy))
    layers = [layer for _, layer in policy.weighted_layers()]
    stored = [tensor for tensor in model.graph.initializer if tensor.name.endswith("quantized")]
    kinds = [tensor.data_type for tensor in stored]
    assert kinds.count(TensorProto.INT8) == kinds.count(TensorProto.INT32) == len(layers)
    for tensor, layer in zip([t for t in stored if t.data_type == TensorProto.INT8], layers, strict=True):
        integers = numpy_helper.to_array(tensor)
        weight = layer.weight.detach().numpy()
        peak = np.abs(weight).reshape(len(weight), -1).max(1).reshape(-1, *[1] * (weight.ndim - 1))
        np.testing.assert_array_equal(integers, np.rint(weight / (peak / np.float32(127))))


def test_what_pre_and_post_processes_stays_float() -> None:
    model = to_onnx(quantized(normalised_ppo()))
    quantizers = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert len(quantizers) == 3
    producers = {output: node.op_type for node in model.graph.node for output in node.output}
    assert [producers[node.input[0]] for node in quantizers] == ["Clip", "Tanh", "Tanh"]
    assert producers["action"] == "Min"
