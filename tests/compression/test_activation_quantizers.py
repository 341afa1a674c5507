from __future__ import annotations

import numpy as np
import onnx
import torch
from branching_modules import Gate, policy_of
from onnx.reference import ReferenceEvaluator
from optimised_graphs import operators

from checkpoint_policies import observations_of, sac
from policypress.compression.calibration import ranges
from policypress.compression.quantization import activation_quantizers
from policypress.writers.onnx_writer import to_onnx


def test_dynamic_leaves_the_model_it_was_given() -> None:
    model = to_onnx(sac())
    before = model.SerializeToString()
    result = activation_quantizers.dynamic(model, [])
    onnx.checker.check_model(result, full_check=True)
    assert model.SerializeToString() == before
    assert operators(result).count("DynamicQuantizeLinear") == 3


def test_dynamic_leaves_excluded_nodes_alone() -> None:
    model = to_onnx(sac())
    first = next(node.name for node in model.graph.node if node.op_type == "Gemm")
    result = activation_quantizers.dynamic(model, [first])
    assert operators(result).count("DynamicQuantizeLinear") == 2
    assert next(node for node in result.graph.node if node.name == first).input[0] == "observation"


def test_what_two_layers_read_is_quantized_once() -> None:
    torch.manual_seed(0)
    policy = policy_of(Gate())
    assert operators(activation_quantizers.dynamic(to_onnx(policy), [])).count("DynamicQuantizeLinear") == 2
    seen = ranges(policy, observations_of(policy.observation_space, 32))
    static = operators(activation_quantizers.static(policy, seen))
    assert static.count("Round") >= 2
    assert "QuantizeLinear" not in static


def test_static_saturates_at_the_ranges() -> None:
    policy = sac()
    observations = observations_of(policy.observation_space, 64)
    model = activation_quantizers.static(policy, ranges(policy, observations))
    evaluator = ReferenceEvaluator(model)
    edge = np.full((1, observations.shape[1]), observations.max(), np.float32)
    beyond = edge * 1000
    inside, outside = (evaluator.run(["action"], {"observation": values})[0] for values in (edge, beyond))
    np.testing.assert_allclose(inside, outside, atol=1e-6)
    assert not policy.quantized
