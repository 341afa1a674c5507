"""Recurrent cells, one step each, as the ordinary layers of a policy: what these are to tools, a cell is.

A gate matrix is a :class:`~policypress.policy.layers.Linear` like any other, so that it is quantized, written to ONNX
and turned into C as the others are. Two matrices make a cell: one reads the input, the other the state.

Equations as in ``torch.nn`` (σ is the logistic function, ∘ the product of elements):

- LSTM: i, f, o = σ(…), g = tanh(…) of W x + b + U h; c' = f∘c + i∘g; h' = o∘tanh(c'). Here the rows of W and U are in
  the order i, f, o, g, so that one σ does for three gates.
- GRU: r, z = σ(…) of W x + b + U h + d; n = tanh(W_n x + b_n + r∘(U_n h + d_n)); h' = n + z∘(h − n). In the form that
  ONNX also has (``reset_first``), n = tanh(W_n x + b_n + U_n (r∘h) + d_n).
- RNN: h' = tanh(W x + b + U h), or relu.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import torch
from torch import Tensor, nn

from policypress.policy import layers
from policypress.policy.importers.fusion import new_linear
from policypress_runtime.contract import StateSpec

V = TypeVar("V")
Kind = Literal["lstm", "gru", "rnn_tanh", "rnn_relu"]
GATES: dict[Kind, int] = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


class Add(Protocol[V]):
    """Appends a layer that reads values to a graph, and gives its value (``GraphBuilder.add``, ``Assembly.add``)."""

    def __call__(self, hint: str, layer: nn.Module, /, *inputs: V) -> V:
        """``hint`` is what to call it."""
        ...


@dataclass(frozen=True, eq=False)
class Weights:
    """One layer's parameters in ``torch.nn``'s order of gates: LSTM i, f, g, o; GRU r, z, n.

    Args:
        input: W, ``(gates · H, inputs)``.
        state: U, ``(gates · H, H)``.
        bias: b, added to W x, or None.
        state_bias: d, added to U h, or None.
    """

    input: Tensor
    state: Tensor
    bias: Tensor | None = None
    state_bias: Tensor | None = None

    @property
    def hidden(self) -> int:
        """H."""
        return int(self.state.shape[1])

    def fits(self, kind: Kind, inputs: int) -> bool:
        """Whether the shapes are those of one layer of ``kind`` that reads ``inputs`` numbers."""
        rows = GATES[kind] * self.hidden
        biases = all(bias is None or tuple(bias.shape) == (rows,) for bias in (self.bias, self.state_bias))
        return biases and tuple(self.input.shape) == (rows, inputs) and tuple(self.state.shape) == (rows, self.hidden)


def state_specs(kind: Kind, count: int, hidden: int, names: Sequence[tuple[str, str]] = ()) -> tuple[StateSpec, ...]:
    """The states of ``count`` layers: ``h_in`` → ``h_out``, and for LSTM ``c_in`` → ``c_out``, ``(count, H)`` each."""
    own = (("h_in", "h_out"), ("c_in", "c_out")) if kind == "lstm" else (("h_in", "h_out"),)
    return tuple(StateSpec(name, after, (count, hidden)) for name, after in names or own)


def stacked(add: Add[V], kind: Kind, x: V, states: Sequence[V], weights: Sequence[Weights]) -> tuple[V, list[V]]:
    """Recurrent layers one after the other, one step.

    Args:
        add: appends a layer.
        kind: of all layers.
        x: ``(batch, inputs)``.
        states: h, and for LSTM c: ``(batch, layers, H)`` each.
        weights: of each layer, the first first.

    Returns:
        The last layer's h, ``(batch, H)``, and the next states.
    """
    count = len(weights)
    after: list[list[V]] = [[] for _ in states]
    for place, layer in enumerate(weights):
        own = [_row(add, state, place, count, layer.hidden) for state in states]
        after_step: tuple[V, ...] = STEPS[kind](add, x, own, layer)
        x = after_step[0]
        for values, value in zip(after, after_step, strict=True):
            values.append(add("state", layers.Reshape((1, layer.hidden)), value))
    return x, [v[0] if count == 1 else add("states", layers.Concat(1), *v) for v in after]


def _row(add: Add[V], state: V, place: int, count: int, hidden: int) -> V:
    row = state if count == 1 else add("layer_state", layers.Slice(1, place, place + 1), state)
    return add("layer_state", layers.Reshape((hidden,)), row)


def lstm_step(add: Add[V], x: V, state: Sequence[V], weights: Weights) -> tuple[V, ...]:
    """One step of one LSTM layer: h and c, ``(batch, H)`` each, to their next values."""
    hidden, (h, c) = weights.hidden, state
    order = torch.cat([torch.arange(hidden) + gate * hidden for gate in (0, 1, 3, 2)])
    bias = _sum(weights.bias, weights.state_bias)
    read = add("input_gates", new_linear(weights.input[order], None if bias is None else bias[order]), x)
    kept = add("state_gates", new_linear(weights.state[order], None), h)
    gates = add("gates", layers.Binary("add"), read, kept)
    opened = add("sigmoid", layers.Activation("sigmoid"), add("slice", layers.Slice(1, 0, 3 * hidden), gates))
    entered = add("tanh", layers.Activation("tanh"), add("slice", layers.Slice(1, 3 * hidden, 4 * hidden), gates))
    i, f, o = (add("slice", layers.Slice(1, k * hidden, (k + 1) * hidden), opened) for k in range(3))
    remembered = add("forget", layers.Binary("mul"), f, c)
    cell = add("cell", layers.Binary("add"), remembered, add("enter", layers.Binary("mul"), i, entered))
    return add("hidden", layers.Binary("mul"), o, add("tanh", layers.Activation("tanh"), cell)), cell


def gru_step(add: Add[V], x: V, state: Sequence[V], weights: Weights, *, reset_first: bool = False) -> tuple[V, ...]:
    """One step of one GRU layer; h, ``(batch, H)``, to its next value."""
    hidden, (h,) = weights.hidden, state
    read = add("input_gates", new_linear(weights.input, weights.bias), x)
    both = 2 * hidden
    update, update_bias = weights.state, weights.state_bias
    if reset_first:
        update, update_bias = update[:both], None if update_bias is None else update_bias[:both]
    kept = add("state_gates", new_linear(update, update_bias), h)
    first = add("slice", layers.Slice(1, 0, both), read)
    second = kept if reset_first else add("slice", layers.Slice(1, 0, both), kept)
    opened = add("sigmoid", layers.Activation("sigmoid"), add("gates", layers.Binary("add"), first, second))
    r, z = (add("slice", layers.Slice(1, k * hidden, (k + 1) * hidden), opened) for k in range(2))
    if reset_first:
        rest = None if weights.state_bias is None else weights.state_bias[both:]
        memory = add("state_gates", new_linear(weights.state[both:], rest), add("reset", layers.Binary("mul"), r, h))
    else:
        memory = add("reset", layers.Binary("mul"), r, add("slice", layers.Slice(1, both, 3 * hidden), kept))
    entered = add("slice", layers.Slice(1, both, 3 * hidden), read)
    new = add("tanh", layers.Activation("tanh"), add("new", layers.Binary("add"), entered, memory))
    away = add("away", layers.Binary("sub"), h, new)
    return (add("hidden", layers.Binary("add"), new, add("keep", layers.Binary("mul"), z, away)),)


def _rnn_step(activation: str) -> Callable[..., tuple[V, ...]]:
    def step(add: Add[V], x: V, state: Sequence[V], weights: Weights) -> tuple[V, ...]:
        (h,) = state
        read = add("input_gates", new_linear(weights.input, _sum(weights.bias, weights.state_bias)), x)
        kept = add("state_gates", new_linear(weights.state, None), h)
        return (add("hidden", layers.Activation(activation), add("gates", layers.Binary("add"), read, kept)),)

    return step


STEPS: dict[Kind, Callable[..., tuple[Any, ...]]] = {
    "lstm": lstm_step,
    "gru": gru_step,
    "rnn_tanh": _rnn_step("tanh"),
    "rnn_relu": _rnn_step("relu"),
}


def _sum(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """Two biases that are added up anyway, as one."""
    parts = [part.double() for part in (first, second) if part is not None]
    return sum(parts[1:], parts[0]).float() if parts else None
