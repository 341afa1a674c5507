"""From a Stable-Baselines3 or sb3-contrib agent to a :class:`Policy`.

Equals ``model.predict(deterministic=True)``: every pre- and post-processing step is inside.
Layer sizes come from the tensors themselves; ``Sb3Network`` says what they do not tell.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from policypress.agents.bundle import ACTOR_CRITIC, Activation, AgentBundle, Cnn, Sb3Network
from policypress.policy import layers
from policypress.policy.observation_layers import add_preprocessing, channel_last
from policypress.policy.policy import SINGLE_KEY, GraphBuilder, Origin, Policy, State
from policypress.policy.recurrence.cells import Weights, stacked, state_specs
from policypress_runtime.contract import (
    Box,
    DictSpace,
    Discrete,
    MultiBinary,
    MultiDiscrete,
    Space,
    action_width,
    with_mask,
)
from policypress_runtime.errors import DamagedAgentError, NetworkError

# Where the acting network stands in the checkpoint: (parts in order, each with an activation after its
# last layer or not). A part that has no tensors is skipped (shared_net exists up to SB3 1.7).
HIDDEN, OUTPUT = True, False
PARTS: Mapping[str, tuple[tuple[str, bool], ...]] = {
    "dqn": (("q_net.q_net", OUTPUT),),
    "qrdqn": (("quantile_net.quantile_net", OUTPUT),),
    "ars": (("action_net", OUTPUT),),
    "td3": (("actor.mu", OUTPUT),),
    "ddpg": (("actor.mu", OUTPUT),),
    "sac": (("actor.latent_pi", HIDDEN), ("actor.mu", OUTPUT)),
    "tqc": (("actor.latent_pi", HIDDEN), ("actor.mu", OUTPUT)),
    "crossq": (("actor.latent_pi", HIDDEN), ("actor.mu", OUTPUT)),
    "actor_critic": (
        ("mlp_extractor.shared_net", HIDDEN),
        ("mlp_extractor.policy_net", HIDDEN),
        ("action_net", OUTPUT),
    ),
}


def from_bundle(bundle: AgentBundle, *, transposed_keys: Collection[str] = ()) -> Policy:
    """Policy of a Stable-Baselines3 agent.

    Args:
        bundle: an agent whose network is an :class:`Sb3Network`.
        transposed_keys: observation keys (``""`` for a single tensor) of images that the caller gives as the
            environment does (height, width, channels) and the graph transposes for the network.

    Raises:
        DamagedAgentError: tensors are missing or do not fit each other or the action space.
        NetworkError: something in the network is not supported.
    """
    network = bundle.network
    if not isinstance(network, Sb3Network):
        raise NetworkError("This agent did not come from Stable-Baselines3.", got=bundle.algorithm)
    graph = GraphBuilder(reserved=("h_in", "c_in"))
    value = _features(graph, bundle, network, transposed_keys)
    states: tuple[State, ...] = ()
    if network.algorithm == "recurrent_ppo":
        value, states = _memory(graph, network, value)
    group = "actor_critic" if network.algorithm in ACTOR_CRITIC else network.algorithm
    for prefix, hidden in PARTS[group]:
        value = _sequential(graph, network, prefix, value, network.activation, closing=hidden)
    _fold_quantiles(graph, network, bundle.action_space)
    check_width(graph, bundle.action_space)
    scores = _head(graph, network, bundle.action_space, value)
    space = _caller_space(bundle.observation_space, transposed_keys)
    origin = Origin(
        algorithm=network.algorithm,
        environment=bundle.environment,
        caller_supplies=with_mask(network.algorithm, bundle.caller_supplies),
        assumptions=bundle.assumptions,
        sha256=bundle.provenance.sha256,
        training=bundle.provenance.training,
        notices=bundle.notices,
    )
    return graph.policy(space, bundle.action_space, scores, origin, states)


def _memory(graph: GraphBuilder, network: Sb3Network, value: str) -> tuple[str, tuple[State, ...]]:
    """The LSTM that acts: its output, and its states."""
    tensors = _tensors(network, "lstm_actor")
    layers_found: list[Weights] = []
    while (weight := tensors.get(f"weight_ih_l{(place := len(layers_found))}")) is not None:
        bias = [tensors.get(f"bias_{side}_l{place}") for side in ("ih", "hh")]
        layers_found.append(Weights(weight, tensors[f"weight_hh_l{place}"], *bias))
    specs = state_specs("lstm", len(layers_found), layers_found[0].hidden)
    value, after = stacked(graph.add, "lstm", value, [spec.name for spec in specs], layers_found)
    return value, tuple(State(spec, node) for spec, node in zip(specs, after, strict=True))


def _caller_space(space: Space, transposed_keys: Collection[str], key: str = SINGLE_KEY) -> Space:
    if isinstance(space, DictSpace):
        return DictSpace(tuple((name, _caller_space(part, transposed_keys, name)) for name, part in space.spaces))
    return channel_last(space) if isinstance(space, Box) and key in transposed_keys else space


def _features(graph: GraphBuilder, bundle: AgentBundle, network: Sb3Network, transposed_keys: Collection[str]) -> str:
    space = bundle.observation_space
    keyed = space.spaces if isinstance(space, DictSpace) else ((SINGLE_KEY, space),)
    joined: list[str] = []
    for key, part in keyed:
        value = add_preprocessing(
            graph,
            key,
            part,
            normaliser=bundle.normaliser.get(key),
            normalize_images=network.normalize_images,
            transpose=key in transposed_keys,
        )
        extractor = network.extractor
        if extractor.cnn is not None and (extractor.kind == "cnn" or key in extractor.image_keys):
            prefix = extractor.prefix + (f"extractors.{key}." if extractor.kind == "combined" else "")
            value = _cnn(graph, network, prefix, value, extractor.cnn)
        elif isinstance(part, Box) and len(part.shape) != 1:
            value = graph.add("flatten", layers.Flatten(), value)
        joined.append(value)
    return joined[0] if len(joined) == 1 else graph.add("concat", layers.Concat(1), *joined)


def _cnn(graph: GraphBuilder, network: Sb3Network, prefix: str, value: str, cnn: Cnn) -> str:
    indices = _indices(network, f"{prefix}cnn")
    for index, stride, padding in zip(indices, cnn.strides, cnn.paddings, strict=True):
        tensors = _tensors(network, f"{prefix}cnn.{index}")
        conv = _with_learned(_conv(tensors, stride, padding), network, f"{prefix}cnn.{index}")
        value = graph.add("conv", conv, value)
        value = graph.add("activation", _activation(cnn.activation), value)
    value = graph.add("flatten", layers.Flatten(), value)
    return _sequential(graph, network, f"{prefix}linear", value, cnn.activation, closing=True)


def _indices(network: Sb3Network, prefix: str) -> list[int]:
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    return sorted({int(m[1]) for key in network.state if (m := pattern.match(key))})


def _tensors(network: Sb3Network, prefix: str) -> dict[str, Tensor]:
    start = prefix + "."
    return {
        key[len(start) :]: torch.from_numpy(np.array(value, dtype=np.float32))
        for key, value in network.state.items()
        if key.startswith(start) and "." not in key[len(start) :]
    }


def _sequential(
    graph: GraphBuilder, network: Sb3Network, prefix: str, value: str, activation: Activation, *, closing: bool
) -> str:
    """Add a ``Sequential`` (or a bare linear layer) found under ``prefix``.

    Positions without tensors are activations (dropout is nothing at inference); ``closing`` says whether one
    follows the last linear layer, which the file cannot tell.
    """
    bare = _tensors(network, prefix)
    if bare:
        return graph.add("linear", _with_learned(_linear(bare), network, prefix), value)
    indices = _indices(network, prefix)
    pending = False
    for index in indices:
        tensors = _tensors(network, f"{prefix}.{index}")
        if pending and index - 1 not in indices:
            value = graph.add("activation", _activation(activation), value)
            pending = False
        layer = _with_learned(_layer(tensors, network.norm_epsilon), network, f"{prefix}.{index}")
        name = "linear" if isinstance(layer, layers.Linear) else "norm"
        value = graph.add(name, layer, value)
        pending = pending or isinstance(layer, layers.Linear)
        if isinstance(layer, layers.PRelu):
            pending = False
    if pending and closing:
        value = graph.add("activation", _activation(activation), value)
    return value


def _with_learned(layer: nn.Module, network: Sb3Network, name: str) -> nn.Module:
    if isinstance(layer, layers.Linear | layers.Conv2d) and name in network.quantizers:
        layer.learned = network.quantizers[name]
    return layer


def _activation(activation: Activation) -> layers.Activation:
    return layers.Activation(activation.name, **dict(activation.parameters))


def _layer(tensors: Mapping[str, Tensor], norm_epsilon: float) -> nn.Module:
    if "ra_mean" in tensors:
        scale = tensors["scale"] / torch.sqrt(tensors["ra_var"] + norm_epsilon)
        return layers.Affine(scale.numpy(), (tensors["bias"] - tensors["ra_mean"] * scale).numpy())
    if "running_mean" in tensors:
        scale = 1 / torch.sqrt(tensors["running_var"].double() + norm_epsilon)
        scale = scale * tensors.get("weight", torch.ones(1))
        shift = tensors.get("bias", torch.zeros(1)) - tensors["running_mean"] * scale
        return layers.Affine(scale.float().numpy(), shift.float().numpy())
    weight = tensors.get("weight")
    if weight is None:
        raise DamagedAgentError("A layer has no weight.", got=", ".join(sorted(tensors)), expected="weight and bias")
    if weight.dim() == 2:
        return _linear(tensors)
    if weight.dim() == 1 and "bias" in tensors:
        norm = layers.LayerNorm(weight.shape[0])
        norm.weight.data.copy_(weight)
        norm.bias.data.copy_(tensors["bias"])
        return norm
    if weight.dim() == 1:
        return layers.PRelu(weight)
    raise NetworkError(
        "A layer is not supported.",
        got=f"weight of shape {tuple(weight.shape)}",
        expected="linear, convolution or normalisation",
    )


def _linear(tensors: Mapping[str, Tensor]) -> layers.Linear:
    weight, bias = tensors["weight"], tensors.get("bias")
    layer = layers.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight.data.copy_(weight)
    if bias is not None:
        layer.bias.data.copy_(bias)
    return layer


def _conv(tensors: Mapping[str, Tensor], stride: int, padding: int) -> layers.Conv2d:
    weight, bias = tensors["weight"], tensors.get("bias")
    size = (int(weight.shape[2]), int(weight.shape[3]))
    layer = layers.Conv2d(weight.shape[1], weight.shape[0], size, stride=stride, padding=padding, bias=bias is not None)
    layer.weight.data.copy_(weight)
    if bias is not None and layer.bias is not None:
        layer.bias.data.copy_(bias)
    return layer


def _fold_quantiles(graph: GraphBuilder, network: Sb3Network, action_space: Space) -> None:
    """QR-DQN scores an action by the mean of its quantiles: a mean of rows of the last layer, so fold it."""
    if network.algorithm != "qrdqn" or network.n_quantiles is None or not isinstance(action_space, Discrete):
        return
    last = graph.layers[graph.nodes[-1].name]
    if not isinstance(last, layers.Linear) or last.out_features != network.n_quantiles * action_space.n:
        raise DamagedAgentError(
            "The quantile layer does not fit the action space.",
            got=f"{getattr(last, 'out_features', '?')} outputs",
            expected=f"{network.n_quantiles} quantiles × {action_space.n} actions",
        )
    shape = (network.n_quantiles, action_space.n)
    tensors = {"weight": last.weight.data.double().reshape(*shape, -1).mean(0).float()}
    if last.bias is not None:
        tensors["bias"] = last.bias.data.double().reshape(shape).mean(0).float()
    graph.layers[graph.nodes[-1].name] = _linear(tensors)


def check_width(graph: GraphBuilder, action_space: Space) -> None:
    """Refuse a last layer that does not give what the actions need.

    Raises:
        DamagedAgentError: names both numbers.
    """
    last = graph.layers[graph.nodes[-1].name] if graph.nodes else None
    width = action_width(action_space)
    if not isinstance(last, layers.Linear) or last.out_features != width:
        raise DamagedAgentError(
            "The last layer does not fit the action space.",
            got=f"{getattr(last, 'out_features', 'no')} outputs",
            expected=f"{width} for {action_space}",
            hint="The file is incomplete, or its action space was changed.",
        )


def _head(graph: GraphBuilder, network: Sb3Network, space: Space, value: str) -> str | None:
    if isinstance(space, Box):
        _continuous_head(graph, network, space, value)
        return None
    choose(graph, space, value)
    return value


def choose(graph: GraphBuilder, space: Space, value: str) -> None:
    """Add what decides on discrete actions by the scores ``value``.

    Raises:
        NetworkError: a space without such actions.
    """
    match space:
        case Discrete():
            # Stable-Baselines3 counts actions from 0 whatever the space's start, in training and in predict.
            graph.add("argmax", layers.ArgMax([space.n]), value)
        case MultiDiscrete():
            graph.add("argmax", layers.ArgMax(space.nvec, single=False), value)
        case MultiBinary():
            graph.add("threshold", layers.Threshold(), value)
        case _:
            raise NetworkError("An action space is not supported.", got=repr(space))


def _continuous_head(graph: GraphBuilder, network: Sb3Network, space: Box, value: str) -> None:
    low, high = space.bounds()
    if network.mean_clip is not None:
        value = graph.add("mean_clip", layers.Clip(-network.mean_clip, network.mean_clip, role="clip_mean"), value)
    if network.squash_output:
        squash = layers.Activation("tanh")
        squash.role = "squash"
        value = graph.add("squash", squash, value)
    if len(space.shape) != 1:
        value = graph.add("reshape", layers.Reshape(space.shape), value)
    if not network.squash_output:
        graph.add("clip", layers.Clip(low, high), value)
    elif not (np.all(low == -1) and np.all(high == 1)):
        graph.add("unscale", layers.Unscale(low, high), value)
