"""One step of every recurrent cell against ``torch.nn``'s over whole sequences."""

from __future__ import annotations

import pytest
import torch

from policypress.policy.identity import fingerprint
from policypress.policy.importers.fusion import new_linear
from policypress.policy.policy import GraphBuilder, State
from policypress.policy.recurrence.cells import Kind, state_specs
from policypress_runtime.errors import NetworkError, ObservationError
from recurrent_policies import MODULES, policy_of, unbounded


@pytest.mark.parametrize("kind", MODULES)
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_a_step_is_that_of_torch(kind: Kind, count: int, bias: bool) -> None:
    torch.manual_seed(0)
    module = MODULES[kind](num_layers=count, bias=bias)
    policy, sequence = policy_of(kind, module), torch.randn(50, 4, 5)
    state = policy.initial_state(4)
    with torch.no_grad():
        want, last = module(sequence)
        for observation, expected in zip(sequence, want, strict=True):
            action, state = policy.step(observation, state)
            torch.testing.assert_close(action, expected, rtol=1e-5, atol=1e-5)
    tops = last if isinstance(last, tuple) else (last,)
    for got, expected in zip(state.values(), tops, strict=True):
        torch.testing.assert_close(got, expected.transpose(0, 1), rtol=1e-5, atol=1e-5)


def test_without_its_state_nothing_is_computed() -> None:
    policy = policy_of("lstm", MODULES["lstm"]())
    with pytest.raises(ObservationError, match=r"(?s)has memory.*h_in, c_in"):
        policy(torch.zeros(2, 5))
    with pytest.raises(ObservationError, match="has memory"):
        policy({"": torch.zeros(2, 5), "h_in": torch.zeros(2, 1, 6)})
    with pytest.raises(ObservationError, match="wrong shape"):
        policy.step(torch.zeros(2, 5), {"h_in": torch.zeros(2, 6), "c_in": torch.zeros(2, 1, 6)})
    assert policy.macs() == 4 * 6 * (5 + 6)
    assert not any(policy.is_last(name) for name, _ in policy.weighted_layers())


def test_the_state_is_part_of_the_identity() -> None:
    torch.manual_seed(0)
    module = MODULES["gru"]()
    one, other = policy_of("gru", module), policy_of("gru", module)
    assert fingerprint(one) == fingerprint(other)
    (state,) = other.states
    other.states = (State(state.spec, other.nodes[0].name),)
    assert fingerprint(one) != fingerprint(other)


def test_a_state_has_a_name_of_its_own() -> None:
    graph = GraphBuilder()
    node = graph.add("linear", new_linear(torch.zeros(5, 5), None), "observation")
    (spec,) = state_specs("gru", 1, 5, [("observation", "h_out")])
    with pytest.raises(NetworkError, match="name of something else"):
        graph.policy(unbounded(5), unbounded(5), None, states=(State(spec, node),))
