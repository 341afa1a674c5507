from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from branching_modules import policy_of
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from checkpoint_policies import FEATURES, cnn_dqn, dict_td3, observations_of, sac
from policypress.compression.pruning.prune import Prune
from policypress.compression.reconstruction import (
    columns_of,
    damping_of,
    matrix_of,
    moments,
    refit_layer,
    ridge,
    rows_of,
    set_weight,
    spreads,
    weighted,
)
from policypress.compression.step import Context
from policypress.export.parity import to_tensors
from policypress.policy.layers import Conv2d, Linear
from policypress.policy.policy import Policy
from policypress.policy.quantization import LayerQuant, affine_spec


@pytest.mark.parametrize("build", [sac, cnn_dqn, dict_td3])
def test_a_layer_is_its_matrix_times_its_columns(build: Callable[[], Policy]) -> None:
    policy = build()
    with torch.no_grad():
        values = policy.run(to_tensors(observations_of(policy.observation_space, 5)))
    for name, layer in policy.weighted_layers():
        columns = columns_of(layer, values[policy.node(name).inputs[0]]).double()
        assert layer.bias is not None
        torch.testing.assert_close(
            columns @ matrix_of(layer).T + layer.bias.detach(), rows_of(values[name]).double(), rtol=1e-4, atol=1e-4
        )


def test_padding_strides_and_dilation_are_in_the_columns() -> None:
    torch.manual_seed(0)
    layer = Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 1), dilation=(1, 2))
    x = torch.randn(2, 3, 7, 6)
    with torch.no_grad():
        want = rows_of(layer(x))
        got = columns_of(layer, x) @ layer.weight.flatten(1).T + layer.bias
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_columns_are_what_the_quantized_layer_sees() -> None:
    layer = Linear(2, 1)
    layer.quant = LayerQuant(input=affine_spec(0.0, 255.0))
    assert columns_of(layer, torch.tensor([[0.4, 1000.0]])).tolist() == [[0.0, 255.0]]


def test_moments_by_hand() -> None:
    policy = sac((3,))
    observations = observations_of(policy.observation_space, 150)
    name = next(name for name, _ in policy.weighted_layers())
    found = moments(policy, name, observations, lambda batch: policy.run(batch)[name] * 2)
    with torch.no_grad():
        target = 2 * policy.run(to_tensors(observations))[name].double()
    x = torch.from_numpy(observations).double()
    both = torch.cat([x, target], 1).T.cov(correction=0)
    torch.testing.assert_close(found.mean, x.mean(0))
    torch.testing.assert_close(found.target_mean, target.mean(0))
    torch.testing.assert_close(found.covariance, both[:FEATURES, :FEATURES])
    torch.testing.assert_close(found.cross, both[:FEATURES, FEATURES:])
    extra = found.damped - found.covariance
    torch.testing.assert_close(extra, damping_of(found.covariance) * torch.eye(FEATURES).double())


def test_spreads_by_hand() -> None:
    policy = sac((3,))
    observations = observations_of(policy.observation_space, 150)
    name, layer = next(policy.weighted_layers())
    found = spreads(policy, observations)[name]
    x = torch.from_numpy(observations).double()
    y = x @ matrix_of(layer).T
    torch.testing.assert_close(found.mean, x.mean(0))
    torch.testing.assert_close(found.variance, x.var(0, correction=0))
    assert found.given == pytest.approx(float(y.var(0, correction=0).sum()), rel=1e-4)


def test_ridge_without_damping_is_least_squares_and_with_much_stays() -> None:
    rng = torch.Generator().manual_seed(0)
    x, truth = torch.randn(50, 4, generator=rng).double(), torch.randn(3, 4, generator=rng).double()
    covariance, cross, weight = x.T @ x / 50, x.T @ (x @ truth.T) / 50, torch.ones(3, 4).double()
    torch.testing.assert_close(ridge(covariance, cross, weight, 0.0), truth)
    torch.testing.assert_close(ridge(covariance, cross, weight, 1e9), weight)


@given(st.integers(0, 1000), st.integers(1, 12), st.floats(1e-6, 10))
def test_ridge_never_fits_worse(seed: int, samples: int, damping: float) -> None:
    rng = torch.Generator().manual_seed(seed)
    x, target = torch.randn(samples, 6, generator=rng).double(), torch.randn(samples, 2, generator=rng).double()
    weight = torch.randn(2, 6, generator=rng).double()
    solved = ridge(x.T @ x / samples, x.T @ target / samples, weight, damping)
    before, after = ((x @ w.T - target).square().sum() for w in (weight, solved))
    assert after <= before * (1 + 1e-9)


class Bare(nn.Module):
    """Two layers without a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(FEATURES, 6, bias=False), nn.Linear(6, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x) + 1.0))


def test_a_layer_without_a_bias_gets_one() -> None:
    policy = policy_of(Bare())
    name, layer = list(policy.weighted_layers())[-1]
    assert layer.bias is None
    set_weight(layer, layer.weight.detach() * 2, torch.tensor([1.0, 2.0, 3.0]).double())
    assert weighted(policy, name).bias.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("build", [sac, cnn_dqn, dict_td3])
def test_a_refitted_layer_is_nearer_to_the_teacher(build: Callable[[], Policy]) -> None:
    teacher = build()
    observations = observations_of(teacher.observation_space, 96)
    pruned = Prune("l2", 0.5).apply(teacher, Context(observations))
    behind = [name for name, _ in pruned.weighted_layers()][1:]
    for name in behind:
        before = distance(pruned, teacher, name, observations)
        refit_layer(pruned, name, teacher, observations)
        assert distance(pruned, teacher, name, observations) < before


def distance(policy: Policy, teacher: Policy, name: str, observations: np.ndarray) -> float:
    kept = list(policy.kept_channels.get(name, range(len(weighted(policy, name).weight))))
    with torch.no_grad():
        batch = to_tensors(observations)
        return float(F.mse_loss(policy.run(batch)[name], teacher.run(batch)[name][:, kept]))
