"""Every layer and every activation: torch, ONNX's reference evaluator and ONNX Runtime agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from small_policies import observations_of, randomised, tensors_of
from torch import nn

from policypress.policy import activations, layers
from policypress.policy.policy import GraphBuilder, Policy
from policypress.policy.quantization import LayerQuant, affine_spec, bias_spec, symmetric_spec
from policypress.writers.onnx_layers import WRITERS, write_layer
from policypress.writers.onnx_writer import to_onnx
from policypress_runtime.contract import Box, DictSpace, Discrete, MultiBinary, MultiDiscrete, Space, box
from policypress_runtime.errors import NetworkError
from policypress_runtime.runtimes.onnx_runtime import session_options

ANY = (-np.inf, np.inf)
RNG = np.random.default_rng(0)
LAYERS: dict[str, tuple[tuple[int, ...], nn.Module]] = {
    "linear": ((5,), layers.Linear(5, 3)),
    "linear without bias": ((5,), layers.Linear(5, 3, bias=False)),
    "conv": ((2, 9, 8), layers.Conv2d(2, 4, 3)),
    "conv with everything": ((4, 11, 8), layers.Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), groups=2, bias=False)),
    "one slope": ((4, 3), layers.PRelu(torch.tensor([0.3]))),
    "slopes": ((4, 3), layers.PRelu(torch.tensor([0.3, -0.2, 1.5]))),
    "slopes of channels": ((4, 3, 2), layers.PRelu(torch.tensor([0.3, -0.2, 1.5, 0.1]).reshape(4, 1, 1))),
    "normalise": ((4,), layers.Normalise(RNG.normal(size=4), RNG.uniform(0.1, 2, 4), 1e-8, 1.5)),
    "normalise far": ((4,), layers.Normalise(RNG.normal(size=4) * 1e3, RNG.uniform(1e5, 1e6, 4), 1e-8, np.inf)),
    "affine": ((4, 3), layers.Affine(RNG.normal(size=(4, 3)), RNG.normal(size=3))),
    "scale": ((4,), layers.Affine(scale=0.3)),
    "shift": ((4,), layers.Affine(shift=[1, 2, 3, 4])),
    "nothing": ((4,), layers.Affine()),
    "unscale": ((3,), layers.Unscale([-1, 0, -300], [1, 2, 100])),
    "clip": ((3,), layers.Clip(-0.5, 0.5)),
    "clip uniform array": ((3,), layers.Clip([-0.5] * 3, [0.7] * 3)),
    "clip each": ((3,), layers.Clip([-0.5, -np.inf, 0], [0.1, 0.2, np.inf])),
    "clip open": ((3,), layers.Clip(-np.inf, np.inf)),
    "flatten": ((3, 2, 2), layers.Flatten()),
    "reshape": ((6,), layers.Reshape((2, 3))),
    "transpose": ((4, 3, 2), layers.Transpose((0, 3, 1, 2))),
    "slice": ((4, 5), layers.Slice(2, 1, 4)),
    "layer norm": ((3, 4), layers.LayerNorm(4)),
    "layer norm of two axes": ((3, 4), layers.LayerNorm((3, 4), eps=1e-3)),
    "layer norm without bias": ((4,), layers.LayerNorm(4, bias=False)),
    "max pool": ((2, 7, 6), layers.Pool2d("max", (3, 2), (2, 2), (1, 1))),
    "average pool": ((2, 7, 6), layers.Pool2d("average", (3, 2), (2, 2), (1, 0))),
    "mean": ((2, 3, 4), layers.Mean((2, 3))),
    "mean kept": ((2, 3, 4), layers.Mean((1,), keep=True)),
    "softmax": ((3, 4), layers.Softmax(1)),
}


def policy_of(layer: nn.Module, shape: tuple[int, ...], *, copies: int = 1, space: Space | None = None) -> Policy:
    """A graph of this one layer; its action space is whatever comes out."""
    randomised(layer)
    observation = space or box(shape, "float32", *ANY)
    graph = GraphBuilder()
    graph.add("layer", layer, *["observation"] * copies)
    with torch.no_grad():
        out = layer(*[tensors_of(observations_of(observation, 2))] * copies)
    return graph.policy(observation, box(tuple(out.shape[1:]), "float32", *ANY), None)


def three_ways(policy: Policy, observations: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    model = to_onnx(policy)
    onnx.checker.check_model(model, full_check=True)
    feeds = {"observation": observations.astype(policy.inputs[""].dtype)}
    with torch.no_grad():
        ours = policy.scores(tensors_of(observations)).numpy()
    name = "scores" if policy.scores_node else "action"
    reference = ReferenceEvaluator(model).run([name], feeds)[0]
    session = ort.InferenceSession(model.SerializeToString(), session_options(), providers=["CPUExecutionProvider"])
    return ours, reference, session.run([name], feeds)[0]


def assert_agree(policy: Policy, observations: Any) -> None:
    ours, reference, runtime = three_ways(policy, observations)
    np.testing.assert_allclose(reference, ours, rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(runtime, ours, rtol=1e-5, atol=2e-6)
    assert runtime.dtype == ours.dtype


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer(name: str) -> None:
    shape, layer = LAYERS[name]
    policy = policy_of(layer, shape)
    assert_agree(policy, observations_of(policy.observation_space, 7))
    assert_agree(policy, observations_of(policy.observation_space, 1))


@pytest.mark.parametrize("name", activations.ACTIVATIONS)
def test_every_activation(name: str) -> None:
    policy = policy_of(layers.Activation(name), (5,))
    x = 3 * observations_of(policy.observation_space, 30)
    assert_agree(policy, np.abs(x) + 0.1 if name in ("log", "sqrt", "reciprocal") else x)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("elu", {"alpha": 0.3}),
        ("celu", {"alpha": 0.3}),
        ("leaky_relu", {"negative_slope": 0.2}),
        ("hardtanh", {"min_val": -0.5, "max_val": 2.0}),
    ],
)
def test_parameters_of_activations(name: str, parameters: dict[str, float]) -> None:
    policy = policy_of(layers.Activation(name, **parameters), (5,))
    assert_agree(policy, 3 * observations_of(policy.observation_space, 30))


@pytest.mark.parametrize("name", layers.BINARY)
def test_every_binary_operation(name: str) -> None:
    assert_agree(policy_of(layers.Binary(name), (4,), copies=2), observations_of(box((4,), "float32", *ANY)) + 10)


def test_concat() -> None:
    assert_agree(policy_of(layers.Concat(2), (4, 2), copies=2), observations_of(box((4, 2), "float32", *ANY)))


@pytest.mark.parametrize(
    ("space", "layer"),
    [
        (Discrete(4, 2), layers.OneHot([4], start=2)),
        (Discrete(1), layers.OneHot([1])),
        (MultiDiscrete((2, 3, 1)), layers.OneHot([2, 3, 1])),
        (MultiBinary(3), layers.ToFloat()),
        (box((2, 4, 4), "uint8", 0, 255), layers.ToFloat()),
        (box((3,), "int32", -9, 9), layers.ToFloat()),
        (box((3,), "int64", -9, 9), layers.ToFloat()),
    ],
    ids=str,
)
def test_integer_observations(space: Space, layer: nn.Module) -> None:
    policy = policy_of(layer, (), space=space)
    assert_agree(policy, observations_of(space, 8))


@pytest.mark.parametrize(
    ("space", "layer"),
    [
        (Discrete(5), layers.ArgMax([5])),
        (Discrete(5, -2), layers.ArgMax([5], start=-2)),
        (Discrete(1), layers.ArgMax([1])),
        (MultiDiscrete((2, 1, 3)), layers.ArgMax([2, 1, 3], single=False)),
        (MultiDiscrete((4,)), layers.ArgMax([4], single=False)),
        (MultiBinary(3), layers.Threshold()),
    ],
    ids=str,
)
def test_decisions(space: Space, layer: nn.Module) -> None:
    """Action and scores: dtypes, shapes, ties, and the start of the space."""
    width = {Discrete: lambda s: s.n, MultiDiscrete: lambda s: sum(s.nvec), MultiBinary: lambda s: s.n}[type(space)](
        space
    )
    graph = GraphBuilder()
    scores = graph.add("scored", layers.Affine(scale=2.0), "observation")
    graph.add("decide", layer, scores)
    policy = graph.policy(box((width,), "float32", *ANY), space, scores)
    x = observations_of(policy.observation_space, 20)
    x[0] = 0
    x[1] = 1
    assert_agree(policy, x)
    model = to_onnx(policy)
    got, scores_ = ReferenceEvaluator(model).run(["action", "scores"], {"observation": x})
    session = ort.InferenceSession(model.SerializeToString(), session_options(), providers=["CPUExecutionProvider"])
    want = policy(torch.from_numpy(x)).numpy()
    for action in (got, session.run(["action"], {"observation": x})[0]):
        assert action.dtype == want.dtype
        np.testing.assert_array_equal(action, want)
    np.testing.assert_array_equal(scores_, 2 * x)


def test_every_layer_class_is_covered() -> None:
    here = {type(layer) for _, layer in LAYERS.values()}
    here |= {layers.Activation, layers.Binary, layers.Concat, layers.OneHot, layers.ToFloat}
    assert set(WRITERS) == here | {layers.ArgMax, layers.Threshold}


def test_a_layer_without_a_writer_is_named() -> None:
    from policypress.writers.onnx_graph import OnnxGraph

    with pytest.raises(NetworkError, match=r"Bilinear[\s\S]*Conv2d"):
        write_layer(OnnxGraph(), nn.Bilinear(2, 2, 2), ["a"], "b")


QUANTIZED_ACTIVATIONS = sorted(set(activations.ACTIVATIONS) - {"log", "sqrt", "reciprocal", "exp"})
FORMS = ("qdq", "qdq with outputs", "float weights", "weights only", "float weights with outputs")


def quantized_pair(kind: str, activation: str, bits: int, form: str, per_channel: bool) -> tuple[Policy, Any]:
    """Two weighted layers with an activation between them, quantized by min and max."""
    graph = GraphBuilder()
    if kind == "linear":
        space: Box = box((6,), "float32", *ANY)
        value = graph.add("first", layers.Linear(6, 8), "observation")
        value = graph.add("activation", layers.Activation(activation), value)
        graph.add("second", layers.Linear(8, 4), value)
        action = box((4,), "float32", *ANY)
    else:
        space = box((2, 8, 7), "float32", *ANY)
        value = graph.add("first", layers.Conv2d(2, 4, 3, padding=1), "observation")
        value = graph.add("activation", layers.Activation(activation), value)
        graph.add("second", layers.Conv2d(4, 2, (8, 7)), value)
        action = box((2, 1, 1), "float32", *ANY)
    policy = graph.policy(space, action, None)
    randomised(policy)
    observations = observations_of(space, 40)
    with torch.no_grad():
        values = policy.run(tensors_of(observations))
    for name, layer in policy.weighted_layers():
        seen, given_ = values[policy.node(name).inputs[0]], values[name]
        x = affine_spec(float(seen.min()), float(seen.max()), bits) if form != "weights only" else None
        w = symmetric_spec(layer.weight, bits, per_channel=per_channel) if "float weights" not in form else None
        b = bias_spec(x, w) if x is not None and w is not None else None
        y = affine_spec(float(given_.min()), float(given_.max()), bits) if "outputs" in form else None
        layer.quant = LayerQuant(x, w, b, y)
    return policy, observations


def assert_quantized_agrees(policy: Policy, observations: Any) -> None:
    """Both evaluations of the file against float64; rounding ties may turn a step here and there."""
    model = to_onnx(policy)
    onnx.checker.check_model(model, full_check=True)
    with torch.no_grad():
        want = policy.clone().double()(tensors_of(observations)).numpy()
    session = ort.InferenceSession(model.SerializeToString(), session_options(), providers=["CPUExecutionProvider"])
    runtime = session.run(["action"], {"observation": observations})[0]
    reference = ReferenceEvaluator(model).run(["action"], {"observation": observations})[0]
    span = want.max() - want.min() + 1e-6
    for got in (runtime, reference):
        share = (np.abs(got - want) <= 1e-4 * span).mean()
        assert share > 0.9, share
        assert np.abs(got - want).max() < 0.5 * span


@pytest.mark.parametrize("kind", ["linear", "conv"])
@pytest.mark.parametrize("activation", QUANTIZED_ACTIVATIONS)
def test_qdq_around_every_activation(kind: str, activation: str) -> None:
    assert_quantized_agrees(*quantized_pair(kind, activation, 8, "qdq", per_channel=True))


@pytest.mark.parametrize("kind", ["linear", "conv"])
@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("form", FORMS)
def test_every_width_in_every_form(kind: str, bits: int, form: str) -> None:
    assert_quantized_agrees(*quantized_pair(kind, "relu", bits, form, per_channel=True))


@given(
    kind=st.sampled_from(["linear", "conv"]),
    activation=st.sampled_from(QUANTIZED_ACTIVATIONS),
    bits=st.integers(2, 8),
    form=st.sampled_from(FORMS),
    per_channel=st.booleans(),
)
def test_any_combination(kind: str, activation: str, bits: int, form: str, per_channel: bool) -> None:
    assert_quantized_agrees(*quantized_pair(kind, activation, bits, form, per_channel=per_channel))


@pytest.mark.parametrize("bits", [4, 8])
def test_quantized_output_of_an_activation(bits: int) -> None:
    policy, observations = quantized_pair("linear", "relu", 8, "qdq", per_channel=True)
    activation = policy.layers["activation"]
    assert isinstance(activation, layers.Activation)
    activation.quant = LayerQuant(output=affine_spec(0.0, 2.0, bits))
    assert_quantized_agrees(policy, observations)


@pytest.mark.parametrize("between", ["nothing", "relu", "reshape", "identity"])
def test_two_roundings_in_a_row_stay_two(between: str) -> None:
    """ONNX Runtime merges adjacent QDQ pairs, whatever their scales: the file must not offer them."""
    graph = GraphBuilder()
    value = graph.add("first", layers.Linear(6, 8), "observation")
    middle = {"relu": layers.Activation("relu"), "identity": layers.Affine(), "reshape": layers.Reshape((8,))}
    if between != "nothing":
        value = graph.add("middle", middle[between], value)
    graph.add("second", layers.Linear(8, 4), value)
    policy = graph.policy(box((6,), "float32", *ANY), box((4,), "float32", *ANY), None)
    randomised(policy)
    observations = observations_of(policy.observation_space, 40)
    weights = {name: symmetric_spec(layer.weight) for name, layer in policy.weighted_layers()}
    inputs = {"first": affine_spec(-5.0, 5.0), "second": affine_spec(-2.0, 2.5)}
    for name, layer in policy.weighted_layers():
        output = affine_spec(-3.0, 2.0) if name == "first" else None
        layer.quant = LayerQuant(inputs[name], weights[name], bias_spec(inputs[name], weights[name]), output)
    assert_quantized_agrees(policy, observations)


def test_observations_of_a_dict_have_names() -> None:
    space = DictSpace((("a", box((2,), "float32", *ANY)), ("b", box((3,), "float32", *ANY))))
    graph = GraphBuilder()
    graph.add("joined", layers.Concat(1), "observation.a", "observation.b")
    model = to_onnx(graph.policy(space, box((5,), "float32", *ANY), None))
    assert [i.name for i in model.graph.input] == ["observation.a", "observation.b"]
