"""Activations by name, with the parameters that their classes have and no others."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from policypress.agents.bundle import Activation
from policypress.agents.sb3.activation_text import PARAMETERS, in_words, stated_activation, with_arguments
from policypress.agents.sb3.defaults import ACTIVATIONS
from policypress.policy.layers import Activation as Layer
from policypress_runtime.errors import InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tanh", Activation("tanh")),
        (" ReLU ", Activation("relu")),
        ("leaky_relu(0.2)", Activation("leaky_relu", (("negative_slope", 0.2),))),
        ("LeakyReLU(negative_slope=2e-1)", Activation("leaky_relu", (("negative_slope", 0.2),))),
        ("nn.ELU(alpha=.5)", Activation("elu", (("alpha", 0.5),))),
        ("torch.nn.Hardtanh(-2, 2)", Activation("hardtanh", (("max_val", 2.0), ("min_val", -2.0)))),
        ("elu()", Activation("elu")),
        ("gelu_tanh", Activation("gelu_tanh")),
        ("GELU(approximate='tanh')", Activation("gelu_tanh")),
        ("swish", Activation("silu")),
    ],
)
def test_stated(text: str, expected: Activation) -> None:
    assert stated_activation(text) == expected


@pytest.mark.parametrize("text", ["", "foo", "relu(", "relu;tanh", "tanh tanh", "exp"])
def test_what_is_not_known_lists_what_is(text: str) -> None:
    with pytest.raises(InputError, match=r"leaky_relu, mish[\s\S]*leaky_relu\(0.2\)"):
        stated_activation(text)


@pytest.mark.parametrize(
    "text", ["relu(0.2)", "elu(a)", "elu(beta=1)", "elu(1, 2)", "elu(nan)", "elu(alpha=1, alpha=2)", "softplus(beta=2)"]
)
def test_parameters_that_it_does_not_have(text: str) -> None:
    with pytest.raises(InputError, match="cannot be parsed"):
        stated_activation(text)


@pytest.mark.parametrize(("name", "arguments"), [("ELU", "0.3"), ("LeakyReLU", "0.3"), ("Hardtanh", "-0.5, 2.0")])
def test_parameters_stand_in_the_order_of_torch(name: str, arguments: str) -> None:
    read = with_arguments(ACTIVATIONS[name], arguments)
    assert read is not None
    assert tuple(sorted(PARAMETERS[read.name])) == tuple(key for key, _ in read.parameters)
    x = torch.linspace(-3, 3, 50)
    live = getattr(nn, name)(*(float(part) for part in arguments.split(",")))
    torch.testing.assert_close(Layer(read.name, **dict(read.parameters))(x), live(x))


def test_words_are_read_back() -> None:
    for text in ("tanh", "leaky_relu(negative_slope=0.2)", "hardtanh(max_val=2.0, min_val=-2.0)"):
        assert in_words(stated_activation(text)) == text
