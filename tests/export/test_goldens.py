"""Golden vectors hold for every right evaluation: no ties, no close decisions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_policies import ACTIONS, cnn, mlp, observations_of, quantized

from policypress.export.goldens import COUNT, MOST_NUMBERS, goldens_of
from policypress.policy import layers
from policypress.policy.policy import Policy
from policypress.writers.onnx_writer import contract_of, embed_contract, to_onnx
from policypress_runtime.codegen.reader import read_program
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime


def made(policy: Policy, observations: Any) -> Any:
    model = to_onnx(policy)
    embed_contract(model, contract_of(policy, "none", "", "fp32", "0"))
    content = model.SerializeToString()
    return goldens_of(read_program(content), policy, content, observations, None), content


@pytest.mark.parametrize("action", ACTIONS)
def test_they_are_what_onnx_runtime_says(action: str) -> None:
    policy = mlp(ACTIONS[action])
    found, content = made(policy, observations_of(policy.observation_space, 300))
    assert found.count == COUNT
    outputs = OnnxRuntime(content).run_batch(found.inputs[0])
    np.testing.assert_array_equal(found.actions, outputs["action"])
    if found.scores is not None:
        np.testing.assert_allclose(found.scores, outputs["scores"], atol=1e-6)
    assert (found.tolerance > 0).all()


def test_close_decisions_are_left_out() -> None:
    """Two equal scores everywhere: nothing is clear, and there is no self-test."""
    policy = mlp(ACTIONS["discrete"])
    out = policy.layers["out"]
    assert isinstance(out, layers.Linear)
    out.weight.data.zero_()
    out.bias.data.zero_()
    assert made(policy, observations_of(policy.observation_space, 50))[0] is None


def test_ties_are_left_out() -> None:
    plain = mlp()
    policy = quantized(plain, observations_of(plain.observation_space))
    hidden, normalise = policy.layers["hidden"], policy.layers["normalise"]
    assert isinstance(hidden, layers.Linear)
    assert isinstance(normalise, layers.Normalise)
    spec = hidden.quant.input
    assert spec is not None
    steps = np.random.default_rng(0).integers(5, 200, (60, 5)) + 0.5 - float(spec.zero_point)
    tied = steps * float(spec.scale) / normalise.inverse_std.numpy() + normalise.mean_high.numpy()
    clean = observations_of(plain.observation_space, 60, 3)
    found, _ = made(policy, np.concatenate([tied.astype(np.float32), clean]))
    assert found is not None
    for row in found.inputs[0]:
        assert (clean == row).all(1).any()


def test_images_are_few() -> None:
    policy = cnn()
    found, _ = made(policy, observations_of(policy.observation_space, 40))
    assert found.inputs[0].size <= max(MOST_NUMBERS, 240)
