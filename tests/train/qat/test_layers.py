"""Quantized layers compute what their integers will, to the bit, and their observers move when they should."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from policypress.policy.quantization import (
    affine_spec,
    bias_spec,
    dequantize,
    fake_quantize,
    observation_scale,
    quantize,
    symmetric_spec,
)
from policypress_train.qat.layers import FakeQuantized, LayerSettings, QatConv2d, QatLinear

PLAIN = LayerSettings(8, 8, per_channel=True)
SCALED = LayerSettings(8, 8, per_channel=True, scaled=True)
HELD = LayerSettings(8, 8, per_channel=True, scaled=True, held=True)


def seen(layer: FakeQuantized, x: Tensor) -> FakeQuantized:
    """``layer`` after it was trained on ``x``."""
    layer.train()
    layer(x)
    return layer.eval()


def observers(layer: FakeQuantized) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in layer.named_buffers() if name.startswith("running_")}


def moved(layer: FakeQuantized, before: dict[str, Tensor]) -> bool:
    return any(not torch.equal(tensor, before[name]) for name, tensor in observers(layer).items())


def by_specs(layer: FakeQuantized, x: Tensor) -> Tensor:
    """The same layer by the one quantization truth."""
    settings, weight = layer.settings, layer.weight.detach()
    if settings.scaled:
        features = observation_scale(layer.running_peak)
        x, weight = x * (1.0 / features), weight * features
    read = affine_spec(float(layer.running_min), float(layer.running_max), settings.activation_bits)
    rounded = symmetric_spec(weight, settings.weight_bits, per_channel=settings.per_channel)
    bias = None if layer.bias is None else bias_spec(read, rounded)
    operands = (
        fake_quantize(x, read),
        fake_quantize(weight, rounded),
        None if bias is None else dequantize(quantize(layer.bias.detach(), bias), bias),
    )
    if isinstance(layer, QatConv2d):
        return F.conv2d(*operands, layer.stride, layer.padding)
    return F.linear(*operands)


@given(
    seed=st.integers(0, 2**20),
    weight_bits=st.integers(2, 8),
    activation_bits=st.integers(2, 8),
    per_channel=st.booleans(),
    scaled=st.booleans(),
    bias=st.booleans(),
    magnitude=st.sampled_from([1e-3, 1.0, 300.0]),
)
def test_a_layer_is_its_specs_to_the_bit_in_all_its_forms(
    seed: int, weight_bits: int, activation_bits: int, per_channel: bool, scaled: bool, bias: bool, magnitude: float
) -> None:
    torch.manual_seed(seed)
    settings = LayerSettings(weight_bits, activation_bits, per_channel, scaled)
    layer = QatLinear(nn.Linear(7, 5, bias=bias), settings)
    x = torch.randn(32, 7) * magnitude * torch.logspace(-2, 2, 7)
    x[:, 3] = 0.0
    seen(layer, x)
    fresh = torch.randn(16, 7) * 2 * magnitude
    expected = by_specs(layer, fresh)
    with_gradient = layer(fresh)
    with torch.no_grad():
        first, again = layer(fresh), layer(fresh)
    assert torch.equal(with_gradient, expected)
    assert torch.equal(first, expected)
    assert torch.equal(again, expected)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_so_is_a_convolution(per_channel: bool, bias: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=bias)
    layer = QatConv2d(plain, LayerSettings(8, 8, per_channel))
    assert layer.weight is plain.weight
    seen(layer, torch.rand(8, 3, 9, 9))
    fresh = torch.rand(2, 3, 9, 9)
    assert torch.equal(layer(fresh), by_specs(layer, fresh))


def test_a_channel_of_zeros_and_a_bias_beyond_int32_are_rounded_as_the_specs_do() -> None:
    layer = QatLinear(nn.Linear(4, 3), PLAIN)
    with torch.no_grad():
        layer.weight[1] = 0.0
        layer.weight[2] = 1e-12
        layer.bias.copy_(torch.tensor([0.1, 0.123456, 5.0]))
    seen(layer, torch.rand(8, 4))
    x = torch.rand(5, 4)
    assert torch.equal(layer(x), by_specs(layer, x))
    assert float(layer(x)[0, 2].detach()) < 5.0


def test_what_has_seen_nothing_rounds_nothing() -> None:
    plain = nn.Linear(4, 3)
    layer = QatLinear(plain, SCALED).eval()
    x = torch.randn(6, 4)
    assert torch.equal(layer(x), plain(x))
    assert all(bool(torch.isfinite(tensor).all()) for tensor in layer.state_dict().values())


def test_parameters_are_the_very_objects_and_no_random_number_is_drawn() -> None:
    plain = nn.Linear(4, 3)
    state = torch.get_rng_state()
    layer = QatLinear(plain, SCALED)
    assert torch.equal(torch.get_rng_state(), state)
    assert layer.weight is plain.weight
    assert layer.bias is plain.bias
    assert set(layer.state_dict()) == {"weight", "bias", "running_min", "running_max", "running_peak"}


@pytest.mark.parametrize("settings", [PLAIN, SCALED, HELD])
def test_observers_move_in_training_with_gradients_and_at_no_other_time(settings: LayerSettings) -> None:
    layer = QatLinear(nn.Linear(4, 3), settings)
    seen(layer, torch.rand(8, 4))
    before = observers(layer)
    wide = torch.randn(8, 4) * 100
    layer.eval()(wide)
    with torch.no_grad():
        layer.train()(wide)
        layer.eval()(wide)
    assert not moved(layer, before)
    layer.train()(wide)
    assert moved(layer, before)


def test_observers_are_the_running_minimum_and_maximum() -> None:
    layer = QatLinear(nn.Linear(1, 1), PLAIN).train()
    for values in ([[0.5], [2.0]], [[-1.0], [1.0]], [[0.0], [0.1]]):
        layer(torch.tensor(values))
    assert (float(layer.running_min), float(layer.running_max)) == (-1.0, 2.0)


@given(seed=st.integers(0, 2**20), held=st.booleans())
def test_observers_of_observations_are_those_of_every_batch_looked_at_in_full(seed: int, held: bool) -> None:
    torch.manual_seed(seed)
    layer = QatLinear(nn.Linear(5, 2), LayerSettings(8, 8, per_channel=True, scaled=True, held=held)).train()
    peak, low, high = torch.zeros(5), 0.0, 0.0
    for step in range(6):
        x = torch.randn(4, 5) * 10.0 ** torch.randint(-2, 3, (5,)) / (step + 1)
        layer(x)
        peak = torch.maximum(peak, x.abs().amax(0))
        scaled = x * (1.0 / observation_scale(peak))
        low, high = min(low, float(scaled.min())), max(high, float(scaled.max()))
    assert torch.equal(layer.running_peak, peak)
    assert (float(layer.running_min), float(layer.running_max)) == (low, high)


def test_what_is_loaded_is_widened_by_what_was_seen_before() -> None:
    layer, x = QatLinear(nn.Linear(4, 3), SCALED), torch.randn(8, 4)
    empty = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    seen(layer, x)
    expected = observers(layer)
    layer.load_state_dict(empty)
    seen(layer, x)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in observers(layer).items())


def test_a_feature_that_is_small_keeps_its_resolution_where_observations_are_scaled() -> None:
    x = torch.stack([torch.linspace(-100, 100, 64), torch.linspace(-0.01, 0.01, 64)], dim=1)
    errors = {}
    for settings in (PLAIN, SCALED):
        plain = nn.Linear(2, 1)
        with torch.no_grad():
            plain.weight.copy_(torch.tensor([[0.0, 1.0]]))
        layer = seen(QatLinear(plain, settings), x)
        with torch.no_grad():
            errors[settings.scaled] = float((layer(x) - plain(x)).abs().max())
    assert errors[True] < 0.2 * errors[False]


def test_what_an_outlier_widened_holds_only_after_training_mode_ends() -> None:
    layer = QatLinear(nn.Linear(4, 3), HELD)
    x = torch.rand(8, 4)
    assert torch.equal(layer.train()(x), F.linear(x, layer.weight, layer.bias))
    layer.eval()
    in_force = layer(x)
    assert not torch.equal(in_force, F.linear(x, layer.weight, layer.bias))
    layer.train()(x * 1000)
    assert torch.equal(layer(x), in_force)
    layer.eval()
    assert not torch.equal(layer(x), in_force)


def test_loading_brings_ranges_into_force() -> None:
    layer = seen(QatLinear(nn.Linear(4, 3), HELD), torch.rand(8, 4))
    copy = QatLinear(nn.Linear(4, 3), HELD)
    copy.load_state_dict(layer.state_dict())
    x = torch.rand(5, 4)
    assert torch.equal(copy(x), layer(x))


def by_polyak(layer: FakeQuantized) -> None:
    layer.weight.data.mul_(0.5)


def by_another_tensor(layer: FakeQuantized) -> None:
    layer.weight.data = layer.weight.data * 0.5


def by_the_bias_alone(layer: FakeQuantized) -> None:
    layer.bias.data.add_(0.25)


def by_fused_adam(layer: FakeQuantized) -> None:
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1, fused=True)
    layer.weight.grad, layer.bias.grad = torch.ones_like(layer.weight), torch.ones_like(layer.bias)
    optimizer.step()


def by_ranges_that_follow(layer: FakeQuantized) -> None:
    layer.running_max.mul_(2)


def by_a_peak_that_follows(layer: FakeQuantized) -> None:
    layer.running_peak.mul_(2)


@pytest.mark.parametrize("width", [4, 128])
@pytest.mark.parametrize(
    "change",
    [by_polyak, by_another_tensor, by_the_bias_alone, by_fused_adam, by_ranges_that_follow, by_a_peak_that_follows],
)
def test_nothing_stale_is_used_however_parameters_change(change: Any, width: int) -> None:
    layer = seen(QatLinear(nn.Linear(4, width), SCALED), torch.rand(8, 4))
    wide = seen(QatLinear(nn.Linear(width, 128), SCALED), torch.rand(8, width))
    for one, x in ((layer, torch.rand(3, 4)), (wide, torch.rand(3, width))):
        with torch.no_grad():
            before = one(x)
            change(one)
            after = one(x)
        assert torch.equal(after, by_specs(one, x))
        assert not torch.equal(after, before)


def test_gradients_pass_straight_through_where_nothing_saturates() -> None:
    torch.manual_seed(1)
    plain = nn.Linear(4, 3)
    layer = seen(QatLinear(plain, PLAIN), torch.rand(64, 4))
    x = torch.rand(5, 4, requires_grad=True)
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    rounded = fake_quantize(x.detach(), affine_spec(float(layer.running_min), float(layer.running_max)))
    assert torch.allclose(layer.weight.grad, rounded.sum(0).expand(3, 4))
    assert torch.equal(layer.bias.grad, torch.full((3,), 5.0))
    inside = (x.detach() <= layer.running_max).float()
    weights = fake_quantize(layer.weight.detach(), symmetric_spec(layer.weight))
    assert x.grad is not None
    assert torch.allclose(x.grad, weights.sum(0) * inside)


@pytest.mark.parametrize("settings", [PLAIN, SCALED])
def test_second_derivatives_are_those_of_the_function_without_rounding(settings: LayerSettings) -> None:
    """A Hessian-vector product, as TRPO takes it, through two layers with tanh between and a square behind."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
    fine = nn.Sequential(QatLinear(plain[0], settings), plain[1], QatLinear(plain[2], PLAIN)).train()
    x = torch.randn(32, 4)
    fine(x)

    def product(network: nn.Module) -> Tensor:
        parameters = list(plain.parameters())
        value = network(x).square().mean()
        gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(value, parameters, create_graph=True)])
        vector = torch.ones_like(gradient)
        return torch.cat([g.reshape(-1) for g in torch.autograd.grad((gradient * vector).sum(), parameters)])

    got, expected = product(fine), product(plain)
    assert bool(torch.isfinite(got).all())
    assert float((got - expected).norm() / expected.norm()) < 0.1


