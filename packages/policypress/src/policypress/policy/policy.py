"""The policy: one module, raw observation in, environment action out.

A policy is a small directed graph of the layers in :mod:`policypress.policy.layers`. The same graph runs
in torch, is written to ONNX, pruned and quantized; nothing about the agent lives outside it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from policypress.policy.layers import Conv2d, Linear, Weighted, multiply_accumulates
from policypress_runtime.contract import (
    Box,
    Checked,
    DictSpace,
    Discrete,
    EnvironmentSpec,
    MultiBinary,
    MultiDiscrete,
    SourceNames,
    Space,
    StateSpec,
    TensorSpec,
)
from policypress_runtime.errors import NetworkError, ObservationError

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
class State:
    """One tensor of the policy's memory: the graph input called ``spec.name``, whose next value ``node`` gives."""

    spec: StateSpec
    node: str


@dataclass(frozen=True)
class Origin:
    """Where a policy came from; goes into the artifact's contract."""

    algorithm: str = "module"
    environment: EnvironmentSpec | None = None
    caller_supplies: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    checked: Checked | None = None
    sha256: str | None = None
    source: SourceNames | None = None
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
        states: what is carried from one step to the next. The observation of a policy with memory is a dict that holds
            the states too, by their names, beside the observation (under ``""`` if it is one tensor):
            :meth:`with_state` makes it. Without them nothing is computed.
    """

    def __init__(
        self,
        observation_space: Space,
        action_space: Space,
        layers: Mapping[str, nn.Module],
        nodes: tuple[Node, ...],
        scores: str | None = None,
        origin: Origin | None = None,
        states: tuple[State, ...] = (),
    ) -> None:
        super().__init__()
        self.observation_space = observation_space
        self.action_space = action_space
        self.inputs = observation_inputs(observation_space)
        self.layers = nn.ModuleDict(dict(layers))
        self.nodes = nodes
        self.scores_node = scores
        self.origin = origin or Origin()
        self.states = states
        names = {name for state in states for name in (state.spec.name, state.spec.next_name)}
        if clash := {*self.inputs, OBSERVATION, ACTION, SCORES} & names:
            raise NetworkError("A state has the name of something else.", got=min(clash), expected="a name of its own")
        # Of layers that were pruned: which of their first output channels are left, in order.
        self.kept_channels: dict[str, tuple[int, ...]] = {}
        # Of states whose units were pruned: which of the first indices along each axis are left.
        self.kept_states: dict[str, tuple[tuple[int, ...], ...]] = {}
        self.eval()

    def forward(self, observation: Observation) -> Shaped[Tensor, "batch *action"]:
        """Observation batch → action batch."""
        return self.run(observation)[self.nodes[-1].name]

    def scores(self, observation: Observation) -> Float[Tensor, "batch *scores"]:
        """What decides: for discrete actions the scores before argmax, ``(batch, n)``; for a Box the action."""
        return self.run(observation)[self.scores_node or self.nodes[-1].name]

    def step(
        self, observation: Observation, state: Mapping[str, Tensor]
    ) -> tuple[Shaped[Tensor, "batch *action"], dict[str, Tensor]]:
        """One step of a policy with memory: the actions, and the state of the next step by name.

        Args:
            observation: batch first, without the state.
            state: by name, batch first: :meth:`initial_state`, or what the step before gave.
        """
        values = self.run(self.with_state(observation, state))
        return values[self.nodes[-1].name], self.next_state(values)

    def with_state(self, observation: Observation, state: Mapping[str, Tensor]) -> Observation:
        """``observation`` and ``state`` as one dict; the observation itself where the policy has no memory."""
        if not self.states:
            return observation
        parts = {SINGLE_KEY: observation} if isinstance(observation, Tensor) else dict(observation)
        return {**parts, **state}

    def next_state(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The state of the next step, among the values of a run."""
        return {state.spec.name: values[state.node] for state in self.states}

    def initial_state(self, rows: int) -> dict[str, Tensor]:
        """The state at the start of ``rows`` episodes, by name."""
        return {state.spec.name: torch.from_numpy(state.spec.start(rows)) for state in self.states}

    def example(self, rows: int) -> Observation:
        """``rows`` observations of zeros, with the state at the start of an episode."""
        parts = {
            key: torch.zeros(rows, *spec.shape, dtype=getattr(torch, spec.dtype)) for key, spec in self.inputs.items()
        }
        return self.with_state(parts.get(SINGLE_KEY, parts), self.initial_state(rows))

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
        specs = self.inputs | {s.spec.name: TensorSpec(s.spec.name, "float32", s.spec.shape) for s in self.states}
        if parts.keys() != specs.keys():
            raise self._other_keys(parts, specs)
        values: dict[str, Tensor] = {}
        # After .double() the same graph evaluates in float64, on observations that are float32 as ever.
        double = next((p.dtype == torch.float64 for p in self.parameters()), False)
        for key, spec in specs.items():
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

    def _other_keys(self, got: Iterable[str], expected: Iterable[str]) -> ObservationError:
        given, missing = set(got), self.state_names
        if missing and not given.issuperset(missing):
            return ObservationError(
                "The policy has memory, and its state was not given.",
                got=", ".join(sorted(key for key in given if key)) or "an observation alone",
                expected=f"the observation with {', '.join(missing)}",
                hint="policy.step(observation, state) with policy.initial_state(rows) at the start of episodes.",
            )
        return ObservationError(
            "The observation's keys are not the policy's.",
            got=", ".join(sorted(given)) or "one tensor",
            expected=", ".join(expected) or "one tensor",
        )

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
        """Whether no weighted layer comes after ``name``, be it in the next step: its width is the output's."""
        weighted = {other for other, _ in self.weighted_layers()}
        carried = {state.node: state.spec.name for state in self.states}
        frontier, seen = [name], set[str]()
        while frontier:
            value = frontier.pop()
            after = {*self.readers(value), *((carried[value],) if value in carried else ())} - seen
            if after & weighted:
                return False
            seen |= after
            frontier.extend(after)
        return True

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the states, as they stand among the parts of an observation; none without a memory."""
        return tuple(state.spec.name for state in self.states)

    def leaves(self, name: str) -> bool:
        """Whether the value ``name`` is an output by itself: the action, its scores, or a state's next value."""
        outputs = {self.nodes[-1].name, self.scores_node, *(state.node for state in self.states)}
        return name in outputs

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
        with torch.no_grad():
            values = self.run(self.example(1))
        return sum(multiply_accumulates(layer, values[name]) for name, layer in self.weighted_layers())

    @staticmethod
    def from_module(
        module: Any,
        observation_space: Any = None,
        action_space: Any = None,
        normaliser: Any = None,
        scale_actions: bool = False,
        *,
        state: Mapping[str, Any] | None = None,
        check: str | Path | None = None,
    ) -> Policy:
        """Policy around any ``torch.nn.Module``, or around a live model of Stable-Baselines3.

        See :mod:`policypress.policy.importers.from_module`.
        """
        from policypress.policy.importers.from_module import from_module

        return from_module(module, observation_space, action_space, normaliser, scale_actions, state=state, check=check)


class GraphBuilder:
    """Collects layers and nodes; names are made unique."""

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self.layers: dict[str, nn.Module] = {}
        self.nodes: list[Node] = []
        self._reserved = frozenset(reserved)

    def add(self, name: str, layer: nn.Module, *inputs: str) -> str:
        """Append ``layer`` reading the values ``inputs``; returns the name of its value."""
        name = re.sub(r"\W", "_", name)
        unique, count = name, 1
        while unique in self.layers or unique in self._reserved:
            count += 1
            unique = f"{name}_{count}"
        self.layers[unique] = layer
        self.nodes.append(Node(unique, inputs))
        return unique

    def policy(
        self,
        observation_space: Space,
        action_space: Space,
        scores: str | None,
        origin: Origin | None = None,
        states: tuple[State, ...] = (),
    ) -> Policy:
        """The finished policy; the node added last gives the action."""
        return Policy(observation_space, action_space, self.layers, tuple(self.nodes), scores, origin, states)
