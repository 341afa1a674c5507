"""Random networks of every operator that the importers and writers know, in C and under ONNX Runtime."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from compiled_policies import Compiled, agreement, model_of, observations_for
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import Plan, build, plans
from small_policies import ACTIONS, KINDS, observations_of, quantized, randomised
from torch import nn

from policypress.policy import activations, layers
from policypress.policy.policy import GraphBuilder, Policy
from policypress_runtime.contract import Discrete, MultiBinary, MultiDiscrete, Space, box

ANY = (-np.inf, np.inf)
RNG = np.random.default_rng(0)
LAYERS: dict[str, tuple[tuple[int, ...], nn.Module]] = {
    "conv with everything": ((4, 11, 8), layers.Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), groups=2, bias=False)),
    "one slope": ((4, 3), layers.PRelu(torch.tensor([0.3]))),
    "slopes of channels": ((4, 3, 2), layers.PRelu(torch.tensor([0.3, -0.2, 1.5, 0.1]).reshape(4, 1, 1))),
    "normalise far": ((4,), layers.Normalise(RNG.normal(size=4) * 1e3, RNG.uniform(1e5, 1e6, 4), 1e-8, np.inf)),
    "affine": ((4, 3), layers.Affine(RNG.normal(size=(4, 3)), RNG.normal(size=3))),
    "affine of channels": ((3, 4, 2), layers.Affine(RNG.normal(size=(3, 1, 1)), RNG.normal(size=(3, 1, 1)))),
    "nothing": ((4,), layers.Affine()),
    "unscale": ((3,), layers.Unscale([-1, 0, -300], [1, 2, 100])),
    "clip each": ((3,), layers.Clip([-0.5, -np.inf, 0], [0.1, 0.2, np.inf])),
    "clip open": ((3,), layers.Clip(-np.inf, np.inf)),
    "flatten": ((3, 2, 2), layers.Flatten()),
    "reshape": ((6,), layers.Reshape((2, 3))),
    "transpose": ((4, 3, 2), layers.Transpose((0, 3, 1, 2))),
    "slice": ((4, 5), layers.Slice(2, 1, 4)),
    "layer norm": ((3, 4), layers.LayerNorm(4)),
    "layer norm of two axes": ((3, 4), layers.LayerNorm((3, 4), eps=1e-3)),
    "max pool": ((2, 7, 6), layers.Pool2d("max", (3, 2), (2, 2), (1, 1))),
    "average pool": ((2, 7, 6), layers.Pool2d("average", (3, 2), (2, 2), (1, 0))),
    "mean": ((2, 3, 4), layers.Mean((2, 3))),
    "mean kept": ((2, 3, 4), layers.Mean((1,), keep=True)),
    "softmax": ((3, 4), layers.Softmax(1)),
}


def all_layers_in_one() -> Policy:
    """Every layer beside the others, each on a part of a long vector, joined again."""
    graph = GraphBuilder()
    parts: list[str] = []
    sizes = [int(np.prod(shape)) for shape, _ in LAYERS.values()]
    position = 0
    for (shape, layer), size in zip(LAYERS.values(), sizes, strict=True):
        randomised(layer, position)
        value = graph.add("part", layers.Slice(1, position, position + size), "observation")
        position += size
        value = graph.add("shaped", layers.Reshape(shape), value)
        parts.append(graph.add("flat", layers.Flatten(), graph.add("layer", layer, value)))
    for name in sorted(set(activations.ACTIVATIONS)):
        value = graph.add("some", layers.Slice(1, 0, 30), "observation")
        if name in ("log", "sqrt", "reciprocal"):
            shifted = graph.add("positive", layers.Activation("abs"), value)
            value = graph.add("shifted", layers.Affine(shift=0.1), shifted)
        parts.append(graph.add("activation", layers.Activation(name), value))
    for name in layers.BINARY:
        left = graph.add("left", layers.Slice(1, 0, 20), "observation")
        right = graph.add("right", layers.Affine(shift=10.0), graph.add("r", layers.Slice(1, 20, 40), "observation"))
        parts.append(graph.add(name, layers.Binary(name), left, right))
    joined = graph.add("joined", layers.Concat(1), *parts)
    space = box((position,), "float32", *ANY)
    graph.add("out", layers.Affine(scale=1.0), joined)
    with torch.no_grad():
        width = graph.policy(space, box((1,), "float32", *ANY), None)(torch.zeros(1, position)).shape[1]
    return graph.policy(space, box((width,), "float32", *ANY), None)


def test_every_layer_and_every_activation(tmp_path: Path) -> None:
    policy = all_layers_in_one()
    model = model_of(policy)
    observations = observations_for(policy, 40)
    got, _, _ = Compiled.of(model, tmp_path).run(observations)
    with torch.no_grad():
        want = policy(torch.from_numpy(observations)).numpy()
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=5e-6)


@pytest.mark.parametrize(
    ("space", "layer"),
    [
        (Discrete(4, 2), layers.OneHot([4], start=2)),
        (MultiDiscrete((2, 3, 1)), layers.OneHot([2, 3, 1])),
        (MultiBinary(3), layers.ToFloat()),
        (box((3,), "int32", -9, 9), layers.ToFloat()),
        (box((3,), "int64", -9, 9), layers.ToFloat()),
        (box((5,), "int8", -9, 9), layers.ToFloat()),
    ],
    ids=str,
)
def test_integer_observations(space: Space, layer: nn.Module, tmp_path: Path) -> None:
    graph = GraphBuilder()
    value = graph.add("layer", layer, "observation")
    observations = observations_of(space, 30)
    with torch.no_grad():
        width = layer(torch.from_numpy(observations)).shape[1]
    graph.add("hidden", layers.Linear(width, 3), value)
    policy = graph.policy(space, box((3,), "float32", *ANY), None)
    randomised(policy)
    pressed = quantized(policy, observations)
    for given_, folder in ((policy, "float"), (pressed, "int8")):
        assert agreement(given_, Compiled.of(model_of(given_), tmp_path / folder), observations) == 1.0


def compared(policy: Policy, observations: Any) -> float:
    with tempfile.TemporaryDirectory(prefix="policypress-") as folder:
        return agreement(policy, Compiled.of(model_of(policy), Path(folder)), observations)


def drawn(plan: Plan) -> tuple[Policy, Any]:
    case = build(plan)
    policy = Policy.from_module(case.module, case.observations, case.actions)
    return policy, observations_of(case.observations, 50, plan.seed)


@settings(max_examples=4)
@given(plan=plans, bits=st.sampled_from([None, 8, 4]))
def test_networks_of_users(plan: Plan, bits: int | None) -> None:
    policy, observations = drawn(plan)
    if bits is not None:
        policy = quantized(policy, observations, bits)
    assert compared(policy, observations) > 0.95


@pytest.mark.slow
@settings(max_examples=150)
@given(plan=plans, bits=st.sampled_from([None, 8, 5, 4, 2]))
def test_many_networks_of_users(plan: Plan, bits: int | None) -> None:
    policy, observations = drawn(plan)
    if bits is not None:
        policy = quantized(policy, observations, bits)
    assert compared(policy, observations) > 0.95


FORMS = st.sampled_from([{}, {"outputs": True}, {"weights": False}, {"activations": False}])


@settings(max_examples=10)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    action=st.sampled_from(sorted(ACTIONS)),
    bits=st.integers(2, 8),
    activation=st.sampled_from(["relu", "tanh", "elu", "gelu", "silu", "mish", "hardtanh"]),
    form=FORMS,
)
def test_quantized_in_every_form(kind: str, action: str, bits: int, activation: str, form: dict[str, bool]) -> None:
    plain = KINDS[kind](ACTIONS[action], activation=activation)
    observations = observations_for(plain)
    assert compared(quantized(plain, observations, bits, **form), observations) > 0.95
