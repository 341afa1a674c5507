from __future__ import annotations

import pytest
import torch
import torch_pruning
from branching_modules import AroundObservation, Normed, Residual, SplitConvolutions, image_policy_of, policy_of

from checkpoint_policies import cnn_dqn, observations_of, sac
from policypress.compression.pruning.groups import PruningGroups, dropped_columns
from policypress.compression.reconstruction import weighted
from policypress.export.parity import to_tensors
from policypress.policy.layers import Linear
from policypress.policy.policy import Policy


def groups_of(policy: Policy) -> PruningGroups:
    return PruningGroups(policy, torch_pruning.importance.GroupMagnitudeImportance(p=2))


def test_a_chain_has_a_group_per_hidden_layer() -> None:
    found = groups_of(sac((5, 4))).groups
    assert [(group.units, list(group.producers), list(group.readers)) for group in found] == [
        (5, ["linear"], ["linear_2"]),
        (4, ["linear_2"], ["linear_3"]),
    ]
    for group in found:
        ((name, features),) = group.readers.items()
        assert features.tolist() == [[unit] for unit in range(group.units)]
        assert not group.mixed
        assert torch.equal(group.columns(name, Linear(group.units, 1)), features)


def test_columns_of_convolutions_and_behind_a_flatten_are_blocks() -> None:
    policy = cnn_dqn()
    groups = groups_of(policy)
    blocks = [
        group.columns(name, weighted(policy, name))[1].tolist() for group in groups.groups for name in group.readers
    ]
    # A 3 × 3 kernel, then 4 × 4 places behind the flatten, then single columns.
    assert blocks[:3] == [list(range(9, 18)), list(range(16, 32)), [1]]


def test_terms_of_a_sum_are_one_group_and_parts_of_a_join_are_two() -> None:
    (joined,) = groups_of(policy_of(Residual())).groups
    assert list(joined.producers) == ["linear_2", "linear"]
    assert list(joined.readers) == ["linear_3", "linear_2"]
    left, right = groups_of(policy_of(AroundObservation())).groups
    assert left.readers["linear_3"][:, 0].tolist() == list(range(16))
    assert right.readers["linear_3"][:, 0].tolist() == list(range(24, 40))


def test_what_mixes_channels_is_seen() -> None:
    assert [group.mixed for group in groups_of(policy_of(Normed())).groups] == [True]
    split = groups_of(image_policy_of(SplitConvolutions())).groups
    assert [(group.units, group.folds, group.mixed) for group in split] == [(4, 2, True), (3, 2, False)]
    assert [list(map(int, row)) for row in split[0].producers["conv"]] == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_cutting_records_what_is_left() -> None:
    policy = sac((5, 4))
    found = groups_of(policy)
    lost = dropped_columns(policy, found.groups, [torch.tensor([0, 3]), torch.tensor([1])])
    assert {name: columns.tolist() for name, columns in lost.items()} == {"linear_2": [0, 3], "linear_3": [1]}
    found.cut([torch.tensor([0, 3]), torch.tensor([1])])
    assert policy.kept_channels == {"linear": (1, 2, 4), "linear_2": (0, 2, 3)}
    again = groups_of(policy)
    again.cut([torch.tensor([1]), torch.tensor([], dtype=torch.int64)])
    assert policy.kept_channels == {"linear": (1, 4), "linear_2": (0, 2, 3)}
    assert policy.clone().kept_channels == policy.kept_channels


def test_anchors_do_not_stay() -> None:
    policy = policy_of(AroundObservation())
    before = [node.name for node in policy.nodes]
    with torch.no_grad():
        want = policy(to_tensors(observations_of(policy.observation_space, 8)))
    found = groups_of(policy)
    assert len(policy.nodes) > len(before)
    found.cut([torch.tensor([], dtype=torch.int64)] * 2)
    assert [node.name for node in policy.nodes] == before
    with torch.no_grad():
        torch.testing.assert_close(policy(to_tensors(observations_of(policy.observation_space, 8))), want)


def test_magnitude_is_the_librarys() -> None:
    policy = sac((5, 4))
    found = groups_of(policy)
    first, second, _ = (layer.weight.detach() for _, layer in policy.weighted_layers())
    importance = (first.square().sum(1) + second.square().sum(0)) / 2
    assert found.magnitude(found.groups[0]).tolist() == pytest.approx((importance / importance.mean()).tolist())
