"""Small policies of every kind of layer, and a few ways to quantize them, for tests of what is done with a policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from policypress.policy import layers
from policypress.policy.policy import GraphBuilder, Origin, Policy
from policypress.policy.quantization import LayerQuant, affine_spec, bias_spec, symmetric_spec
from policypress_runtime.contract import Box, DictSpace, Discrete, MultiBinary, MultiDiscrete, Space, action_width, box

torch.set_num_threads(1)

LOW, HIGH = np.array([-0.4, -2.0, 0.1]), np.array([0.4, 1.0, 7.3])
BOUNDED = box((3,), "float32", LOW, HIGH)
VECTOR = box((5,), "float32", -np.inf, np.inf)
IMAGE = box((2, 12, 10), "uint8", 0, 255)
MIXED = DictSpace((("camera", IMAGE), ("speed", VECTOR), ("gear", Discrete(4)), ("lamps", MultiBinary(2))))


def randomised(module: torch.nn.Module, seed: int = 0) -> None:
    """Weights of unit gain, biases that show."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        fan_in = parameter[0].numel() if parameter.dim() > 1 else 4
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / fan_in**0.5)


def finished(graph: GraphBuilder, observation: Space, action: Space, value: str, **origin: Any) -> Policy:
    """The last linear layer, what follows from the action space, and the policy."""
    width = graph.layers[value].out_features if isinstance(graph.layers[value], layers.Linear) else 8
    value = graph.add("out", layers.Linear(width, action_width(action)), value)
    scores: str | None = value
    match action:
        case Discrete():
            graph.add("argmax", layers.ArgMax([action.n], action.start), value)
        case MultiDiscrete():
            graph.add("argmax", layers.ArgMax(action.nvec, single=False), value)
        case MultiBinary():
            graph.add("threshold", layers.Threshold(), value)
        case _:
            assert isinstance(action, Box)
            scores = None
            squash = layers.Activation("tanh")
            squash.role = "squash"
            graph.add("unscale", layers.Unscale(*action.bounds()), graph.add("squash", squash, value))
    policy = graph.policy(observation, action, scores, Origin(**origin))
    randomised(policy)
    return policy


def mlp(action: Space = BOUNDED, activation: str = "relu", hidden: int = 8, depth: int = 2, **origin: Any) -> Policy:
    """Normalised vector in, ``depth`` hidden layers."""
    graph = GraphBuilder()
    rng = np.random.default_rng(0)
    value = graph.add(
        "normalise", layers.Normalise(rng.normal(size=5), rng.uniform(0.5, 2, 5), 1e-8, 10.0), "observation"
    )
    width = 5
    for _ in range(depth):
        value = graph.add("hidden", layers.Linear(width, hidden), value)
        value = graph.add("activation", layers.Activation(activation), value)
        width = hidden
    if hidden != 8:
        value = graph.add("narrow", layers.Linear(hidden, 8), value)
    return finished(graph, VECTOR, action, value, **origin)


def wide(action: Space = BOUNDED, inputs: int = 3000, **origin: Any) -> Policy:
    """So many inputs, normalised, that they are no small thing for a stack."""
    graph = GraphBuilder()
    layer = layers.Normalise(np.zeros(inputs), np.full(inputs, 2.0), 1e-8, 10.0)
    value = graph.add("hidden", layers.Linear(inputs, 8), graph.add("normalise", layer, "observation"))
    value = graph.add("activation", layers.Activation("tanh"), value)
    return finished(graph, box((inputs,), "float32", -np.inf, np.inf), action, value, **origin)


def cnn(action: Space = BOUNDED, activation: str = "relu", transposed: bool = False, **origin: Any) -> Policy:
    """Image in: two convolutions (padding, stride, groups), pooling to a vector, one hidden layer."""
    graph = GraphBuilder()
    value = graph.add("to_float", layers.ToFloat(), "observation")
    if transposed:
        value = graph.add("transpose", layers.Transpose((0, 3, 1, 2), role="transpose_image"), value)
    value = graph.add("scale", layers.Affine(scale=1 / 255, role="scale_image"), value)
    value = graph.add("conv", layers.Conv2d(2, 4, (3, 4), stride=(2, 1), padding=(1, 2)), value)
    value = graph.add("activation", layers.Activation(activation), value)
    value = graph.add("conv", layers.Conv2d(4, 6, 3, stride=2, groups=2, bias=False), value)
    value = graph.add("activation", layers.Activation(activation), value)
    value = graph.add("flatten", layers.Flatten(), value)
    value = graph.add("hidden", layers.Linear(60, 8), value)
    value = graph.add("activation", layers.Activation(activation), value)
    space = box((12, 10, 2), "uint8", 0, 255) if transposed else IMAGE
    return finished(graph, space, action, value, **origin)


