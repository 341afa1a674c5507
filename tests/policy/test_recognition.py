from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from policypress.policy import layers
from policypress.policy.importers import elementwise as ew
from policypress.policy.importers.assembly import Assembly, Value
from policypress_runtime.contract import box

VECTOR = box((3,), "float32", -1.0, 1.0)


def _half_erf(a: Assembly, x: Value) -> Value:
    inner = ew.add(a, ew.activation(a, ew.multiply(a, x, torch.tensor(0.5**0.5)), "erf"), torch.tensor(1.0))
    return ew.multiply(a, ew.multiply(a, x, inner), torch.tensor(0.5))


def _scaled_clip(a: Assembly, x: Value) -> Value:
    gate = ew.clip(a, ew.add(a, x, torch.tensor(3.0)), 0.0, 6.0)
    return ew.divide(a, ew.multiply(a, x, gate), torch.tensor(6.0))


SPELLED_OUT: dict[str, Callable[[Assembly, Value], Value]] = {
    "gelu": _half_erf,
    "silu": lambda a, x: ew.multiply(a, x, ew.activation(a, x, "sigmoid")),
    "mish": lambda a, x: ew.multiply(a, ew.activation(a, ew.activation(a, x, "softplus"), "tanh"), x),
    "softsign": lambda a, x: ew.divide(a, x, ew.add(a, ew.activation(a, x, "abs"), torch.tensor(1.0))),
    "hardswish": _scaled_clip,
}


@pytest.mark.parametrize("name", SPELLED_OUT)
@pytest.mark.parametrize("after", [None, "tanh"])
def test_a_spelled_out_activation_becomes_one_layer(name: str, after: str | None) -> None:
    a = Assembly(VECTOR)
    x = a.inputs[""]
    start = x if after is None else ew.activation(a, x, after)
    value = SPELLED_OUT[name](a, start)
    layer = a.producer(value)
    assert isinstance(layer, layers.Activation)
    assert layer.name == name
    assert a.sources(value) == (start.name,)


def test_what_only_looks_alike_stays_as_it_is() -> None:
    a = Assembly(VECTOR)
    x = a.inputs[""]
    steeper = ew.activation(a, ew.multiply(a, x, torch.tensor(1.702)), "sigmoid")
    value = ew.multiply(a, x, steeper)
    assert isinstance(a.producer(value), layers.Binary)
    per_channel = ew.multiply(a, x, torch.tensor([1.0, 2.0, 3.0]))
    other = ew.multiply(a, x, ew.activation(a, per_channel, "sigmoid"))
    assert isinstance(a.producer(other), layers.Binary)
