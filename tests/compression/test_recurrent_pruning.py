"""Pruning of recurrent units: gates, state and readers together, and what is left computes what it should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from policypress.compression.pipeline import build_artifact
from policypress.compression.recipe import Recipe
from policypress.compression.recurrence.unit_groups import UnitGroups
from policypress.policy.policy import Policy
from policypress.policy.recurrence.cells import Kind
from policypress_runtime.errors import NetworkError
from recurrent_policies import HIDDEN, MODULES, data_of, policy_of, unbounded


class Actor(nn.Module):
    """An encoder, recurrent layers and a head with a hidden layer."""

    def __init__(self, kind: str = "lstm", count: int = 1) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(5, 7), nn.ELU())
        self.memory = {"lstm": nn.LSTM, "gru": nn.GRU}[kind](7, 8, count)
        self.head = nn.Sequential(nn.Linear(8, 9), nn.Tanh(), nn.Linear(9, 2))

    def forward(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        given = states if len(states) > 1 else states[0]
        y, after = self.memory(self.encoder(x)[None], given)
        return (self.head(y[0]), *(after if isinstance(after, tuple) else (after,)))


def actor(kind: str = "lstm", count: int = 1) -> Policy:
    torch.manual_seed(0)
    names = ("h_in", "c_in") if kind == "lstm" else ("h_in",)
    states = {name: torch.zeros(count, 1, 8) for name in names}
    return Policy.from_module(Actor(kind, count), unbounded(5), unbounded(2), state=states)


def test_a_unit_has_its_gates_and_its_state() -> None:
    groups = UnitGroups(actor(), 2).groups
    rows = [{name: part.shape[1] for name, part in group.producers.items()} for group in groups]
    assert [group.units for group in groups] == [7, 8, 9]
    assert sorted(rows[1].values()) == [4, 4]
    assert [sum(part.shape[1] for part in group.readers.values()) for group in groups] == [1, 2, 1]
    assert bool((UnitGroups(actor(), 1).magnitude(groups[1]) > 0).all())


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("count", [1, 2])
def test_units_that_do_nothing_can_be_taken_away(kind: str, count: int) -> None:
    """With the outgoing weights of some units at 0, the policy is the same without them."""
    policy = actor(kind, count)
    found = UnitGroups(policy, 2)
    dropped = [
        torch.tensor([1, 4]) if group.units == 8 else torch.tensor([], dtype=torch.int64) for group in found.groups
    ]
    with torch.no_grad():
        for group, units in zip(found.groups, dropped, strict=True):
            for name, columns in group.readers.items():
                policy.layers[name].weight[:, columns[units].flatten()] = 0.0  # type: ignore[index, union-attr]
    whole = policy.clone()
    UnitGroups(policy, 2).cut(dropped)
    assert [s.spec.shape for s in policy.states] == [(count, 6)] * len(policy.states)
    assert policy.kept_states["h_in"] == (tuple(range(count)), (0, 2, 3, 5, 6, 7))
    state, fewer = whole.initial_state(3), policy.initial_state(3)
    with torch.no_grad():
        for _ in range(30):
            x = torch.randn(3, 5)
            want, state = whole.step(x, state)
            got, fewer = policy.step(x, fewer)
            torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("criterion", ["l1", "l2", "activation", "obs"])
def test_a_pruned_policy_is_written_and_proven(criterion: str) -> None:
    policy = actor()
    built = build_artifact(policy, Recipe.parse(f"prune({criterion}, 0.5) > equalize > int8"), data_of(policy))
    assert [spec.shape for spec in built.artifact.contract.state] == [(1, 4), (1, 4)]
    assert built.record.parameters < 0.5 * policy.parameter_count()
    assert built.record.channel_ratio == pytest.approx(0.5, abs=0.05)


def test_refit_says_that_it_does_nothing() -> None:
    policy = actor("gru")
    built = build_artifact(policy, Recipe.parse("prune(l2, 0.3) > refit > int8"), data_of(policy))
    assert any("refit did nothing" in notice for notice in built.record.notices)


def test_gates_take_four_bits() -> None:
    policy = actor()
    built = build_artifact(policy, Recipe.parse("gptq(4, storage=int4)"), data_of(policy))
    eight = build_artifact(policy, Recipe.parse("gptq(8)"), data_of(policy))
    assert built.record.packed_bytes < 0.85 * eight.record.packed_bytes


def test_what_only_an_action_is_made_of_is_not_pruned() -> None:
    kind: Kind = "gru"
    policy = policy_of(kind, MODULES[kind]())
    assert UnitGroups(policy, 2).groups == []
    with pytest.raises(NetworkError, match="nothing to remove"):
        build_artifact(policy, Recipe.parse("prune(l2, 0.5)"), data_of(policy))
    assert np.prod([s.spec.shape for s in policy.states]) == HIDDEN
