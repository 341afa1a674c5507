"""Recurrent layers of traced networks: one step, whose state is an input of the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from policypress.policy import layers
from policypress.policy.importers.assembly import Assembly, Refused, Value
from policypress.policy.recurrence.cells import STEPS, Kind, Weights, stacked
from policypress.policy.recurrence.moved import Moved, first, moved

Cell = Callable[..., tuple[Any, ...]]


def one_step(a: Assembly, x: Any, *, time: int) -> Value:
    """What a layer reads of a sequence of one step, ``(batch, features)``.

    Args:
        a: the assembly.
        x: the sequence.
        time: the axis of its steps, 0 or 1.

    Raises:
        Refused: the sequence has more steps, or its batch is elsewhere.
    """
    sequence = moved(x)
    if sequence.dimensions != 3 or sequence.axis != 1 - time:
        raise Refused(f"a sequence whose batch is axis {sequence.axis} of {sequence.dimensions}")
    if sequence.sizes[time] != 1:
        raise Refused(f"a sequence of {sequence.sizes[time]} steps: give the network one step at a time")
    return flat(a, sequence.value)


def flat(a: Assembly, value: Value) -> Value:
    """``(batch, 1, n)`` → ``(batch, n)``."""
    return a.add("features", layers.Reshape((value.shape[-1],)), value)


def state_value(state: Any, count: int, hidden: int, *, axis: int = 1) -> Value:
    """A state of a network, ``(batch, layers, H)``.

    Raises:
        Refused: it is a constant, so that the network forgets what it met; or of another shape.
    """
    if not isinstance(state, Value | Moved):
        raise Refused("its state begins anew at every step: make the state an input and an output of the network")
    found = moved(state)
    if found.axis != axis or found.value.shape != (count, hidden):
        raise Refused(f"a state of shape {found.sizes} for {count} layers of {hidden} units")
    return found.value


def layers_of(
    a: Assembly, kind: Kind, x: Value, states: Sequence[Value], weights: Sequence[Weights]
) -> tuple[Value, list[Value]]:
    """Recurrent layers one after the other; the last one's h, and the next states.

    Raises:
        Refused: the weights do not fit each other.
    """
    width = x.shape[-1]
    for layer in weights:
        if not layer.fits(kind, width):
            raise Refused(f"weights of shapes {tuple(layer.input.shape)} and {tuple(layer.state.shape)}")
        width = layer.hidden
    return stacked(a.add, kind, x, states, weights)


def cell_of(a: Assembly, kind: Kind, x: Any, states: Sequence[Any], weights: Weights) -> tuple[Value, ...]:
    """One cell: states ``(batch, H)`` to their next values.

    Raises:
        Refused: a state is a constant, or the weights do not fit.
    """
    if any(not isinstance(state, Value | Moved) for state in states):
        raise Refused("its state begins anew at every step: make the state an input and an output of the network")
    read, own = first(x), [first(state) for state in states]
    if not weights.fits(kind, read.shape[-1]) or any(state.shape != (weights.hidden,) for state in own):
        raise Refused(f"weights of shapes {tuple(weights.input.shape)} and {tuple(weights.state.shape)}")
    return STEPS[kind](a.add, read, own, weights)
