"""A policy under construction, from a network that was traced elsewhere (``torch.export``, ONNX).

Both importers speak to an :class:`Assembly`: they give it layers, and it keeps track of shapes by running
every layer on a small sample. What nothing reads is left out at the end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from policypress.policy import layers
from policypress.policy.importers.fusion import Step, fuse
from policypress.policy.policy import GraphBuilder, Origin, Policy, State, observation_inputs
from policypress_runtime.contract import Box, Discrete, MultiBinary, MultiDiscrete, Space, StateSpec, TensorSpec
from policypress_runtime.errors import NetworkError

# Rows of the sample that tells shapes: more than one, so that a batch axis that moves is noticed.
SAMPLE_BATCH = 3

# Stands for the batch size where a network computes with shapes. A number that is no plausible size, so that
# concatenating and indexing shapes needs no special care, and arithmetic on it is noticed.
BATCH = 2_147_483_647


# What the layers can express, for the user.
SUPPORTED = (
    "linear layers, convolutions, pooling, batch, layer and group normalisation, activations, arithmetic between "
    "tensors or with constants, reshape, transpose, concatenation, slices, softmax, mean, max, and a closing argmax"
)


class Refused(Exception):
    """An operation cannot be expressed by the layers; says why. The importer adds where it stands."""


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the network with the batch first: the name of its step and a sample ``(SAMPLE_BATCH, *shape)``."""

    name: str
    sample: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape without the batch."""
        return tuple(self.sample.shape[1:])

    @property
    def integer(self) -> bool:
        """Whether the elements are integers."""
        return not self.sample.is_floating_point()


@dataclass(frozen=True)
class Decision:
    """Actions the network chose itself: per group of ``counts`` scores the best index, or one bit per score."""

    kind: Literal["argmax", "threshold"]
    scores: tuple[Value, ...]
    offset: int = 0

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of scores in each group."""
        return tuple(math.prod(value.shape) for value in self.scores)

    def shifted(self, offset: int) -> Decision:
        """The same choice, counted from ``offset`` more."""
        if self.kind != "argmax":
            raise Refused("bits cannot be shifted")
        return replace(self, offset=self.offset + offset)


def join_decisions(parts: list[Decision]) -> Decision:
    """Several choices side by side."""
    first = parts[0]
    if any(part.kind != first.kind or part.offset != first.offset for part in parts):
        raise Refused("it joins choices of different kinds")
    return Decision(first.kind, tuple(value for part in parts for value in part.scores), first.offset)


