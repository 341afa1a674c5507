"""Folding constants into linear layers changes nothing but the number of layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_policies import VECTOR, cnn, finished, mlp, observations_of, quantized, tensors_of

from policypress.policy import layers
from policypress.policy.folding import fold_affines
from policypress.policy.policy import GraphBuilder, Policy
from policypress_runtime.contract import box

OUT = box((8,), "float32", -1, 1)


def outputs(policy: Policy, seed: int = 0) -> torch.Tensor:
    with torch.no_grad():
        return policy.scores(tensors_of(observations_of(policy.observation_space, 30, seed)))


@given(
    seed=st.integers(0, 1000),
    bias=st.booleans(),
    parts=st.sampled_from(["scale", "shift", "both", "scalar"]),
    places=st.sets(st.sampled_from(["before", "between", "after"]), min_size=1),
)
def test_folded_policy_is_the_same(seed: int, bias: bool, parts: str, places: set[str]) -> None:
    rng = np.random.default_rng(seed)

    def affine(width: int) -> layers.Affine:
        shape = () if parts == "scalar" else (width,)
        scale = None if parts == "shift" else rng.normal(size=shape)
        return layers.Affine(scale, None if parts == "scale" else rng.normal(size=shape))

    graph = GraphBuilder()
    value = "observation"
    if "before" in places:
        value = graph.add("affine", affine(5), value)
    value = graph.add("hidden", layers.Linear(5, 7, bias=bias), value)
    value = graph.add("activation", layers.Activation("tanh"), value)
    if "between" in places:
        value = graph.add("affine", affine(7), value)
    value = graph.add("second", layers.Linear(7, 8, bias=bias), value)
    if "after" in places:
        value = graph.add("affine", affine(8), value)
    value = graph.add("activation", layers.Activation("relu"), value)
    policy = finished(graph, VECTOR, OUT, value)
    folded = fold_affines(policy)
    assert not any(isinstance(layer, layers.Affine) for layer in folded.layers.values())
    assert len(folded.nodes) == len(policy.nodes) - len(places)
    assert torch.allclose(outputs(folded, seed), outputs(policy, seed), rtol=1e-5, atol=1e-5)
    assert sum(isinstance(layer, layers.Affine) for layer in policy.layers.values()) == len(places)


def test_what_has_a_role_stays() -> None:
    policy = cnn()
    folded = fold_affines(policy)
    assert folded.folded() == policy.folded()
    assert torch.equal(outputs(folded), outputs(policy))


def test_what_is_read_twice_stays() -> None:
    graph = GraphBuilder()
    hidden = graph.add("hidden", layers.Linear(5, 8), "observation")
    scaled = graph.add("affine", layers.Affine(scale=3.0), hidden)
    joined = graph.add("sum", layers.Binary("add"), scaled, hidden)
    policy = finished(graph, VECTOR, OUT, joined)
    folded = fold_affines(policy)
    assert "affine" in folded.layers
    assert torch.equal(outputs(folded), outputs(policy))


def test_quantized_layers_are_left_alone() -> None:
    graph = GraphBuilder()
    scaled = graph.add("affine", layers.Affine(scale=3.0), "observation")
    policy = finished(graph, VECTOR, OUT, graph.add("hidden", layers.Linear(5, 8), scaled))
    pressed = quantized(policy, observations_of(VECTOR))
    folded = fold_affines(pressed)
    assert torch.equal(outputs(folded), outputs(pressed))
    assert "affine" in folded.layers


def test_the_scored_node_may_be_folded_away() -> None:
    graph = GraphBuilder()
    hidden = graph.add("hidden", layers.Linear(5, 4), "observation")
    scaled = graph.add("affine", layers.Affine(scale=[1.0, -2.0, 0.5, 3.0]), hidden)
    graph.add("argmax", layers.ArgMax([4]), scaled)
    from policypress_runtime.contract import Discrete

    policy = graph.policy(VECTOR, Discrete(4), scaled)
    folded = fold_affines(policy)
    assert folded.scores_node == "hidden"
    assert torch.allclose(outputs(folded), outputs(policy), atol=1e-6)


def test_without_affines_nothing_changes() -> None:
    policy = mlp()
    assert [n.name for n in fold_affines(policy).nodes] == [n.name for n in policy.nodes]


@pytest.mark.parametrize("shape", [(5, 1), (1, 5)])
def test_constants_of_any_broadcastable_form(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    graph = GraphBuilder()
    scale = np.arange(1.0, 6.0).reshape(1, 5)
    scaled = graph.add("affine", layers.Affine(scale=scale if shape == (1, 5) else 2.0), "observation")
    policy = finished(graph, VECTOR, OUT, graph.add("hidden", layers.Linear(5, 8), scaled))
    assert torch.allclose(outputs(fold_affines(policy)), outputs(policy), atol=1e-5)
