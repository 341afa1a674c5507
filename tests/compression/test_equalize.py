from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from branching_modules import AroundObservation, Residual, Slopes, policy_of
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from checkpoint_policies import (
    FEATURES,
    POLICIES,
    cnn_dqn,
    dqn,
    materials_for,
    multi_discrete_ppo,
    normalised_ppo,
    observations_of,
    sac,
)
from policypress.agents.bundle import Activation
from policypress.compression.pipeline import build_artifact
from policypress.compression.quantization.equalize import ALPHA, Equalize, hidden_scale, input_scale
from policypress.compression.recipe import Recipe
from policypress.compression.step import Context
from policypress.export.parity import to_tensors
from policypress.policy.layers import Affine
from policypress.policy.policy import Policy
from policypress_runtime.contract import Box

SEEN = 256


def equalized(policy: Policy, observations: Any = None) -> Policy:
    if observations is None:
        observations = observations_of(policy.observation_space, SEEN)
    return Equalize().apply(policy, Context(observations))


def assert_same_function(policy: Policy, other: Policy, count: int = 128) -> None:
    """Equal actions on observations that were not calibrated on; scores may be shifted together."""
    observations = to_tensors(observations_of(policy.observation_space, count, seed=9))
    with torch.no_grad():
        if isinstance(policy.action_space, Box):
            torch.testing.assert_close(other(observations), policy(observations), rtol=1e-5, atol=1e-5)
            return
        assert torch.equal(other(observations), policy(observations))


@pytest.mark.parametrize("name", POLICIES)
def test_the_function_stays(name: str) -> None:
    policy = POLICIES[name]()
    before = {key: value.clone() for key, value in policy.state_dict().items()}
    assert_same_function(policy, equalized(policy))
    assert policy.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in policy.state_dict().items())


@pytest.mark.parametrize("name", ["relu", "tanh", "leaky_relu", "elu", "gelu", "identity"])
def test_the_function_stays_for_any_activation(name: str) -> None:
    policy = sac(activation=Activation(name))
    assert_same_function(policy, equalized(policy))


@pytest.mark.parametrize("network", [Residual, AroundObservation, Slopes])
def test_the_function_stays_where_networks_branch(network: type[torch.nn.Module]) -> None:
    torch.manual_seed(0)
    policy = policy_of(network())
    assert_same_function(policy, equalized(policy))


@pytest.mark.parametrize("name", ["sac", "crossq", "shared_ppo", "vector_first_td3"])
def test_int8_loses_less(name: str) -> None:
    policy = POLICIES[name]()
    materials = materials_for(policy, SEEN)
    plain, better = (
        build_artifact(policy, Recipe.parse(text), materials).record for text in ("int8", "equalize > int8")
    )
    assert plain.action_error is not None
    assert better.action_error is not None
    assert better.action_error < plain.action_error
    assert better.parameters == plain.parameters


def linear_layers(policy: Policy) -> list[Any]:
    return [layer for _, layer in policy.weighted_layers()]


def test_features_are_scaled_before_the_first_layer() -> None:
    policy, observations = sac(), observations_of(sac().observation_space, SEEN)
    result = equalized(policy, observations)
    scaling = next(layer for layer in result.layers.values() if isinstance(layer, Affine) and layer.role)
    assert scaling.role == "input_scale"
    assert scaling.shift is None
    peak = np.abs(observations).max(0)
    columns = linear_layers(policy)[0].weight.detach().abs().amax(0).numpy()
    assert isinstance(scaling.scale, Tensor)
    np.testing.assert_allclose(1 / scaling.scale.numpy(), peak**ALPHA / columns ** (1 - ALPHA), rtol=1e-5)
    scaled = peak * scaling.scale.numpy()
    assert scaled.max() / scaled.min() < 0.25 * peak.max() / peak.min()


def test_a_normaliser_comes_before_the_scaling() -> None:
    assert equalized(normalised_ppo()).folded() == ("normalise", "input_scale", "clip")


def test_a_feature_that_never_moved_and_one_that_nothing_reads() -> None:
    policy = sac()
    first = linear_layers(policy)[0]
    with torch.no_grad():
        first.weight[:, 2] = 0
    observations = observations_of(policy.observation_space, SEEN)
    observations[:, 5] = 0
    result = equalized(policy, observations)
    assert_same_function(policy, result)
    scale = next(layer.scale for layer in result.layers.values() if isinstance(layer, Affine) and layer.role)
    assert isinstance(scale, Tensor)
    assert float(scale[5]) == 1.0
    assert float(scale[2]) == pytest.approx(1 / float(np.abs(observations[:, 2]).max()))
    assert torch.all(linear_layers(result)[0].weight[:, 2] == 0)


