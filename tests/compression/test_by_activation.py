from __future__ import annotations

import numpy as np
import pytest
import torch
import torch_pruning
from branching_modules import Gate, SplitConvolutions, image_policy_of, policy_of
from torch import nn

from checkpoint_policies import FEATURES, cnn_dqn, observations_of, sac
from policypress.compression.pruning.by_activation import activation_scores, fold_means, outgoing
from policypress.compression.pruning.groups import PruningGroups
from policypress.compression.pruning.prune import Prune
from policypress.compression.reconstruction import spreads, weighted
from policypress.compression.step import Context
from policypress.export.parity import to_tensors
from policypress.policy.layers import Conv2d, Linear
from policypress.policy.policy import Policy

LIBRARY = torch_pruning.importance.GroupMagnitudeImportance(p=2)


def values_of(policy: Policy, observations: np.ndarray) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return policy.run(to_tensors(observations))


def test_scores_by_hand() -> None:
    policy = sac((6, 5))
    observations = observations_of(policy.observation_space, 200)
    groups = PruningGroups(policy, LIBRARY).groups
    scores = activation_scores(policy, groups, spreads(policy, observations))
    values = values_of(policy, observations)
    for score, read, name in zip(scores, ("activation", "activation_2"), ("linear_2", "linear_3"), strict=True):
        expected = values[read].std(0, correction=0) * weighted(policy, name).weight.norm(dim=0)
        expected /= values[name].var(0, correction=0).sum().sqrt()
        torch.testing.assert_close(score.float(), expected.detach(), rtol=1e-4, atol=1e-6)


def test_what_several_layers_read_counts_for_each() -> None:
    class Forked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.left, self.right = nn.Linear(FEATURES, 4), nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = torch.relu(self.first(x))
            return self.left(h) * torch.sigmoid(self.right(h))

    torch.manual_seed(0)
    policy = policy_of(Forked())
    group = PruningGroups(policy, LIBRARY).groups[0]
    assert len(group.readers) == 2
    spread = spreads(policy, observations_of(policy.observation_space, 100))
    expected = torch.zeros(4).double()
    for name in group.readers:
        layer = weighted(policy, name)
        expected += spread[name].variance * layer.weight.detach().double().square().sum(0) / spread[name].given
    torch.testing.assert_close(activation_scores(policy, [group], spread)[0], expected.sqrt())


def test_outgoing_by_hand() -> None:
    linear = Linear(2, 2)
    convolution = Conv2d(2, 2, (1, 2), groups=2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 0.0]]))
        convolution.weight.copy_(torch.tensor([[[[1.0, 2.0]]], [[[3.0, 4.0]]]]))
    assert outgoing(linear).tolist() == [10.0, 4.0]
    assert outgoing(linear, torch.tensor([1.0, 0.0]).double()).tolist() == [1.0, 4.0]
    assert outgoing(convolution).tolist() == [1.0, 4.0, 9.0, 16.0]


def constant(policy: Policy, name: str, channels: list[int], value: float) -> None:
    """Make some of a layer's channels the same for every observation."""
    layer = weighted(policy, name)
    with torch.no_grad():
        layer.weight[channels] = 0.0
        layer.bias[channels] = value


# Damping counts as variation of every channel, so that ``obs`` may prefer one that hardly varies to a constant one.
@pytest.mark.parametrize(("criterion", "within"), [("activation", 1e-4), ("obs", 2e-3)])
@pytest.mark.parametrize("build", [sac, cnn_dqn])
def test_constant_channels_go_without_a_trace(build: type[Policy], criterion: str, within: float) -> None:
    policy = build()
    for name, layer in policy.weighted_layers():
        if not policy.is_last(name):
            constant(policy, name, list(range(len(layer.weight) // 4)), 3.0)
    observations = observations_of(policy.observation_space, 128)
    pruned = Prune(criterion, 0.25).apply(policy, Context(observations))
    assert pruned.hidden_channels() == pytest.approx(0.75 * policy.hidden_channels())
    with torch.no_grad():
        batch = to_tensors(observations)
        torch.testing.assert_close(pruned.scores(batch), policy.scores(batch), rtol=within, atol=within)


def test_means_are_folded_by_groups_of_a_convolution() -> None:
    torch.manual_seed(0)
    policy = image_policy_of(SplitConvolutions())
    constant(policy, "conv", [0, 4], 2.0)
    observations = observations_of(policy.observation_space, 32)
    want = values_of(policy, observations)[policy.nodes[-1].name]
    found = PruningGroups(policy, LIBRARY)
    spread = spreads(policy, observations)
    none = torch.tensor([], dtype=torch.int64)
    assert int(activation_scores(policy, found.groups, spread)[0].argmin()) == 0
    fold_means(policy, found.groups, [torch.tensor([0]), none], spread)
    found.cut([torch.tensor([0]), none])
    torch.testing.assert_close(values_of(policy, observations)[policy.nodes[-1].name], want, rtol=1e-4, atol=1e-4)


def test_the_mean_is_in_the_bias() -> None:
    policy = policy_of(Gate())
    observations = observations_of(policy.observation_space, 400)
    pruned = Prune("activation", 0.5).apply(policy, Context(observations))
    last = [name for name, _ in policy.weighted_layers()][-1]
    whole, left = values_of(policy, observations)[last], values_of(pruned, observations)[last]
    torch.testing.assert_close(left.mean(0), whole.mean(0), rtol=1e-4, atol=1e-4)
