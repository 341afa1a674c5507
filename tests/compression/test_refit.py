from __future__ import annotations

import pytest
import torch
from branching_modules import (
    AroundObservation,
    Gate,
    Normed,
    Residual,
    SplitConvolutions,
    image_policy_of,
    policy_of,
)
from hypothesis import given
from hypothesis import strategies as st

from checkpoint_policies import POLICIES, materials_for, observations_of, sac
from policypress.compression.calibration import with_neighbours
from policypress.compression.pipeline import build_artifact
from policypress.compression.pruning.prune import Prune
from policypress.compression.recipe import Recipe
from policypress.compression.refit import Refit
from policypress.compression.step import Context, Observations
from policypress.export.parity import to_tensors
from policypress.policy.folding import fold_affines
from policypress.policy.policy import Policy
from policypress_runtime.errors import RecipeError


def error(policy: Policy, teacher: Policy, name: str, observations: Observations) -> float:
    kept = list(policy.kept_channels.get(name, range(len(policy.layers[name].weight))))
    with torch.no_grad():
        batch = to_tensors(observations)
        return float((policy.run(batch)[name] - teacher.run(batch)[name][:, kept]).double().square().mean())


BRANCHING = {
    "residual": lambda: policy_of(Residual()),
    "around_observation": lambda: policy_of(AroundObservation()),
    "gate": lambda: policy_of(Gate()),
    "normed": lambda: policy_of(Normed()),
}


@pytest.mark.parametrize("criterion", ["l2", "activation", "obs"])
@pytest.mark.parametrize("name", [*POLICIES, *BRANCHING])
def test_the_last_layer_comes_nearer_to_the_fp32_policy(name: str, criterion: str) -> None:
    torch.manual_seed(0)
    teacher = {**POLICIES, **BRANCHING}[name]()
    observations = observations_of(teacher.observation_space, 128)
    context = Context(observations, teacher=teacher)
    pruned = Prune(criterion, 0.5).apply(teacher, context)
    state = {key: value.clone() for key, value in pruned.state_dict().items()}
    refitted = Refit().apply(pruned, context)
    assert all(torch.equal(value, state[key]) for key, value in pruned.state_dict().items())
    whole, seen = fold_affines(teacher), with_neighbours(observations, 0)
    last = [other for other, _ in pruned.weighted_layers()][-1]
    assert error(refitted, whole, last, seen) <= error(pruned, whole, last, seen) * (1 + 1e-3)
    assert refitted.kept_channels == pruned.kept_channels


@given(st.integers(0, 50), st.sampled_from([0.2, 0.5, 0.8]), st.integers(2, 60))
def test_one_layer_never_fits_worse(seed: int, ratio: float, count: int) -> None:
    teacher = sac((16,), seed=seed)
    observations = observations_of(teacher.observation_space, count, seed)
    context = Context(observations, teacher=teacher)
    pruned = Prune("l2", ratio).apply(teacher, context)
    refitted = Refit().apply(pruned, context)
    seen = with_neighbours(observations, 0)
    before, after = (error(policy, teacher, "linear_2", seen) for policy in (pruned, refitted))
    assert after <= before * (1 + 1e-4) + 1e-9


def test_where_nothing_was_pruned_nothing_changes() -> None:
    policy = sac()
    refitted = Refit().apply(policy, Context(observations_of(policy.observation_space, 64), teacher=policy))
    assert all(torch.equal(a, b) for a, b in zip(policy.parameters(), refitted.parameters(), strict=True))
    assert refitted.origin.notices == ("refit did nothing: nothing was pruned before it.",)


def test_layers_before_the_pruned_ones_stay() -> None:
    policy = sac((16, 16))
    context = Context(observations_of(policy.observation_space, 64), teacher=policy)
    pruned = Prune("l2", 0.5).apply(policy, context)
    refitted = Refit().apply(pruned, context)
    assert torch.equal(refitted.layers["linear"].weight, pruned.layers["linear"].weight)
    assert not torch.equal(refitted.layers["linear_3"].weight, pruned.layers["linear_3"].weight)


def test_grouped_convolutions_stay_and_what_follows_is_refitted() -> None:
    torch.manual_seed(0)
    teacher = image_policy_of(SplitConvolutions())
    observations = observations_of(teacher.observation_space, 64)
    context = Context(observations, teacher=teacher)
    pruned = Prune("l2", 0.5).apply(teacher, context)
    refitted = Refit().apply(pruned, context)
    assert torch.equal(refitted.layers["conv_2"].weight, pruned.layers["conv_2"].weight)
    assert error(refitted, teacher, "linear", observations) < error(pruned, teacher, "linear", observations)


def test_it_needs_the_fp32_policy() -> None:
    policy = sac()
    with pytest.raises(RecipeError, match="fp32"):
        Refit().apply(policy, Context(observations_of(policy.observation_space, 8)))


@pytest.mark.parametrize("name", ["sac", "cnn_dqn", "dict_td3", "crossq"])
def test_through_the_pipeline(name: str) -> None:
    policy = POLICIES[name]()
    materials = materials_for(policy, 128)
    plain, refitted = (
        build_artifact(policy, Recipe.parse(text), materials).record
        for text in ("prune(l2, 0.5) > equalize > int8", "prune(l2, 0.5) > refit > equalize > int8")
    )
    assert refitted.parameters == plain.parameters
    assert refitted.action_error is not None
    assert plain.action_error is not None
    assert refitted.action_error < plain.action_error
