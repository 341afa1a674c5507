"""The gate of other runtimes: single steps and whole episodes, of policies that have units left out too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from policypress.compression.pipeline import build_artifact
from policypress.compression.recipe import Recipe
from policypress.export.runtime_gate import check_runtime, fitting
from policypress.policy.policy import Policy
from policypress_runtime.errors import ParityError
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime
from recurrent_policies import INPUTS, data_of, unbounded


class Headed(nn.Module):
    """A GRU whose units may go, since a layer reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.memory, self.mu = nn.GRU(INPUTS, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        out, after = self.memory(x[None], h)
        return self.mu(out[0]), after


@pytest.fixture(scope="module")
def policy() -> Policy:
    torch.manual_seed(0)
    start = {"h_in": torch.zeros(1, 1, 6)}
    return Policy.from_module(Headed(), unbounded(INPUTS), unbounded(2), state=start)


class Slipping:
    """Acts as the file does, but for what it leaves in the state after it has met some observations."""

    def __init__(self, model: bytes) -> None:
        self.runtime = OnnxRuntime(model)
        self.contract = self.runtime.contract

    def run_batch(self, observations: Any) -> Mapping[str, np.ndarray]:
        found = self.runtime.run_batch(observations)
        return {**found, "h_out": found["h_out"] * np.float32(-3.0 if len(found["action"]) == 1 else 1.0)}


def test_units_that_are_left_out_are_no_hindrance(policy: Policy) -> None:
    data = data_of(policy)
    built = build_artifact(policy, Recipe.parse("prune(l1,0.5)"), data).artifact
    runtime = OnnxRuntime(built.model)
    assert runtime.contract.state[0].shape == (1, 3)
    met = fitting(data.parity, built.model, runtime.contract)
    assert met["h_in"].shape == (len(data.parity[""]), 1, 3)
    np.testing.assert_array_equal(met[""], data.parity[""])
    assert fitting(met, built.model, runtime.contract) is met
    for proven in (built.policy, None):
        assert check_runtime(proven, built.model, runtime, data.parity, data.episodes).of_allowed <= 1


def test_single_steps_do_not_show_everything(policy: Policy) -> None:
    data = data_of(policy)
    model = build_artifact(policy, Recipe.parse("none"), data).artifact.model
    check_runtime(policy, model, Slipping(model), data.parity)
    for proven in (policy, None):
        with pytest.raises(ParityError):
            check_runtime(proven, model, Slipping(model), data.parity, data.episodes)
