"""The policy: one module, raw observation in, environment action out.

A policy is a small directed graph of the layers in :mod:`policypress.policy.layers`. The same graph runs
in torch, is written to ONNX, pruned and quantized; nothing about the agent lives outside it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from policypress.contract import (
    Box,
    Checked,
    DictSpace,
    Discrete,
    EnvironmentSpec,
    MultiBinary,
    MultiDiscrete,
    Space,
    TensorSpec,
)
from policypress.errors import NetworkError, ObservationError
from policypress.policy.layers import Conv2d, Linear, Weighted, multiply_accumulates

Observation = Tensor | Mapping[str, Tensor]

OBSERVATION = "observation"
ACTION = "action"
SCORES = "scores"
SINGLE_KEY = ""


def input_name(key: str) -> str:
    """Name of the graph input for an observation key (``""`` for a single tensor)."""
    return OBSERVATION if key == SINGLE_KEY else f"{OBSERVATION}.{key}"


def observation_inputs(space: Space) -> dict[str, TensorSpec]:
    """Graph inputs for an observation space, by key; integers keep their dtype, all else is float32."""
    if isinstance(space, DictSpace):
        return {key: _input_of(key, part) for key, part in space.spaces}
    return {SINGLE_KEY: _input_of(SINGLE_KEY, space)}


def _input_of(key: str, space: Space) -> TensorSpec:
    match space:
        case Box():
            dtype = space.dtype if space.dtype in ("uint8", "int8", "int32", "int64") else "float32"
            return TensorSpec(input_name(key), dtype, space.shape)
        case Discrete():
            return TensorSpec(input_name(key), "int64", ())
        case MultiDiscrete():
            return TensorSpec(input_name(key), "int64", (len(space.nvec),))
        case MultiBinary():
            return TensorSpec(input_name(key), "int8", (space.n,))
        case DictSpace():
            raise NetworkError(
                "Nested dict observations are not supported.", got=repr(space), expected="one level of keys"
            )


@dataclass(frozen=True)
class Node:
    """One step: the layer ``name`` applied to the values called ``inputs``; its value has the layer's name."""

    name: str
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Origin:
    """Where a policy came from; goes into the artifact's contract."""

    algorithm: str = "module"
    environment: EnvironmentSpec | None = None
    caller_supplies: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    checked: Checked | None = None
    sha256: str | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