@pytest.mark.parametrize("change", [by_polyak, by_fused_adam, by_ranges_that_follow, by_a_peak_that_follows])
def test_where_changes_are_told_they_are_followed(change: Any) -> None:
    layer = seen(QatLinear(nn.Linear(4, 3), SCALED), torch.rand(8, 4))
    layer.trust(True)
    x = torch.rand(3, 4)
    with torch.no_grad():
        before = layer(x)
        change(layer)
        layer.changed()
        after = layer(x)
    assert torch.equal(after, by_specs(layer, x))
    assert not torch.equal(after, before)
    assert torch.equal(layer(x), after)


def test_trust_begins_with_a_look_and_ends_with_training_mode() -> None:
    layer = seen(QatLinear(nn.Linear(4, 3), SCALED), torch.rand(8, 4))
    x = torch.rand(3, 4)
    with torch.no_grad():
        layer(x)
        by_polyak(layer)
        layer.trust(True)
        assert torch.equal(layer(x), by_specs(layer, x))
        layer.eval()
        by_polyak(layer)
        assert torch.equal(layer(x), by_specs(layer, x))


def test_an_on_policy_layer_looks_when_it_begins_to_act() -> None:
    layer = seen(QatLinear(nn.Linear(4, 3), HELD), torch.rand(8, 4))
    x = torch.rand(3, 4)
    with torch.no_grad():
        before = layer(x)
        layer.train()
        by_polyak(layer)
        assert not torch.equal(layer(x), before)
        trained_on = layer(x)
        layer.eval()
        assert torch.equal(layer(x), trained_on)
        by_another_tensor(layer)
        layer.eval()
        after = layer(x)
    assert not torch.equal(after, trained_on)
    assert torch.equal(after, layer.train()(x))


@pytest.mark.parametrize("settings", [PLAIN, LayerSettings(3, 2, per_channel=False)])
def test_a_layer_that_rectifies_is_one_behind_a_relu(settings: LayerSettings) -> None:
    torch.manual_seed(2)
    plain = nn.Linear(6, 3)
    behind = nn.Sequential(nn.ReLU(), QatLinear(plain, settings)).train()
    alone = QatLinear(plain, settings).train()
    alone.rectifies = True
    for _ in range(2):
        x = torch.randn(40, 6)
        gradients = []
        for network in (behind, alone):
            leaf = x.clone().requires_grad_()
            value = network(leaf)
            gradients.append((value, *torch.autograd.grad(value.square().sum(), [leaf, plain.weight, plain.bias])))
        for left, right in zip(*gradients, strict=True):
            assert torch.equal(left, right)
    assert observers(alone)["running_min"] == 0.0
    assert all(torch.equal(tensor, observers(behind[1])[name]) for name, tensor in observers(alone).items())
    fresh = QatLinear(plain, settings)
    fresh.rectifies = True
    assert torch.equal(fresh.eval()(x), plain(x.relu()))