class Assembly:
    """Collects the steps of a policy for ``observation_space``."""

    def __init__(self, observation_space: Space) -> None:
        self.observation_space = observation_space
        self.inputs = {key: self._input(spec) for key, spec in observation_inputs(observation_space).items()}
        self.steps: dict[str, Step] = {}
        self.values = {value.name: value for value in self.inputs.values()}
        # Values that only repeat another along an axis of length 1, zero-padded ones, and elements taken along an
        # axis: what reads them can often read the original instead, which saves the step.
        self.expanded: dict[str, Value] = {}
        self.padded: dict[str, tuple[Value, tuple[int, ...], tuple[int, ...]]] = {}
        self.taken: dict[str, tuple[Value, int, tuple[int, ...]]] = {}

    @staticmethod
    def _input(spec: TensorSpec) -> Value:
        return Value(spec.name, torch.zeros(SAMPLE_BATCH, *spec.shape, dtype=getattr(torch, spec.dtype)))

    def add(self, hint: str, layer: nn.Module, *inputs: Value) -> Value:
        """Append ``layer`` reading ``inputs``.

        Raises:
            Refused: the layer cannot run on these shapes, or would mix the batch with other axes.
        """
        try:
            with torch.no_grad():
                sample = layer(*(value.sample for value in inputs))
        except RuntimeError as error:
            raise Refused(str(error)) from error
        if sample.dim() == 0 or sample.shape[0] != SAMPLE_BATCH:
            raise Refused("the batch must stay the first axis")
        name = f"step.{len(self.steps)}"
        self.steps[name] = Step(hint, layer, tuple(value.name for value in inputs))
        self.values[name] = Value(name, sample)
        return self.values[name]

    def state(self, spec: StateSpec) -> Value:
        """The value of a state, which :meth:`finish` is told the next value of."""
        value = Value(spec.name, torch.zeros(SAMPLE_BATCH, *spec.shape))
        self.values[spec.name] = value
        return value

    def producer(self, value: Value) -> nn.Module | None:
        """The layer that gives ``value``; None for an input."""
        step = self.steps.get(value.name)
        return None if step is None else step.layer

    def sources(self, value: Value) -> tuple[str, ...]:
        """Names of the values that ``value`` is computed from directly."""
        step = self.steps.get(value.name)
        return () if step is None else step.inputs

    def joined(self, parts: Sequence[Value], axis: int) -> Value:
        """``parts`` side by side along ``axis``; pieces of one value put together again are that value."""
        if len(parts) == 1:
            return parts[0]
        pieces = [self.taken.get(part.name) for part in parts]
        source, where, _ = pieces[0] or (None, 0, ())
        if source is not None and where == axis and all(p is not None and p[0] is source for p in pieces):
            order = [index for piece in pieces if piece is not None and piece[1] == axis for index in piece[2]]
            if order == list(range(source.sample.shape[axis])):
                return source
        return self.add("concat", layers.Concat(axis), *parts)

    def finish(
        self,
        result: Value | Decision,
        action_space: Space,
        origin: Origin,
        *,
        final: bool = False,
        states: Sequence[tuple[StateSpec, Value]] = (),
    ) -> Policy:
        """The policy whose network gives ``result``.

        Args:
            result: for a Box the action, else the scores or the choice itself.
            action_space: what the policy acts in.
            origin: where the network came from.
            final: the result is the action as it is meant (an artifact's): a Box action is not limited to the finite
                bounds of its space, and choices may be counted from another number than the space's first.
            states: of a network with memory, each with its next value.

        Raises:
            Refused: the result does not fit the action space, or a state's next value not the state.
        """
        scores: Value | None = None
        if isinstance(action_space, Box):
            action = self._continuous(result, action_space, clip=not final)
        else:
            scores, action = self._discrete(result, action_space, final)
        after = [self._carried(spec, value) for spec, value in states]
        if states and (scores is None or any(action.name in step.inputs for step in self.steps.values())):
            # What is carried may be computed behind the action, which has to be the last value, and read by nothing.
            action = self.add("identity", layers.Activation("identity"), action)
        graph = GraphBuilder(name for spec, _ in states for name in (spec.name, spec.next_name))
        names = {name: name for name in (*(v.name for v in self.inputs.values()), *(spec.name for spec, _ in states))}
        outputs = (*([] if scores is None else [scores.name]), *(value.name for value in after), action.name)
        fused = fuse(self.steps, outputs)
        for name in (*(name for name in fused if name != action.name), action.name):
            step = fused[name]
            names[name] = graph.add(step.hint, step.layer, *(names[read] for read in step.inputs))
        carried = tuple(State(spec, names[value.name]) for (spec, _), value in zip(states, after, strict=True))
        decides = None if scores is None else names[scores.name]
        return graph.policy(self.observation_space, action_space, decides, origin, carried)

    def _carried(self, spec: StateSpec, value: Value) -> Value:
        """The next value of a state, by a layer of its own."""
        if value.integer or value.shape != spec.shape:
            raise Refused(
                f"the next value of the state {spec.name} has shape {value.shape}, and the state {spec.shape}"
            )
        return self.add("carried", layers.Activation("identity"), value) if value.name not in self.steps else value

    def _continuous(self, result: Value | Decision, space: Box, *, clip: bool) -> Value:
        if isinstance(result, Decision) or result.integer:
            raise Refused("it returns integers, and the action space is continuous")
        value = result
        if int(np.prod(value.shape)) != space.size:
            raise Refused(f"it returns {value.shape} for each observation, and an action has shape {space.shape}")
        if value.shape != space.shape:
            value = self.add("reshape", layers.Reshape(space.shape), value)
        low, high = space.bounds()
        if clip and bool(np.isfinite(low).any() or np.isfinite(high).any()):
            value = self.add("clip", layers.Clip(low, high), value)
        return value if value.name in self.steps else self.add("identity", layers.Activation("identity"), value)

    def _discrete(self, result: Value | Decision, space: Space, final: bool) -> tuple[Value, Value]:
        counts, kind = _groups(space)
        start = space.start if isinstance(space, Discrete) else 0
        if isinstance(result, Decision):
            start = result.offset if final else start
            scores = self._decided(result, kind, counts, start)
        else:
            scores = self._before_softmax(result) if isinstance(space, Discrete) else result
        if scores.integer:
            raise Refused("it returns integers that are not the choice of an argmax")
        if int(np.prod(scores.shape)) != sum(counts):
            raise Refused(f"it returns {scores.shape} for each observation, and {sum(counts)} scores are needed")
        if len(scores.shape) != 1:
            scores = self.add("flatten", layers.Flatten(), scores)
        if scores.name not in self.steps:
            scores = self.add("identity", layers.Activation("identity"), scores)
        if kind == "threshold":
            return scores, self.add("threshold", layers.Threshold(), scores)
        single = isinstance(space, Discrete)
        return scores, self.add("argmax", layers.ArgMax(counts, start, single=single), scores)

    def _decided(self, choice: Decision, kind: str, counts: tuple[int, ...], start: int) -> Value:
        if choice.kind != kind:
            raise Refused(f"it chooses by {choice.kind}, and this action space needs {kind}")
        if sum(choice.counts) != sum(counts) or (kind == "argmax" and choice.counts != counts):
            raise Refused(f"it chooses among {choice.counts}, and the action space has {counts}")
        if choice.offset != start:
            raise Refused(f"its choices are counted from {choice.offset}, and the action space starts at {start}")
        if kind == "threshold":
            parts = list(choice.scores)
        else:
            parts = [self._before_softmax(scores) for scores in choice.scores]
        return self.joined(parts, 1)

    def _before_softmax(self, value: Value) -> Value:
        """The value before closing normalisations: a softmax, its logarithm, x − log Σ exp x keep the order."""
        while (inner := self._order_giver(value)) is not None and inner.name in self.steps:
            value = inner
        return value

    def _order_giver(self, value: Value) -> Value | None:
        layer = self.producer(value)
        sources = [self.values[name] for name in self.sources(value)]
        if isinstance(layer, layers.Softmax):
            return sources[0]
        if isinstance(layer, layers.Activation) and layer.name == "log":
            return sources[0] if isinstance(self.producer(sources[0]), layers.Softmax) else None
        if isinstance(layer, layers.Binary) and layer.operation == "sub" and sources[1].shape == (1,):
            return sources[0] if self._is_log_sum(sources[1]) else None
        return None

    def _is_log_sum(self, value: Value) -> bool:
        candidates = [value, *(self.values[name] for name in self.sources(value))]
        return any(isinstance(layer := self.producer(c), layers.Activation) and layer.name == "log" for c in candidates)


def _groups(space: Space) -> tuple[tuple[int, ...], Literal["argmax", "threshold"]]:
    match space:
        case Discrete():
            return (space.n,), "argmax"
        case MultiDiscrete():
            return space.nvec, "argmax"
        case MultiBinary():
            return (space.n,), "threshold"
        case _:
            raise NetworkError("An action space is not supported.", got=repr(space))
