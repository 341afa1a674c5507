from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx_models import ANY_ACTION, VECTOR, B, W, bundle_of, model_of, node, observe, run_policy

from policypress.agents.loading import load_agent
from policypress.policy.importers.from_agent import policy_from_agent
from policypress.policy.layers import Transpose


def test_an_onnx_file() -> None:
    policy = policy_from_agent(bundle_of(model_of([node("Gemm", "obs w b", "y")]), VECTOR, ANY_ACTION))
    observation = observe(VECTOR)
    assert policy.origin.algorithm == "onnx"
    assert policy.origin.sha256 == "0" * 64
    assert np.allclose(run_policy(policy, observation), observation[""] @ W + B, atol=1e-5)


def test_a_checkpoint(own_agents: Path) -> None:
    bundle = load_agent(next(iter(sorted(own_agents.glob("*.zip")))))
    policy = policy_from_agent(bundle)
    assert policy.origin.algorithm == bundle.algorithm
    assert not any(isinstance(layer, Transpose) for layer in policy.layers.values())
