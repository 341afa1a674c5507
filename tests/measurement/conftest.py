"""Small artifacts to measure."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from policypress import Policy
from policypress.study.export_agent import export_agent
from policypress_runtime.contract import Box

# The small policies of the policy tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "policy"))


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An fp32 artifact of four inputs, eight hidden units and two actions."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    policy = Policy.from_module(module, Box((4,), "float32", (-9.0,), (9.0,)), Box((2,), "float32", (-1.0,), (1.0,)))
    path = tmp_path_factory.mktemp("artifact") / "policy.onnx"
    export_agent(policy, path)
    return path
