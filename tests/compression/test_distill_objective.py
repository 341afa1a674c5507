from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from checkpoint_policies import POLICIES, dqn, multi_discrete_ppo, normalised_ppo, observations_of, sac
from policypress.compression.distillation.objective import (
    RAW_LIMIT,
    RAW_WEIGHT,
    ActionObjective,
    ScoreObjective,
    before_saturation,
    objective_of,
)
from policypress.export.parity import to_tensors
from policypress.policy.policy import Policy
from policypress_runtime.contract import MultiBinary, box


def bits_policy() -> Policy:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
    return Policy.from_module(module, box((8,), "float32", -np.inf, np.inf), MultiBinary(3))


@pytest.mark.parametrize("build", [*POLICIES.values(), bits_policy])
def test_the_teacher_itself_has_nothing_to_learn(build: type[Policy]) -> None:
    policy = build()
    observations = observations_of(policy.observation_space, 64)
    objective = objective_of(policy, observations)
    with torch.no_grad():
        rows = objective.rows(policy, policy.run(to_tensors(observations)))
    assert rows.shape[0] == 64
    assert float(objective.loss(rows, rows)) == 0.0
    assert float(objective.loss(rows + torch.randn_like(rows), rows)) != 0.0


@pytest.mark.parametrize("build", [*POLICIES.values(), bits_policy])
def test_the_error_is_none_of_oneself_and_some_of_another(build: type[Policy]) -> None:
    policy = build()
    observations = observations_of(policy.observation_space, 64)
    objective = objective_of(policy, observations)
    with torch.no_grad():
        rows = objective.rows(policy, policy.run(to_tensors(observations)))
    assert objective.error(rows, rows) == 0.0
    assert objective.error(torch.randn_like(rows), rows) > 0.0


def test_the_error_of_an_action_is_a_share_of_its_range() -> None:
    policy = sac()
    observations = observations_of(policy.observation_space, 32)
    objective = objective_of(policy, observations)
    with torch.no_grad():
        rows = objective.rows(policy, policy.run(to_tensors(observations)))
    moved = rows.clone()
    moved[:, 0] += 0.3  # of half the range of one action of three; what comes before it saturates does not count
    moved[:, 3:] += 1.0
    assert objective.error(moved, rows) == pytest.approx(0.15 / 3, rel=1e-4)


def test_the_error_of_choices_is_the_share_that_differs() -> None:
    policy = multi_discrete_ppo()
    observations = observations_of(policy.observation_space, 16)
    objective = objective_of(policy, observations)
    with torch.no_grad():
        rows = objective.rows(policy, policy.run(to_tensors(observations)))
    other = rows.clone()
    other[:4, :3] = rows[:4, :3].roll(1, dims=1)
    assert objective.error(other, rows) == pytest.approx(4 / 32)


def test_action_and_the_value_before_it_saturates() -> None:
    policy = sac()
    observations = observations_of(policy.observation_space, 32)
    with torch.no_grad():
        values = policy.run(to_tensors(observations))
    objective = objective_of(policy, observations)
    rows = objective.rows(policy, values)
    raw = values["linear_3"]
    torch.testing.assert_close(rows[:, :3], raw.tanh())
    torch.testing.assert_close(rows[:, 3:], raw.clamp(-RAW_LIMIT, RAW_LIMIT) * math.sqrt(RAW_WEIGHT))
    other = torch.zeros_like(rows)
    want = rows[:, :3].square().mean() + RAW_WEIGHT * raw.clamp(-RAW_LIMIT, RAW_LIMIT).square().mean()
    torch.testing.assert_close(objective.loss(other, rows), want)
    assert objective.units() is None


def test_a_clipped_action_is_in_units_of_half_its_range() -> None:
    policy = normalised_ppo()
    objective = objective_of(policy, observations_of(policy.observation_space, 32))
    assert before_saturation(policy) == ("linear_3", False)
    units = objective.units()
    assert units is not None
    assert units[0].tolist() == [1.0, 2.0, 2.0]
    assert units[1].tolist() == [0.0, 0.0, 2.0]


def test_an_unbounded_action_is_in_units_of_its_deviation() -> None:
    module = nn.Linear(8, 2)
    policy = Policy.from_module(module, box((8,), "float32", -np.inf, np.inf), box((2,), "float32", -np.inf, np.inf))
    observations = observations_of(policy.observation_space, 200)
    objective = objective_of(policy, observations)
    assert isinstance(objective, ActionObjective)
    with torch.no_grad():
        rows = objective.rows(policy, policy.run(to_tensors(observations)))
    assert rows.shape == (200, 2)
    torch.testing.assert_close(rows.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(rows.std(0, correction=0), torch.ones(2))


def test_what_scores_have_in_common_does_not_count() -> None:
    low, high = dqn(level=0.0), dqn(level=300.0)
    observations = observations_of(low.observation_space, 64)
    objective = objective_of(low, observations)
    batch = to_tensors(observations)
    with torch.no_grad():
        rows, shifted = (objective.rows(policy, policy.run(batch)) for policy in (low, high))
    assert float(objective.loss(shifted, rows)) == pytest.approx(0.0, abs=1e-5)


def test_the_temperature_is_the_median_gap() -> None:
    scores = torch.tensor([[5.0, 4.0, 0.0, 0.0], [0.0, 2.0, 9.0, 7.0], [1.0, 0.0, 0.0, -3.0]])
    objective = ScoreObjective(dqn(), scores)
    assert objective.temperature == 1.0
    assert ScoreObjective(dqn(), scores * 100).temperature == 100.0
    assert ScoreObjective(dqn(), torch.zeros(3, 4)).temperature == 1.0
    units = objective.units()
    assert units is not None
    assert units[0].tolist() == [1.0] * 4


def test_each_choice_counts_alone() -> None:
    policy = multi_discrete_ppo()
    observations = observations_of(policy.observation_space, 16)
    objective = objective_of(policy, observations)
    with torch.no_grad():
        rows = objective.rows(policy, policy.run(to_tensors(observations)))
    torch.testing.assert_close(rows[:, :3].exp().sum(1), torch.ones(16))
    torch.testing.assert_close(rows[:, 3:].exp().sum(1), torch.ones(16))


def test_a_bit_is_a_choice_between_nothing_and_its_logit() -> None:
    policy = bits_policy()
    observations = observations_of(policy.observation_space, 101)
    objective = objective_of(policy, observations)
    assert isinstance(objective, ScoreObjective)
    with torch.no_grad():
        values = policy.run(to_tensors(observations))
        rows = objective.rows(policy, values)
    logits = values[policy.scores_node or ""] / objective.temperature
    assert float(logits.abs().median()) == pytest.approx(1.0)
    torch.testing.assert_close(rows[:, 1::2].exp(), torch.sigmoid(logits))