def test_hidden_channels_trade_scale_with_the_next_layer() -> None:
    policy = sac()
    before, after = linear_layers(policy), linear_layers(equalized(policy))
    with torch.no_grad():
        scales = [old.bias / new.bias for old, new in zip(before, after, strict=True)]
        torch.testing.assert_close(scales[2], torch.ones(3))
        for index in (0, 1):
            assert float(scales[index].max() / scales[index].min()) > 1.1
            divided = after[index + 1].weight * scales[index + 1][:, None]
            torch.testing.assert_close(divided, before[index + 1].weight * scales[index])


def test_tanh_is_left_as_it_is_inside() -> None:
    policy = sac(activation=Activation("tanh"))
    for before, after in list(zip(linear_layers(policy), linear_layers(equalized(policy)), strict=True))[1:]:
        assert torch.equal(before.weight, after.weight)
        assert torch.equal(before.bias, after.bias)


def test_behind_a_flatten_a_channel_owns_a_block_of_columns() -> None:
    policy = cnn_dqn()
    conv, linear = linear_layers(policy)[1:3]
    new_conv, new_linear = linear_layers(equalized(policy))[1:3]
    scale = conv.bias / new_conv.bias
    assert float(scale.detach().max() / scale.detach().min()) > 1.1
    row = (linear.bias / new_linear.bias)[:, None]
    torch.testing.assert_close(new_linear.weight * row, linear.weight * scale.repeat_interleave(16))


def test_scores_are_centred() -> None:
    policy = dqn(level=100.0)
    last = linear_layers(equalized(policy))[-1].requires_grad_(False)
    torch.testing.assert_close(last.weight.mean(0), torch.zeros_like(last.weight[0]), rtol=0, atol=1e-6)
    assert abs(float(last.bias.mean())) < 1e-5
    observations = to_tensors(observations_of(policy.observation_space, 32))
    with torch.no_grad():
        shift = policy.scores(observations) - equalized(policy).scores(observations)
    torch.testing.assert_close(shift, shift[:, :1].expand_as(shift), rtol=1e-4, atol=1e-4)
    assert float(shift.mean()) > 50


def test_each_choice_is_centred_by_itself() -> None:
    last = linear_layers(equalized(multi_discrete_ppo()))[-1].requires_grad_(False)
    assert abs(float(last.bias[:3].mean())) < 1e-6
    assert abs(float(last.bias[3:].mean())) < 1e-6


def test_actions_are_not_centred() -> None:
    policy = sac()
    assert torch.equal(linear_layers(equalized(policy))[-1].bias, linear_layers(policy)[-1].bias)


def test_a_channel_that_slept_gets_the_others_mean() -> None:
    policy = sac(hidden=(32, 24))
    first = linear_layers(policy)[0]
    with torch.no_grad():
        first.bias[7] = -1e6
        first.weight[7] *= 50
    result = equalized(policy)
    assert_same_function(policy, result)
    scale = (first.bias / linear_layers(result)[0].bias).detach()
    others = torch.cat([scale[:7], scale[8:]])
    assert float(scale[7]) == pytest.approx(float(others.log().mean().exp()), rel=1e-4)


def test_worked_example() -> None:
    """A velocity of 25 with weights of 0.1, a height of 0.2 with weights of 1."""
    scale = input_scale(torch.tensor([25.0, 0.2]), torch.tensor([0.1, 1.0]))
    assert scale.tolist() == pytest.approx([25**0.7 / 0.1**0.3, 0.2**0.7])
    # Shares of the ranges: weights (1, ½), activations (¼, 1), so r = (1, 1); columns (4, 1).
    scale = hidden_scale(torch.tensor([2.0, 1.0]), torch.tensor([1.0, 4.0]), torch.tensor([4.0, 1.0]))
    assert scale.tolist() == pytest.approx([0.5, 1.0])


magnitudes = st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1e6)), min_size=FEATURES, max_size=FEATURES)


@given(magnitudes, magnitudes, magnitudes)
def test_scales_can_be_divided_by(rows: list[float], peak: list[float], columns: list[float]) -> None:
    tensors = [torch.tensor(values) for values in (rows, peak, columns)]
    for scale in (input_scale(*tensors[1:]), hidden_scale(*tensors)):
        assert bool((scale > 0).all())
        assert bool(scale.isfinite().all())