def pictures(side: int, action: Space = BOUNDED, **origin: Any) -> Policy:
    """Pictures of ``side`` by ``side`` in, a multiple of 8: one convolution at full size, one that leaves little."""
    graph = GraphBuilder()
    value = graph.add("to_float", layers.ToFloat(), "observation")
    value = graph.add("scale", layers.Affine(scale=1 / 255, role="scale_image"), value)
    value = graph.add("conv", layers.Conv2d(3, 4, 3, padding=1), value)
    value = graph.add("activation", layers.Activation("relu"), value)
    value = graph.add("conv", layers.Conv2d(4, 4, 8, stride=8), value)
    value = graph.add("flatten", layers.Flatten(), graph.add("activation", layers.Activation("relu"), value))
    value = graph.add("hidden", layers.Linear(4 * (side // 8) ** 2, 8), value)
    return finished(graph, box((3, side, side), "uint8", 0, 255), action, value, **origin)


def mixed(action: Space = BOUNDED, activation: str = "relu", **origin: Any) -> Policy:
    """Dict in: image, vector, choice and bits, joined."""
    graph = GraphBuilder()
    image = graph.add("to_float", layers.ToFloat(), "observation.camera")
    image = graph.add("scale", layers.Affine(scale=1 / 255, role="scale_image"), image)
    image = graph.add("conv", layers.Conv2d(2, 3, 5, stride=3), image)
    image = graph.add("flatten", layers.Flatten(), graph.add("activation", layers.Activation(activation), image))
    gear = graph.add("gear", layers.OneHot([4]), "observation.gear")
    lamps = graph.add("lamps", layers.ToFloat(), "observation.lamps")
    value = graph.add("concat", layers.Concat(1), image, "observation.speed", gear, lamps)
    value = graph.add("hidden", layers.Linear(18 + 5 + 4 + 2, 8), value)
    value = graph.add("activation", layers.Activation(activation), value)
    return finished(graph, MIXED, action, value, **origin)


Build = Callable[..., Policy]
KINDS: dict[str, Build] = {"mlp": mlp, "cnn": cnn, "mixed": mixed}
ACTIONS: dict[str, Space] = {
    "box": BOUNDED,
    "discrete": Discrete(4),
    "from_two": Discrete(3, 2),
    "multi_discrete": MultiDiscrete((3, 1, 2)),
    "multi_binary": MultiBinary(3),
}


def observations_of(space: Space, count: int = 60, seed: int = 0) -> Any:
    """Random observations in the dtypes of ``space``."""
    rng = np.random.default_rng(seed)
    match space:
        case DictSpace():
            return {key: observations_of(part, count, seed + i) for i, (key, part) in enumerate(space.spaces)}
        case Box(dtype="uint8"):
            return rng.integers(0, 256, (count, *space.shape), dtype=np.uint8)
        case Box():
            return (2 * rng.normal(size=(count, *space.shape))).astype(space.dtype)
        case Discrete():
            return rng.integers(space.start, space.start + space.n, count)
        case MultiDiscrete():
            return rng.integers(space.nvec, size=(count, len(space.nvec)))
        case MultiBinary():
            return rng.integers(2, size=(count, space.n)).astype(np.int8)


def tensors_of(observations: Any) -> Any:
    """The same as tensors."""
    if isinstance(observations, dict):
        return {key: torch.from_numpy(value) for key, value in observations.items()}
    return torch.from_numpy(observations)


def quantized(
    policy: Policy,
    observations: Any,
    bits: int = 8,
    *,
    weights: bool = True,
    activations: bool = True,
    outputs: bool = False,
) -> Policy:
    """Min-max quantization of every weighted layer: inputs, weights per channel, int32 biases, perhaps outputs."""
    result = policy.clone()
    with torch.no_grad():
        values = policy.run(tensors_of(observations))
    for name, layer in result.weighted_layers():
        seen = values[result.node(name).inputs[0]].float()
        given = values[name]
        x = affine_spec(float(seen.min()), float(seen.max()), bits) if activations else None
        w = symmetric_spec(layer.weight, bits) if weights else None
        b = bias_spec(x, w) if x is not None and w is not None and layer.bias is not None else None
        y = affine_spec(float(given.min()), float(given.max()), bits) if outputs else None
        layer.quant = LayerQuant(x, w, b, y)
    return result