class Policy(nn.Module):
    """A deterministic policy.

    Args:
        observation_space: what ``forward`` takes, batch first: one tensor, or a dict of tensors.
        action_space: what ``forward`` gives: ``(batch, *shape)`` float32 for a Box, ``(batch,)`` int64 for
            Discrete, ``(batch, k)`` int64 for MultiDiscrete, ``(batch, n)`` int8 for MultiBinary.
        layers: the graph's layers by name (letters, digits and underscores).
        nodes: the graph, in an order in which it can run; the last node gives the action.
        scores: name of the node whose value is scored before argmax or threshold; None for a Box.
        origin: where the policy came from.
    """

    def __init__(
        self,
        observation_space: Space,
        action_space: Space,
        layers: Mapping[str, nn.Module],
        nodes: tuple[Node, ...],
        scores: str | None = None,
        origin: Origin | None = None,
    ) -> None:
        super().__init__()
        self.observation_space = observation_space
        self.action_space = action_space
        self.inputs = observation_inputs(observation_space)
        self.layers = nn.ModuleDict(dict(layers))
        self.nodes = nodes
        self.scores_node = scores
        self.origin = origin or Origin()
        # Of layers that were pruned: which of their first output channels are left, in order.
        self.kept_channels: dict[str, tuple[int, ...]] = {}
        self.eval()

    def forward(self, observation: Observation) -> Shaped[Tensor, "batch *action"]:
        """Observation batch → action batch."""
        return self.run(observation)[self.nodes[-1].name]

    def scores(self, observation: Observation) -> Float[Tensor, "batch *scores"]:
        """What decides: for discrete actions the scores before argmax, ``(batch, n)``; for a Box the action."""
        return self.run(observation)[self.scores_node or self.nodes[-1].name]

    def run(self, observation: Observation) -> dict[str, Tensor]:
        """Every value of the graph by name, inputs included.

        Raises:
            ObservationError: keys or shapes do not match the observation space.
        """
        values = self.bind(observation)
        for node in self.nodes:
            values[node.name] = self.layers[node.name](*(values[name] for name in node.inputs))
        return values

    def replay(self, values: Mapping[str, Tensor], name: str, value: Tensor) -> dict[str, Tensor]:
        """The values of a run again, with ``value`` in place of node ``name``; earlier nodes are not run again."""
        moved = {**values, name: value}
        changed = {name}
        for node in self.nodes:
            if node.name != name and changed & set(node.inputs):
                moved[node.name] = self.layers[node.name](*(moved[n] for n in node.inputs))
                changed.add(node.name)
        return moved

    def bind(self, observation: Observation) -> dict[str, Tensor]:
        """The graph's inputs by name, in the dtypes that the layers take.

        Raises:
            ObservationError: keys or shapes do not match the observation space.
        """
        parts = {SINGLE_KEY: observation} if isinstance(observation, Tensor) else dict(observation)
        if parts.keys() != self.inputs.keys():
            raise ObservationError(
                "The observation's keys are not the policy's.",
                got=", ".join(sorted(parts)) or "one tensor",
                expected=", ".join(self.inputs) or "one tensor",
            )
        values: dict[str, Tensor] = {}
        # After .double() the same graph evaluates in float64, on observations that are float32 as ever.
        double = next((p.dtype == torch.float64 for p in self.parameters()), False)
        for key, spec in self.inputs.items():
            tensor = parts[key]
            if tuple(tensor.shape[1:]) != spec.shape:
                raise ObservationError(
                    f"The observation {key or 'tensor'} has the wrong shape.",
                    got=str(tuple(tensor.shape)),
                    expected=f"(batch, {', '.join(map(str, spec.shape))})",
                )
            rounded = tensor.to(getattr(torch, spec.dtype))
            values[spec.name] = rounded.double() if double and spec.dtype == "float32" else rounded
        return values

    def weighted_layers(self) -> Iterator[tuple[str, Weighted]]:
        """Linear and convolutional layers with their names, in the order in which they run."""
        for node in self.nodes:
            layer = self.layers[node.name]
            if isinstance(layer, Linear | Conv2d):
                yield node.name, layer

    def readers(self, name: str) -> tuple[str, ...]:
        """Names of the nodes that read the value ``name``."""
        return tuple(node.name for node in self.nodes if name in node.inputs)

    def is_last(self, name: str) -> bool:
        """Whether no weighted layer comes after the layer ``name``: its width is the output's."""
        weighted = {other for other, _ in self.weighted_layers()}
        frontier = list(self.readers(name))
        while frontier:
            reader = frontier.pop()
            if reader in weighted:
                return False
            frontier.extend(self.readers(reader))
        return True

    def node(self, name: str) -> Node:
        """The node called ``name``."""
        return next(node for node in self.nodes if node.name == name)

    def folded(self) -> tuple[str, ...]:
        """What the graph does by itself beyond the network, in order and once each."""
        roles = (str(getattr(self.layers[node.name], "role", "")) for node in self.nodes)
        return tuple(dict.fromkeys(role for role in roles if role))

    @property
    def quantized(self) -> bool:
        """Whether any layer is quantized."""
        return any(layer.quant.active for _, layer in self.weighted_layers())

    def clone(self) -> Policy:
        """Independent copy with its own parameters."""
        return copy.deepcopy(self)

    def insert_before(self, reader: str, value: str, name: str, layer: nn.Module) -> None:
        """Put ``layer`` (as node ``name``) between ``value`` and the node ``reader`` that reads it."""
        nodes: list[Node] = []
        for node in self.nodes:
            if node.name == reader:
                nodes.append(Node(name, (value,)))
                node = Node(node.name, tuple(name if n == value else n for n in node.inputs))
            nodes.append(node)
        self.layers[name] = layer
        self.nodes = tuple(nodes)

    def parameter_count(self) -> int:
        """Number of deployable parameters: everything learned that acts, in fp32 terms."""
        return sum(p.numel() for p in self.parameters())

    def hidden_channels(self) -> int:
        """Number of channels of all hidden linear and convolutional layers."""
        return sum(layer.weight.shape[0] for name, layer in self.weighted_layers() if not self.is_last(name))

    def macs(self) -> int:
        """Multiply-accumulates of one action."""
        sample = {key: torch.zeros(1, *spec.shape) for key, spec in self.inputs.items()}
        with torch.no_grad():
            values = self.run(sample.get(SINGLE_KEY, sample))
        return sum(multiply_accumulates(layer, values[name]) for name, layer in self.weighted_layers())

    @staticmethod
    def from_module(
        module: Any,
        observation_space: Any = None,
        action_space: Any = None,
        normaliser: Any = None,
        scale_actions: bool = False,
        *,
        check: str | Path | None = None,
    ) -> Policy:
        """Policy around any feed-forward ``torch.nn.Module``, or around a live model of Stable-Baselines3.

        See :mod:`policypress.policy.from_module`.
        """
        from policypress.policy.from_module import from_module

        return from_module(module, observation_space, action_space, normaliser, scale_actions, check=check)


class GraphBuilder:
    """Collects layers and nodes; names are made unique."""

    def __init__(self) -> None:
        self.layers: dict[str, nn.Module] = {}
        self.nodes: list[Node] = []

    def add(self, name: str, layer: nn.Module, *inputs: str) -> str:
        """Append ``layer`` reading the values ``inputs``; returns the name of its value."""
        name = re.sub(r"\W", "_", name)
        unique, count = name, 1
        while unique in self.layers:
            count += 1
            unique = f"{name}_{count}"
        self.layers[unique] = layer
        self.nodes.append(Node(unique, inputs))
        return unique

    def policy(
        self, observation_space: Space, action_space: Space, scores: str | None, origin: Origin | None = None
    ) -> Policy:
        """The finished policy; the node added last gives the action."""
        return Policy(observation_space, action_space, self.layers, tuple(self.nodes), scores, origin)
