"""The graph: what runs, what it refuses, and what it knows of itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_policies import ACTIONS, KINDS, VECTOR, cnn, finished, mixed, mlp, observations_of, quantized, tensors_of
from torch import nn

from policypress.policy import layers
from policypress.policy.policy import GraphBuilder, Node, Policy, input_name, observation_inputs
from policypress_runtime.contract import Box, DictSpace, Discrete, MultiBinary, MultiDiscrete, TensorSpec, box
from policypress_runtime.errors import NetworkError, ObservationError


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("action", ACTIONS)
def test_actions_have_the_form_of_their_space(kind: str, action: str) -> None:
    policy = KINDS[kind](ACTIONS[action])
    observations = tensors_of(observations_of(policy.observation_space, 9))
    with torch.no_grad():
        got, scores = policy(observations), policy.scores(observations)
    match policy.action_space:
        case Box() as space:
            low, high = space.bounds()
            assert got.dtype == torch.float32
            assert got.shape == (9, *space.shape)
            assert bool(((got.numpy() >= low - 1e-6) & (got.numpy() <= high + 1e-6)).all())
            assert torch.equal(scores, got)
        case Discrete() as space:
            assert (got.dtype, got.shape, scores.shape) == (torch.int64, (9,), (9, space.n))
            assert torch.equal(got, scores.argmax(1) + space.start)
        case MultiDiscrete() as space:
            assert (got.dtype, got.shape, scores.shape) == (torch.int64, (9, 3), (9, sum(space.nvec)))
            assert bool((got < torch.tensor(space.nvec)).all())
        case MultiBinary() as space:
            assert (got.dtype, got.shape) == (torch.int8, (9, space.n))
            assert torch.equal(got.bool(), scores > 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("action", ACTIONS)
def test_the_double_policy_agrees(kind: str, action: str) -> None:
    """What quantized parity compares with: float64 arithmetic, on the same observations, quantized or not."""
    policy = KINDS[kind](ACTIONS[action])
    observations = observations_of(policy.observation_space, 30)
    for one in (policy, quantized(policy, observations)):
        with torch.no_grad():
            wide = one.clone().double().scores(tensors_of(observations))
            want = one.scores(tensors_of(observations))
        assert wide.dtype == torch.float64
        reach = float(want.abs().max())
        # Rounding ties may turn a step of the quantized one.
        close = (wide - want).abs() < 1e-5 * (1 + reach)
        assert close.float().mean() > (0.95 if one.quantized else 0.999)


def test_inputs_by_space() -> None:
    space = DictSpace(
        (
            ("a", box((2, 3), "float64", -1, 1)),
            ("b", box((4,), "int32", -5, 5)),
            ("c", Discrete(3, 1)),
            ("d", MultiDiscrete((2, 2))),
            ("e", MultiBinary(4)),
            ("f", box((1, 8, 8), "uint8", 0, 255)),
        )
    )
    assert observation_inputs(space) == {
        "a": TensorSpec("observation.a", "float32", (2, 3)),
        "b": TensorSpec("observation.b", "int32", (4,)),
        "c": TensorSpec("observation.c", "int64", ()),
        "d": TensorSpec("observation.d", "int64", (2,)),
        "e": TensorSpec("observation.e", "int8", (4,)),
        "f": TensorSpec("observation.f", "uint8", (1, 8, 8)),
    }
    assert observation_inputs(VECTOR) == {"": TensorSpec("observation", "float32", (5,))}
    assert input_name("") == "observation"
    with pytest.raises(NetworkError, match="Nested"):
        observation_inputs(DictSpace((("inner", space),)))


def test_wrong_observations_are_named() -> None:
    policy = mixed()
    good = tensors_of(observations_of(policy.observation_space, 3))
    with pytest.raises(ObservationError, match="speed"):
        policy({**good, "speed": torch.zeros(3, 6)})
    with pytest.raises(ObservationError, match="keys"):
        policy({key: value for key, value in good.items() if key != "gear"})
    with pytest.raises(ObservationError, match="keys"):
        policy(torch.zeros(3, 5))
    with pytest.raises(ObservationError, match=r"\(batch, 5\)"):
        mlp()(torch.zeros(5))


def test_observations_are_rounded_to_float32_first() -> None:
    policy = mlp()
    wide = torch.randn(20, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(policy(wide), policy(wide.float()))
        double = policy.clone().double()
        assert torch.equal(double(wide), double(wide.float()))


@given(kind=st.sampled_from(sorted(KINDS)), seed=st.integers(0, 1000))
def test_replay_is_running_with_one_value_changed(kind: str, seed: int) -> None:
    policy = KINDS[kind]()
    with torch.no_grad():
        values = policy.run(tensors_of(observations_of(policy.observation_space, 4, seed)))
        name = sorted(n.name for n in policy.nodes)[seed % len(policy.nodes)]
        assert all(torch.equal(a, values[n]) for n, a in policy.replay(values, name, values[name]).items())
        moved = policy.replay(values, name, values[name] + 1)
    position = [node.name for node in policy.nodes].index(name)
    for node in policy.nodes[:position]:
        assert moved[node.name] is values[node.name]
    for node in policy.nodes[position + 1 :]:
        with torch.no_grad():
            assert torch.equal(moved[node.name], policy.layers[node.name](*(moved[i] for i in node.inputs)))


def test_what_it_knows_of_its_graph() -> None:
    policy = cnn(Discrete(4))
    assert [name for name, _ in policy.weighted_layers()] == ["conv", "conv_2", "hidden", "out"]
    assert policy.readers("conv") == ("activation",)
    assert [policy.is_last(name) for name, _ in policy.weighted_layers()] == [False, False, False, True]
    assert policy.hidden_channels() == 4 + 6 + 8
    assert policy.folded() == ("scale_image", "argmax")
    # kernels: 3·4·2·4 and 3·3·2·6 (groups), biases of the first only; layers of 60 × 8 and 8 × 4
    assert policy.parameter_count() == (96 + 4) + 108 + (60 * 8 + 8) + (8 * 4 + 4)
    assert policy.macs() == 96 * (6 * 11) + 108 * (2 * 5) + 60 * 8 + 8 * 4
    assert not policy.quantized
    assert mlp().folded() == ("normalise", "squash", "unscale")
    assert mixed().macs() > 0


def test_clones_share_nothing() -> None:
    policy = mlp()
    copy = policy.clone()
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.zero_()
    copy.insert_before("out", "activation_2", "extra", layers.Affine(scale=2.0))
    assert all(bool(p.abs().sum() > 0) for p in policy.parameters())
    assert "extra" not in policy.layers


def test_insert_before_moves_one_reader_only() -> None:
    graph = GraphBuilder()
    first = graph.add("hidden", layers.Linear(5, 8), "observation")
    left = graph.add("left", layers.Linear(8, 8), first)
    right = graph.add("right", layers.Linear(8, 8), first)
    policy = finished(graph, VECTOR, box((8,), "float32", -1, 1), graph.add("sum", layers.Binary("add"), left, right))
    x = tensors_of(observations_of(VECTOR, 5))
    with torch.no_grad():
        before = policy.run(x)
        policy.insert_before("right", first, "doubled", layers.Affine(scale=2.0))
        after = policy.run(x)
    assert policy.node("left").inputs == (first,)
    assert policy.node("right").inputs == ("doubled",)
    assert torch.equal(after["left"], before["left"])
    assert torch.equal(after["right"], policy.layers["right"](2 * before["hidden"]).detach())


def test_names_of_nodes_are_unique_and_plain() -> None:
    graph = GraphBuilder()
    names = [graph.add("a.b/c", layers.Flatten(), "observation") for _ in range(3)]
    assert names == ["a_b_c", "a_b_c_2", "a_b_c_3"]
    assert graph.nodes[1] == Node("a_b_c_2", ("observation",))


def test_from_module_is_reached_from_the_class() -> None:
    module = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))
    policy = Policy.from_module(module, VECTOR, box((2,), "float32", -np.inf, np.inf))
    x = torch.randn(4, 5)
    with torch.no_grad():
        assert torch.allclose(policy(x), module(x))
