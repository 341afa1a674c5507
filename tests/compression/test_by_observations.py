from __future__ import annotations

import math

import pytest
import torch
import torch_pruning
from branching_modules import AroundObservation, Normed, policy_of
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from checkpoint_policies import cnn_dqn, dqn, normalised_ppo, observations_of, sac
from policypress.compression.pruning.by_observations import Elimination, Reader, decisive, sensitivities
from policypress.compression.pruning.groups import PruningGroups
from policypress.compression.pruning.prune import Prune
from policypress.compression.reconstruction import DAMPING, bias_of, matrix_of, moments, ridge, weighted
from policypress.compression.step import Context
from policypress.export.parity import to_tensors
from policypress.policy.policy import Policy

LIBRARY = torch_pruning.importance.GroupMagnitudeImportance(p=2)


def reader_of(seed: int, rows: int = 3, columns: int = 6) -> tuple[Reader, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(40, columns, generator=rng).double()
    covariance = x.T @ x / 40
    weight, mean = torch.randn(rows, columns, generator=rng).double(), torch.randn(columns, generator=rng).double()
    sensitivity = torch.rand(rows, generator=rng).double()
    return Reader(weight, torch.linalg.inv(covariance), mean, sensitivity, torch.zeros(rows).double()), covariance


def test_removal_by_hand() -> None:
    """Two columns of variance 1 and covariance ½: what is left takes over half of what goes."""
    covariance = torch.tensor([[1.0, 0.5], [0.5, 1.0]]).double()
    reader = Reader(
        torch.tensor([[2.0, 1.0]]).double(),
        torch.linalg.inv(covariance),
        torch.tensor([10.0, 20.0]).double(),
        torch.ones(1).double(),
        torch.zeros(1).double(),
    )
    # ΔE = w² (1 − ½²)
    assert reader.costs(torch.tensor([[0], [1]])).tolist() == pytest.approx([3.0, 0.75])
    reader.remove(torch.tensor([1]))
    assert reader.weight.tolist()[0] == pytest.approx([2.5, 0.0])
    assert float(reader.bias) == pytest.approx(2 * 10 + 1 * 20 - 2.5 * 10)
    # What is left costs what it gives: w² · variance.
    assert float(reader.costs(torch.tensor([[0]]))) == pytest.approx(2.5**2)


@given(st.integers(0, 1000), st.sampled_from([1, 2, 3]))
def test_the_cost_is_the_least_error_of_all_weights_that_are_left(seed: int, width: int) -> None:
    reader, covariance = reader_of(seed)
    before = reader.weight.clone()
    blocks = torch.arange(6).reshape(-1, width)
    for block, cost in zip(blocks, reader.costs(blocks), strict=True):
        kept = [column for column in range(6) if column not in block.tolist()]
        best = torch.linalg.solve(covariance[kept][:, kept], covariance[kept] @ before.T).T
        error = -before
        error[:, kept] += best
        assert float(((error @ covariance) * error).sum(1) @ reader.sensitivity) == pytest.approx(float(cost))
    chosen = blocks[int(reader.costs(blocks).argmin())]
    kept = [column for column in range(6) if column not in chosen.tolist()]
    reader.remove(chosen)
    best = torch.linalg.solve(covariance[kept][:, kept], covariance[kept] @ before.T).T
    torch.testing.assert_close(reader.weight[:, kept], best)
    torch.testing.assert_close(
        reader.inverse[kept][:, kept], torch.linalg.inv(covariance[kept][:, kept]), rtol=1e-6, atol=1e-8
    )


def test_removing_one_after_another_is_the_ridge_refit_of_what_is_left() -> None:
    """With its damping: the closed form of elimination and that of the refit agree."""
    policy = sac((12, 10))
    observations = observations_of(policy.observation_space, 200)
    found = PruningGroups(policy.clone(), LIBRARY)
    elimination = Elimination(found.policy, found.groups, observations)
    dropped = elimination.run([5, 4])
    assert [len(units) for units in dropped] == [5, 4]
    reader = elimination.readers["linear_3"]
    kept = [column for column in range(10) if column not in dropped[1].tolist()]
    first = moments(policy, "linear_3", observations)
    gram = first.damped[kept][:, kept]
    weight = torch.linalg.solve(gram, first.damped[kept] @ matrix_of(weighted(policy, "linear_3")).T).T
    torch.testing.assert_close(reader.weight[:, kept], weight, rtol=1e-6, atol=1e-8)


def test_the_action_error_is_below_that_of_plain_ranking() -> None:
    policy = sac((40, 40))
    observations = observations_of(policy.observation_space, 800)
    errors = {}
    for criterion in ("l2", "activation", "obs"):
        pruned = Prune(criterion, 0.5).apply(policy, Context(observations))
        with torch.no_grad():
            batch = to_tensors(observations_of(policy.observation_space, 400, 7))
            errors[criterion] = float((pruned(batch) - policy(batch)).square().mean())
    assert errors["obs"] < 0.6 * errors["activation"] < errors["l2"]


def test_sensitivity_by_finite_differences() -> None:
    policy = sac((6, 5))
    observations = observations_of(policy.observation_space, 40)
    found = sensitivities(policy, observations)
    double = policy.clone().double()
    batch = to_tensors(observations)
    with torch.no_grad():
        values = double.run(batch)
        for name, layer in double.weighted_layers():
            for row in range(len(layer.weight)):
                step = torch.zeros_like(values[name])
                step[:, row] = 1e-5
                moved = double.replay(values, name, values[name] + step)
                slope = (decisive(double, moved) - decisive(double, values)) / 1e-5
                expected = float(slope.square().sum(1).mean())
                assert float(found[name][row]) == pytest.approx(
                    expected, rel=2e-2, abs=1e-3 * float(found[name].mean())
                )


@pytest.mark.parametrize("build", [sac, dqn, normalised_ppo, cnn_dqn])
def test_sensitivities_are_positive_and_finite(build: type[Policy]) -> None:
    policy = build()
    found = sensitivities(policy, observations_of(policy.observation_space, 16))
    assert found.keys() == {name for name, _ in policy.weighted_layers()}
    assert all(bool((part > 0).all()) and bool(part.isfinite().all()) for part in found.values())


def test_decisions_have_no_common_part() -> None:
    policy = dqn(level=1e4)
    with torch.no_grad():
        values = policy.run(to_tensors(observations_of(policy.observation_space, 8)))
    torch.testing.assert_close(decisive(policy, values).sum(1), torch.zeros(8), rtol=0, atol=2e-2)
    with torch.no_grad():
        policy = sac()
        values = policy.run(to_tensors(observations_of(policy.observation_space, 8)))
    # Actions in units of their ranges, 2, 4 and 4.
    expected = values["unscale"] / torch.tensor([2.0, 4.0, 4.0])
    torch.testing.assert_close(decisive(policy, values).float(), expected)


def test_where_no_decision_depends_on_a_layer_all_rows_are_alike() -> None:
    policy = sac((6, 5))
    with torch.no_grad():
        weighted(policy, "linear_3").weight.zero_()
    found = sensitivities(policy, observations_of(policy.observation_space, 16))
    assert found["linear"].tolist() == [1.0] * 6


def test_a_reader_of_two_groups_makes_up_for_both() -> None:
    torch.manual_seed(0)
    policy = policy_of(AroundObservation())
    observations = observations_of(policy.observation_space, 300)
    pruned = Prune("obs", 0.5).apply(policy, Context(observations))
    ranked = Prune("activation", 0.5).apply(policy, Context(observations))
    with torch.no_grad():
        batch = to_tensors(observations)
        errors = [float((other(batch) - policy(batch)).square().mean()) for other in (pruned, ranked)]
    assert errors[0] < errors[1]


def test_a_normalised_layer_is_ranked_and_refitted_and_it_is_said() -> None:
    torch.manual_seed(0)
    policy = policy_of(Normed())
    observations = observations_of(policy.observation_space, 300)
    pruned = Prune("obs", 0.5).apply(policy, Context(observations))
    assert pruned.hidden_channels() == 8
    assert "linear_2" in pruned.origin.notices[-1]
    assert policy.origin.notices == ()
    ranked = Prune("activation", 0.5).apply(policy, Context(observations))
    with torch.no_grad():
        batch = to_tensors(observations)
        errors = [float((other(batch) - policy(batch)).square().mean()) for other in (pruned, ranked)]
    assert errors[0] < errors[1]


def test_damping_is_that_of_the_refit() -> None:
    policy = sac((12, 10))
    observations = observations_of(policy.observation_space, 100)
    found = moments(policy, "linear_2", observations)
    reader = Elimination(policy, PruningGroups(policy, LIBRARY).groups, observations).readers["linear_2"]
    share = float((torch.linalg.inv(reader.inverse) - found.covariance).diagonal().mean())
    assert share == pytest.approx(DAMPING * float(found.covariance.diagonal().mean()), rel=1e-4)
    assert math.isclose(float(reader.bias[0]), float(bias_of(weighted(policy, "linear_2"))[0]))
    same = ridge(found.covariance, found.cross, matrix_of(weighted(policy, "linear_2")), share)
    torch.testing.assert_close(same, reader.weight, rtol=1e-3, atol=1e-5)
