"""The state of a runtime: carried by it or by the caller, refused where it is not a state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from policypress.measurement.evaluation import runtime_of
from policypress.policy.policy import Policy
from policypress_runtime.contract import Contract, StateSpec
from policypress_runtime.errors import ArtifactError, NoNativeFormError, ObservationError
from policypress_runtime.runtimes.memory import from_caller, refuse_memory
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime
from recurrent_policies import policy_of


@pytest.fixture
def policy() -> Policy:
    torch.manual_seed(0)
    return policy_of("lstm", nn.LSTM(5, 6, 2))


@pytest.fixture
def runtime(policy: Policy) -> OnnxRuntime:
    return runtime_of(policy)


def observations(count: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).normal(size=(count, 5)).astype(np.float32)


def test_act_remembers_until_reset(runtime: OnnxRuntime) -> None:
    first = [runtime.act(row) for row in observations(6)]
    assert not np.array_equal(runtime.act(observations(1)[0]), first[0])
    runtime.reset()
    assert all(not value.any() for value in runtime.state.values())
    for row, action in zip(observations(6), first, strict=True):
        np.testing.assert_array_equal(runtime.act(row), action)


def test_the_state_stays_where_an_observation_is_refused(runtime: OnnxRuntime) -> None:
    runtime.act(observations(1)[0])
    before = runtime.state
    for wrong in (np.full(5, np.nan), np.zeros(4), "text"):
        with pytest.raises(ObservationError):
            runtime.act(wrong)
    for name, value in runtime.state.items():
        np.testing.assert_array_equal(value, before[name])


def test_predict_leaves_what_act_remembers(runtime: OnnxRuntime) -> None:
    runtime.act(observations(1)[0])
    before = runtime.state
    action, state = runtime.predict(observations(3))
    assert action.shape == (3, 6)
    assert state is not None
    assert [part.shape for part in state] == [(2, 3, 6), (2, 3, 6)]
    np.testing.assert_array_equal(runtime.state["h_in"], before["h_in"])
    again, _ = runtime.predict(observations(3), state, np.array([True, True, True]))
    np.testing.assert_array_equal(again, action)


def test_a_batch_needs_its_states(runtime: OnnxRuntime) -> None:
    with pytest.raises(ObservationError, match=r"(?s)has memory.*predict"):
        runtime.act_batch(observations(3))
    with pytest.raises(ObservationError, match="has memory"):
        runtime.run_batch({"": observations(3)})
    whole = {"": observations(3), "h_in": np.zeros((3, 2, 6)), "c_in": np.zeros((3, 2, 6))}
    assert set(runtime.run_batch(whole)) == {"action", "h_out", "c_out"}
    for wrong in (np.zeros((3, 6)), np.full((3, 2, 6), np.inf), "text"):
        with pytest.raises(ObservationError):
            runtime.run_batch({**whole, "c_in": wrong})
    with pytest.raises(ObservationError, match="numbers of rows"):
        runtime.run_batch({**whole, "c_in": np.zeros((2, 2, 6))})


@pytest.mark.parametrize("state", [3, (), (np.zeros((2, 3, 6)),), (np.zeros((2, 3, 6)), np.zeros((3, 2, 6)))])
def test_what_is_no_state_of_the_policy(runtime: OnnxRuntime, state: Any) -> None:
    with pytest.raises(ObservationError):
        runtime.predict(observations(3), state)


def test_starts_are_one_for_each_row(runtime: OnnxRuntime) -> None:
    _, state = runtime.predict(observations(3))
    with pytest.raises(ObservationError, match="episode_start"):
        runtime.predict(observations(3), state, np.zeros(2))
    with pytest.raises(ObservationError, match="no action masks"):
        runtime.predict(observations(3), state, action_masks=np.ones(6))


def test_a_state_may_begin_elsewhere_than_at_zero() -> None:
    spec = StateSpec("h", "h'", (2,), (1.0, -2.0))
    np.testing.assert_array_equal(spec.start(2), [[1, -2], [1, -2]])
    found = from_caller((np.array([[5.0, 6.0], [7.0, 8.0]]),), (spec,), 2, [False, True])
    np.testing.assert_array_equal(found["h"], [[5, 6], [1, -2]])


def test_runtimes_without_a_memory_refuse(runtime: OnnxRuntime) -> None:
    with pytest.raises(NoNativeFormError, match=r"(?s)something.*h_in, c_in.*onnxruntime"):
        refuse_memory(runtime.contract, "something")


def test_the_contract_has_the_schema_that_says_it(runtime: OnnxRuntime) -> None:
    contract = runtime.contract
    assert contract.to_json()["schema"] == 2
    assert Contract.from_json(contract.to_json()) == contract
    assert [(s.name, s.next_name, s.shape) for s in contract.state] == [
        ("h_in", "h_out", (2, 6)),
        ("c_in", "c_out", (2, 6)),
    ]
    plain = {**contract.to_json(), "schema": 1}
    assert Contract.from_json(plain).state == ()
    assert "state" not in Contract.from_json(plain).to_json()
    wrong = contract.to_json()
    wrong["state"][0]["initial"] = [1.0]  # type: ignore[index]
    with pytest.raises(ArtifactError):
        Contract.from_json(wrong)
