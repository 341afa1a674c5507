"""The bound of float32 rounding holds on random networks and far observations, and is tight where values are small."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_policies import ACTIONS, KINDS, VECTOR, mlp, observations_of, quantized, tensors_of

from policypress.policy import layers
from policypress.policy.policy import GraphBuilder, Policy
from policypress.policy.rounding import rounding_bound
from policypress_runtime.contract import box

FREE = box((2,), "float32", -np.inf, np.inf)


def network(widths: list[int], activation: str, gain: float, seed: int, norm: bool = False) -> Policy:
    graph, value, rng = GraphBuilder(), "observation", np.random.default_rng(seed)
    for index, (width, wide) in enumerate(itertools.pairwise(widths)):
        layer = layers.Linear(width, wide)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(gain * rng.normal(size=(wide, width)) / width**0.5))
            layer.bias.copy_(torch.from_numpy(rng.normal(size=wide)))
        value = graph.add("linear", layer, value)
        if index < len(widths) - 2:
            value = graph.add("norm", layers.LayerNorm(wide), value) if norm and wide > 1 else value
            value = graph.add("activation", layers.Activation(activation), value)
    space = box((widths[0],), "float32", -np.inf, np.inf)
    return graph.policy(space, box((widths[-1],), "float32", -np.inf, np.inf), None)


def of_bound(policy: Policy, observations: torch.Tensor) -> float:
    """The largest error of torch's float32 as a share of the bound, apart from what float32 cannot hold at all."""
    with torch.no_grad():
        exact = policy.clone().double().scores(observations)
        error = (policy.scores(observations).double() - exact).abs()
    return float((error / (rounding_bound(policy, observations) + 2.0**-24 * exact.abs() + 1e-30)).max())


@settings(max_examples=40)
@given(
    hidden=st.lists(st.integers(1, 90), min_size=1, max_size=4),
    activation=st.sampled_from(["relu", "elu", "silu", "tanh", "gelu", "leaky_relu", "softplus", "mish"]),
    gain=st.floats(0.2, 5.0),
    size=st.sampled_from([1e-3, 1.0, 30.0, 1e6]),
    norm=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_no_evaluation_in_float32_is_outside(
    hidden: list[int], activation: str, gain: float, size: float, norm: bool, seed: int
) -> None:
    policy = network([7, *hidden, 3], activation, gain, seed, norm)
    observations = torch.from_numpy((size * np.random.default_rng(seed).normal(size=(40, 7))).astype(np.float32))
    assert of_bound(policy, observations) <= 1.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("action", ["box", "discrete"])
def test_it_is_far_below_the_tolerance_for_ordinary_policies(kind: str, action: str) -> None:
    policy = KINDS[kind](ACTIONS[action])
    observations = tensors_of(observations_of(policy.observation_space, 80))
    bound = rounding_bound(policy, observations)
    with torch.no_grad():
        assert bound.shape == policy.scores(observations).shape
    assert bound.dtype == torch.float64
    assert 0 < float(bound.max()) < 1e-5 * 8  # actions of up to 7.3


def test_it_grows_with_what_is_inside_the_network() -> None:
    policy = network([4, 32, 2], "elu", 1.0, 0)
    near = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    ratio = rounding_bound(policy, 1e6 * near) / rounding_bound(policy, near)
    assert 1e4 < float(ratio.median()) < 1e8


def test_a_value_at_a_kink_may_fall_to_either_side() -> None:
    """A sum of 10^6 - 10^6 that is 0 exactly: float32 may see it above zero, where the next layer reads it."""
    graph = GraphBuilder()
    first, last = layers.Linear(2, 1), layers.Linear(1, 2)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.1, -1.1]]))
        first.bias.copy_(torch.tensor([-1e-9]))
        last.weight.fill_(1.0)
        last.bias.zero_()
    hidden = graph.add("activation", layers.Activation("relu"), graph.add("first", first, "observation"))
    graph.add("last", last, hidden)
    policy = graph.policy(box((2,), "float32", -np.inf, np.inf), FREE, None)
    bound = rounding_bound(policy, torch.tensor([[1e6, 1e6], [1.0, 1.0]]))
    assert float(bound[0].min()) > 0.01
    assert float(bound[1].max()) < 1e-5


def test_integers_stop_what_comes_before_them() -> None:
    """Only what follows the last quantizer rounds: far observations do not matter to a quantized policy."""
    plain = mlp(activation="elu")
    policy = quantized(plain, observations_of(VECTOR))
    far = tensors_of(1e6 * observations_of(VECTOR, 30))
    assert float(rounding_bound(policy, far).max()) < 1e-5


def test_parameters_stay_as_they_are() -> None:
    policy = mlp()
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    rounding_bound(policy, tensors_of(observations_of(VECTOR, 5)))
    assert all(torch.equal(before[name], value) for name, value in policy.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in policy.parameters())
