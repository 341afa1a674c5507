"""Parity of policies with memory: one step with its states, and drift over whole episodes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from policypress.compression.pipeline import build_artifact
from policypress.compression.recipe import Recipe
from policypress.export.drift import check_drift
from policypress.export.parity import check_parity, compared
from policypress.measurement.evaluation import model_of
from policypress.policy.policy import Policy
from policypress.policy.recurrence.cells import Kind
from policypress_runtime.errors import NetworkError, ParityError
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime
from recurrent_policies import MODULES, data_of, policy_of


@pytest.fixture(params=["lstm", "gru", "rnn_tanh"])
def policy(request: pytest.FixtureRequest) -> Policy:
    torch.manual_seed(0)
    kind: Kind = request.param
    return policy_of(kind, MODULES[kind](num_layers=2))


@pytest.mark.parametrize("recipe", ["none", "equalize > int8", "gptq(4)"])
def test_what_is_written_follows_the_policy(policy: Policy, recipe: str) -> None:
    built = build_artifact(policy, Recipe.parse(recipe), data_of(policy))
    assert built.artifact.parity.of_allowed <= 1
    assert built.artifact.contract.state == tuple(state.spec for state in policy.states)
    assert compared(built.artifact.contract)[0] == "action"
    if recipe != "none":
        assert built.record.packed_bytes < 0.8 * 4 * policy.parameter_count()


@pytest.mark.parametrize("recipe", ["ptdq", "ptsq"])
def test_the_quantizers_of_onnx_runtime(policy: Policy, recipe: str) -> None:
    built = build_artifact(policy, Recipe.parse(recipe), data_of(policy))
    assert set(OnnxRuntime(built.artifact.model).state) == set(policy.state_names)


@pytest.mark.parametrize("recipe", ["distill(dagger, w=8, a=8)", "equalize > qat"])
def test_what_cannot_treat_a_memory_says_so(policy: Policy, recipe: str) -> None:
    with pytest.raises(NetworkError, match="memory"):
        build_artifact(policy, Recipe.parse(recipe), data_of(policy))


def test_a_file_that_forgets_is_refused(policy: Policy) -> None:
    data = data_of(policy)
    model = onnx.load_from_string(model_of(policy))
    check_parity(policy, model.SerializeToString(), data.parity)
    check_drift(policy, model.SerializeToString(), data.episodes)
    weight = max((t for t in model.graph.initializer if "state_gates" in t.name), key=lambda t: len(t.raw_data))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.01), weight.name))
    with pytest.raises(ParityError):
        check_parity(policy, model.SerializeToString(), data.parity)
    with pytest.raises(ParityError):
        check_drift(policy, model.SerializeToString(), data.episodes)


def test_a_runtime_is_compared_with_the_file_where_there_is_no_policy(policy: Policy) -> None:
    data, model = data_of(policy), model_of(policy)
    report = check_drift(None, model, data.episodes, OnnxRuntime(model))
    assert (report.steps, report.max_error) == (130, 0.0)
    other = model_of(policy_of("lstm", nn.LSTM(5, 6, 2)))
    if len(policy.states) == 2:
        with pytest.raises(ParityError):
            check_drift(None, model, data.episodes, OnnxRuntime(other))
