"""Each layer's arithmetic, against torch's own modules or a sum written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from policypress.policy import activations, layers
from policypress.policy.quantization import LayerQuant, affine_spec, bias_spec, fake_quantize, symmetric_spec
from policypress_runtime.errors import NetworkError

MODULES: dict[str, nn.Module] = {
    "relu": nn.ReLU(),
    "tanh": nn.Tanh(),
    "sigmoid": nn.Sigmoid(),
    "elu": nn.ELU(),
    "celu": nn.CELU(),
    "selu": nn.SELU(),
    "leaky_relu": nn.LeakyReLU(),
    "silu": nn.SiLU(),
    "gelu": nn.GELU(),
    "gelu_tanh": nn.GELU("tanh"),
    "mish": nn.Mish(),
    "softplus": nn.Softplus(),
    "softsign": nn.Softsign(),
    "hardswish": nn.Hardswish(),
    "hardsigmoid": nn.Hardsigmoid(),
    "hardtanh": nn.Hardtanh(),
    "relu6": nn.ReLU6(),
    "identity": nn.Identity(),
}
FUNCTIONS = {
    "exp": np.exp,
    "log": np.log,
    "sin": np.sin,
    "cos": np.cos,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "reciprocal": np.reciprocal,
}


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_every_activation_is_compared_with_something() -> None:
    assert set(activations.ACTIVATIONS) == {*MODULES, *FUNCTIONS, "erf"}


@pytest.mark.parametrize("name", MODULES)
def test_activations_are_those_of_torch(name: str) -> None:
    x = 4 * noise(50, 3)
    assert torch.equal(layers.Activation(name)(x), MODULES[name](x))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_those_of_numpy(name: str) -> None:
    x = noise(50).abs() + 0.1
    np.testing.assert_allclose(layers.Activation(name)(x).numpy(), FUNCTIONS[name](x.numpy()), rtol=1e-5, atol=1e-7)


def test_parameters_of_activations() -> None:
    x = 3 * noise(40)
    assert torch.equal(layers.Activation("elu", alpha=0.3)(x), nn.ELU(0.3)(x))
    assert torch.equal(layers.Activation("celu", alpha=0.3)(x), nn.CELU(0.3)(x))
    assert torch.equal(layers.Activation("leaky_relu", negative_slope=0.2)(x), nn.LeakyReLU(0.2)(x))
    assert torch.equal(layers.Activation("hardtanh", min_val=-0.5, max_val=2.0)(x), nn.Hardtanh(-0.5, 2.0)(x))
    assert layers.Activation("leaky_relu", negative_slope=0.2).extra_repr() == "leaky_relu, negative_slope=0.2"


def test_unknown_activation_names_the_known() -> None:
    with pytest.raises(NetworkError, match=r"swish2[\s\S]*leaky_relu"):
        layers.Activation("swish2")


@pytest.mark.parametrize("slopes", [torch.tensor([0.2]), torch.tensor([0.1, -0.5, 2.0])])
def test_prelu(slopes: torch.Tensor) -> None:
    reference = nn.PReLU(len(slopes))
    reference.weight.data.copy_(slopes)
    x = noise(20, 3)
    assert torch.equal(layers.PRelu(slopes)(x), reference(x))


@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_quantized_layer_is_fake_quantization_around_the_float_one(kind: str) -> None:
    layer: layers.Weighted
    if kind == "linear":
        layer, x = layers.Linear(5, 3), noise(7, 5)
    else:
        layer, x = layers.Conv2d(2, 3, (3, 2), stride=2, padding=1), noise(4, 2, 8, 9)
    plain = nn.Linear.forward(layer, x) if kind == "linear" else nn.Conv2d.forward(layer, x)
    assert torch.equal(layer(x), plain)

    inputs, weights, outputs = affine_spec(-2.0, 3.0), symmetric_spec(layer.weight, 6), affine_spec(-1.0, 1.5, 7)
    biases = bias_spec(inputs, weights)
    layer.quant = LayerQuant(inputs, weights, biases, outputs)
    got = layer(x)
    layer.quant = LayerQuant()
    with torch.no_grad():
        layer.weight.copy_(fake_quantize(layer.weight, weights))
        layer.bias.copy_(fake_quantize(layer.bias, biases))
    assert torch.equal(got, fake_quantize(layer(fake_quantize(x, inputs)), outputs))


def test_quantized_activation() -> None:
    spec = affine_spec(0.0, 1.0, 4)
    layer = layers.Activation("relu")
    layer.quant = LayerQuant(output=spec)
    x = noise(30)
    assert torch.equal(layer(x), fake_quantize(torch.relu(x), spec))


@given(seed=st.integers(0, 10_000), exponent=st.integers(-3, 6), spread=st.integers(-6, 1))
def test_normalise_is_true_to_float64(seed: int, exponent: int, spread: int) -> None:
    """Even where the mean is a million times the standard deviation, nothing is lost against float64."""
    rng = np.random.default_rng(seed)
    mean = rng.normal(size=4) * 10.0**exponent
    std = (np.abs(mean) + 1e-6) * 10.0**spread
    x = (mean + std * rng.normal(size=(50, 4)) * 3).astype(np.float32)
    layer = layers.Normalise(mean, std**2, 1e-8, 5.0)
    want = np.clip((x.astype(np.float64) - mean) / np.sqrt(std**2 + 1e-8), -5, 5)
    np.testing.assert_allclose(layer(torch.from_numpy(x)).numpy(), want, rtol=1e-6, atol=1e-6)


def test_affine_leaves_out_what_is_none() -> None:
    x = noise(6, 3)
    assert torch.equal(layers.Affine()(x), x)
    assert torch.equal(layers.Affine(scale=2.0)(x), x * 2)
    assert torch.equal(layers.Affine(shift=[1.0, 2.0, 3.0])(x), x + torch.tensor([1.0, 2.0, 3.0]))
    assert torch.equal(layers.Affine(0.5, -1)(x), x * 0.5 - 1)


def test_unscale_and_clip() -> None:
    low, high = np.array([-1.0, 0.0, -300.0]), np.array([1.0, 2.0, 100.0])
    unscale = layers.Unscale(low, high)
    ends = torch.tensor([[-1.0] * 3, [1.0] * 3, [0.0] * 3])
    np.testing.assert_array_equal(unscale(ends).numpy(), np.stack([low, high, (low + high) / 2]))
    clip = layers.Clip([-np.inf, 0.0, -1.0], [0.5, np.inf, 1.0])
    got = clip(torch.tensor([[-1e30, -2.0, -2.0], [3.0, 1e30, 0.3]]))
    assert torch.equal(got, torch.tensor([[-1e30, 0.0, -1.0], [0.5, 1e30, 0.3]]))


def test_one_hot() -> None:
    single = layers.OneHot([4], start=2)
    want = torch.eye(4)
    assert torch.equal(single(torch.tensor([2, 3, 4, 5])), want)
    assert torch.equal(single(torch.tensor([[2], [3], [4], [5]])), want)
    several = layers.OneHot([2, 3])
    assert several(torch.tensor([[1, 0], [0, 2]])).tolist() == [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]]
    assert layers.OneHot([3]).double()(torch.tensor([1])).dtype == torch.float64


def test_to_float_follows_the_policy() -> None:
    x = torch.tensor([[3, 255]], dtype=torch.uint8)
    assert layers.ToFloat()(x).dtype == torch.float32
    assert layers.ToFloat().double()(x).dtype == torch.float64
    assert not layers.ToFloat().state_dict()


def test_shapes() -> None:
    x = noise(3, 2, 4, 5)
    assert torch.equal(layers.Flatten()(x), x.reshape(3, 40))
    assert torch.equal(layers.Reshape((8, 5))(x), x.reshape(3, 8, 5))
    assert torch.equal(layers.Transpose((0, 3, 1, 2))(x), x.permute(0, 3, 1, 2))
    assert torch.equal(layers.Slice(2, 1, 3)(x), x[:, :, 1:3])
    assert torch.equal(layers.Concat(1)(x, x), torch.cat([x, x], dim=1))


@pytest.mark.parametrize("name", layers.BINARY)
def test_binary(name: str) -> None:
    x, y = noise(3, 2), noise(3, 1, seed=1).abs() + 1
    want = {"add": x + y, "sub": x - y, "mul": x * y, "div": x / y}[name]
    assert torch.equal(layers.Binary(name)(x, y), want)


def test_pooling_mean_softmax_norm() -> None:
    x = noise(2, 3, 7, 6)
    assert torch.equal(layers.Pool2d("max", (3, 2), (2, 2), (1, 1))(x), nn.MaxPool2d((3, 2), (2, 2), (1, 1))(x))
    average = nn.AvgPool2d((3, 2), (2, 2), (1, 1), count_include_pad=False)
    assert torch.equal(layers.Pool2d("average", (3, 2), (2, 2), (1, 1))(x), average(x))
    assert torch.equal(layers.Mean((2, 3))(x), x.mean((2, 3)))
    assert layers.Mean((1,), keep=True)(x).shape == (2, 1, 7, 6)
    assert torch.equal(layers.Softmax(1)(x), x.softmax(1))
    assert torch.equal(layers.LayerNorm((7, 6))(x), nn.LayerNorm((7, 6))(x))


def test_argmax_takes_the_first_of_equals() -> None:
    scores = torch.tensor([[1.0, 3.0, 3.0], [2.0, 0.0, 2.0]])
    single = layers.ArgMax([3])(scores)
    assert single.tolist() == [1, 0]
    assert single.dtype == torch.int64
    assert layers.ArgMax([3], start=-1)(scores).tolist() == [0, -1]
    assert layers.ArgMax([1, 2], single=False)(scores).tolist() == [[0, 0], [0, 1]]


def test_threshold_is_strict() -> None:
    bits = layers.Threshold()(torch.tensor([[0.0, 1e-9, -1e-9, -0.0]]))
    assert bits.tolist() == [[0, 1, 0, 0]]
    assert bits.dtype == torch.int8


def test_multiply_accumulates() -> None:
    conv = layers.Conv2d(3, 8, 5, stride=2)
    assert layers.multiply_accumulates(conv, conv(noise(1, 3, 15, 17))) == 3 * 8 * 25 * 6 * 7
    linear = layers.Linear(4, 6)
    assert layers.multiply_accumulates(linear, linear(noise(1, 4))) == 24
    assert layers.multiply_accumulates(layers.Flatten(), noise(1, 4)) == 0
