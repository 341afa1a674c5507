"""From a checkpoint of another framework, a chain of steps, to a :class:`Policy`."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor, nn

from policypress.agents.bundle import (
    Activation,
    AgentBundle,
    Array,
    ChainNetwork,
    Dense,
    LayerNormed,
    Limited,
    Plain,
    Recurrent,
    Scaled,
)
from policypress.policy import layers
from policypress.policy.importers.from_sb3 import check_width, choose
from policypress.policy.importers.fusion import new_linear
from policypress.policy.observation_layers import add_preprocessing
from policypress.policy.policy import SINGLE_KEY, GraphBuilder, Origin, Policy, State
from policypress.policy.recurrence.cells import Weights, stacked, state_specs
from policypress_runtime.contract import Box, with_mask
from policypress_runtime.errors import NetworkError


def from_chain(bundle: AgentBundle, *, transposed_keys: Collection[str] = ()) -> Policy:
    """Policy of an agent whose network is a :class:`ChainNetwork`.

    Args:
        bundle: the agent.
        transposed_keys: of images, which such agents do not have.

    Raises:
        DamagedAgentError: the last layer does not fit the action space.
        NetworkError: an activation or a space that is not supported.
    """
    network = bundle.network
    if not isinstance(network, ChainNetwork):
        raise NetworkError("This agent is no chain of layers.", got=bundle.algorithm)
    graph = GraphBuilder(reserved=("h_in", "c_in"))
    space = bundle.observation_space
    value = add_preprocessing(
        graph,
        SINGLE_KEY,
        space,
        normaliser=bundle.normaliser.get(SINGLE_KEY),
        normalize_images=False,
        transpose=False,
    )
    if isinstance(space, Box) and len(space.shape) != 1:
        value = graph.add("flatten", layers.Flatten(), value)
    last = max(place for place, step in enumerate(network.steps) if isinstance(step, Dense))
    states: tuple[State, ...] = ()
    for step in network.steps[: last + 1]:
        if isinstance(step, Recurrent):
            value, states = _memory(graph, step, value)
        else:
            value = graph.add(_NAMES[type(step)], _layer(step), value)
    check_width(graph, bundle.action_space)
    for place, step in enumerate(network.steps[last + 1 :]):
        if isinstance(step, Recurrent):
            raise NetworkError("The agent's memory does not come before its last layer.", got=step.kind)
        layer = _layer(step)
        if place == 0 and network.squash and isinstance(layer, layers.Activation):
            layer.role = "squash"
        value = graph.add(str(getattr(layer, "role", "")) or _NAMES[type(step)], layer, value)
    scores = _head(graph, bundle, value)
    origin = Origin(
        algorithm=network.framework,
        environment=bundle.environment,
        caller_supplies=with_mask(network.framework, bundle.caller_supplies),
        assumptions=bundle.assumptions,
        sha256=bundle.provenance.sha256,
        training=bundle.provenance.training,
        notices=bundle.notices,
    )
    return graph.policy(space, bundle.action_space, scores, origin, states)


def _memory(graph: GraphBuilder, step: Recurrent, value: str) -> tuple[str, tuple[State, ...]]:
    """The recurrent layers: what the last one gives, and their states."""
    found = [Weights(*(None if part is None else _tensor(part) for part in layer)) for layer in step.layers]  # type: ignore[arg-type]
    specs = state_specs(step.kind, len(found), step.hidden)
    value, after = stacked(graph.add, step.kind, value, [spec.name for spec in specs], found)
    return value, tuple(State(spec, node) for spec, node in zip(specs, after, strict=True))


def _head(graph: GraphBuilder, bundle: AgentBundle, value: str) -> str | None:
    actions = bundle.action_space
    if not isinstance(actions, Box):
        choose(graph, actions, value)
        return value
    if len(actions.shape) != 1:
        value = graph.add("reshape", layers.Reshape(actions.shape), value)
    low, high = actions.bounds()
    if bool(np.isfinite(low).any() or np.isfinite(high).any()):
        graph.add("clip", layers.Clip(low, high), value)
    return None


_NAMES: dict[type[Plain], str] = {
    Dense: "linear",
    Activation: "activation",
    LayerNormed: "norm",
    Scaled: "scale",
    Limited: "limit",
}


def _layer(step: Plain) -> nn.Module:
    match step:
        case Dense():
            return new_linear(_tensor(step.weight), None if step.bias is None else _tensor(step.bias))
        case Activation():
            return layers.Activation(step.name, **dict(step.parameters))
        case LayerNormed():
            norm = layers.LayerNorm(step.weight.shape[0], eps=step.epsilon)
            norm.weight.data.copy_(_tensor(step.weight))
            norm.bias.data.copy_(_tensor(step.bias))
            return norm
        case Scaled():
            return layers.Affine(step.scale, step.shift, step.role)
        case Limited():
            return layers.Clip(step.low, step.high)


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.array(array, np.float32))
