from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx_models import GEMM, VECTOR, B, W, bundle_of, model_of, node, observe, run_policy
from torch import nn

from policypress.agents.overrides import Overrides
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.policy.importers.from_onnx import from_onnx
from policypress.policy.policy import Policy
from policypress.writers.onnx_writer import to_onnx
from policypress_runtime.contract import Box, Discrete, MultiBinary, box
from policypress_runtime.errors import NetworkError

BOUNDS = Box((4,), "float32", (-2.0, -1.0, 0.0, 3.0), (2.0, 1.0, 1.0, 8.0))
LOW, HIGH = BOUNDS.bounds()
UNIT = box((4,), "float32", -1.0, 1.0)


def network(*closing: nn.Module) -> nn.Module:
    linear = nn.Linear(6, 4)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(W.T))
        linear.bias.copy_(torch.from_numpy(B))
    return nn.Sequential(linear, *closing)


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


class Halves(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.tanh(x[:, :2]), torch.sigmoid(x[:, 2:])], dim=1)


class Parts(nn.Module):
    """As ML-Agents closes: clip(x, -3, 3) / 3."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.clip(x, -3, 3) / 3


@pytest.mark.parametrize("closing", [nn.Tanh(), nn.Hardtanh(), nn.Softsign(), Halves(), Parts()], ids=str)
def test_a_network_that_ends_between_one_and_minus_one_is_told(closing: nn.Module) -> None:
    (notice,) = Policy.from_module(network(closing), VECTOR, BOUNDS).origin.notices
    assert "-2 to 2" in notice
    assert "--scale-actions" in notice
    (notice,) = Policy.from_module(network(closing), VECTOR, box((4,), "float32", -np.inf, np.inf)).origin.notices
    assert "no finite action bounds" in notice
    assert Policy.from_module(network(closing), VECTOR, UNIT).origin.notices == ()


QUIET = [
    nn.Identity(),
    nn.ReLU(),
    nn.Sequential(nn.Tanh(), Times(2.0)),
    nn.Sigmoid(),
    nn.Sequential(nn.Tanh(), nn.ELU()),
]


@pytest.mark.parametrize("closing", QUIET, ids=str)
def test_other_ends_are_not_told(closing: nn.Module) -> None:
    assert Policy.from_module(network(closing), VECTOR, BOUNDS).origin.notices == ()


@pytest.mark.parametrize("shape", [(4,), (2, 2)])
def test_scaled_to_the_bounds(shape: tuple[int, ...]) -> None:
    bounds = Box(shape, "float32", BOUNDS.low, BOUNDS.high)
    policy = Policy.from_module(network(nn.Tanh()), VECTOR, bounds, scale_actions=True)
    observations = observe(VECTOR, 50)[""]
    expected = LOW + 0.5 * (np.tanh(observations @ W + B) + 1) * (HIGH - LOW)
    assert np.allclose(run_policy(policy, {"": observations}).reshape(-1, 4), expected, atol=1e-5)
    assert policy.folded() == ("squash", "unscale", "clip")
    assert policy.origin.notices == (
        "The network's actions are scaled from [-1, 1] to the action bounds, as stated (--scale-actions).",
    )
    to_onnx(policy)


def test_what_is_beyond_is_cut_as_if_it_were_cut_before() -> None:
    policy = Policy.from_module(network(), VECTOR, BOUNDS, None, True)
    observations = observe(VECTOR, 50)[""]
    expected = LOW + 0.5 * (np.clip(observations @ W + B, -1, 1) + 1) * (HIGH - LOW)
    assert np.allclose(run_policy(policy, {"": observations}), expected, atol=1e-5)
    assert "are clipped" in policy.origin.notices[0]


@pytest.mark.parametrize("space", [box((4,), "float32", -np.inf, np.inf), Discrete(4), MultiBinary(4)])
def test_what_cannot_be_scaled(space: Box | Discrete | MultiBinary) -> None:
    with pytest.raises(NetworkError, match=r"(?s)--scale-actions.*--env ID"):
        Policy.from_module(network(), VECTOR, space, scale_actions=True)


def test_the_command_line_reaches_the_file(tmp_path: Path) -> None:
    """The hint of the notice is followed, and what was stated is in the policy."""
    path = tmp_path / "actor.onnx"
    nodes = [node("MatMul", "obs v", "h"), node("Tanh", "h", "y")]
    path.write_bytes(model_of(nodes, {"v": W[:3, :1]}, shape=("n", 3)).SerializeToString())
    plain = agent_in_environment(path, env="Pendulum-v1")
    assert any("--scale-actions" in notice for notice in plain.notices)
    stated = agent_in_environment(path, env="Pendulum-v1", overrides=Overrides(scale_actions=True))
    assert any("as stated" in notice for notice in stated.notices)
    rows = observe(box((3,), "float32", -1.0, 1.0), 20)
    assert np.allclose(run_policy(stated.policy, rows), 2 * run_policy(plain.policy, rows), atol=1e-6)


def test_files_that_end_in_several_steps() -> None:
    nodes = [GEMM, node("Clip", "h low high", "c"), node("Div", "c three", "d"), node("Reshape", "d shape", "y")]
    constants = {"low": np.float32(-3), "high": np.float32(3), "three": np.float32(3), "shape": np.int64([-1, 4])}
    assert len(from_onnx(bundle_of(model_of(nodes, constants), VECTOR, BOUNDS)).origin.notices) == 1
