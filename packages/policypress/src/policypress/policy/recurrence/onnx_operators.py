"""ONNX's recurrent operators, and its operators on tensors whose batch is not the first axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from policypress.policy.importers import elementwise as ew
from policypress.policy.importers.assembly import BATCH, Assembly, Refused, Value
from policypress.policy.importers.onnx.registry import Operation, onnx_operator
from policypress.policy.recurrence import moved as mv
from policypress.policy.recurrence.cells import GATES, Kind, Weights, gru_step
from policypress.policy.recurrence.layers_in_graphs import layers_of, one_step, state_value
from policypress.policy.recurrence.moved import Moved

# Which of ONNX's gates are torch's, in torch's order: LSTM has i, o, f, c; GRU z, r, h.
_ORDER: dict[Kind, tuple[int, ...]] = {"lstm": (0, 2, 3, 1), "gru": (1, 0, 2), "rnn_tanh": (0,), "rnn_relu": (0,)}
_DEFAULT = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}


@onnx_operator("LSTM")
def _lstm(a: Assembly, o: Operation) -> tuple[Any, ...]:
    if o.operand(7) is not None and bool((o.constant(7) != 0).any()):
        raise Refused("peepholes")
    if o.integer("input_forget", 0):
        raise Refused("coupled input and forget gates (input_forget)")
    _check_activations(o)
    return _recurrent(a, o, "lstm", [o.operand(5), o.operand(6)])


@onnx_operator("GRU")
def _gru(a: Assembly, o: Operation) -> tuple[Any, ...]:
    _check_activations(o)
    return _recurrent(a, o, "gru", [o.operand(5)])


@onnx_operator("RNN")
def _rnn(a: Assembly, o: Operation) -> tuple[Any, ...]:
    names = [_name(v) for v in o.attributes.get("activations", ["Tanh"])]
    kinds: dict[str, Kind] = {"Tanh": "rnn_tanh", "Relu": "rnn_relu"}
    if len(names) != 1 or names[0] not in kinds:
        raise Refused(f"the activation {', '.join(names)[:60]}")
    return _recurrent(a, o, kinds[names[0]], [o.operand(5)])


def _name(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _check_activations(o: Operation) -> None:
    names = [_name(v) for v in o.attributes.get("activations", _DEFAULT[o.kind])]
    if names != _DEFAULT[o.kind] or o.attributes.get("activation_alpha") or o.attributes.get("activation_beta"):
        raise Refused(f"the activations {', '.join(names)[:60]}")


def _recurrent(a: Assembly, o: Operation, kind: Kind, states: Sequence[Any]) -> tuple[Any, ...]:
    if o.text("direction", "forward") != "forward":
        raise Refused(f"it reads its sequence {o.text('direction', '')[:20]}")
    if o.attributes.get("clip") is not None:
        raise Refused("gates that are clipped")
    if o.operand(4) is not None and not bool((torch.as_tensor(o.constant(4)) == 1).all()):
        raise Refused("sequences of more than one step")
    batch_first = bool(o.integer("layout", 0))
    weights = _weights(o, kind)
    own = [state_value(s, 1, weights.hidden, axis=0 if batch_first else 1) for s in states]
    x = one_step(a, o.operands[0], time=1 if batch_first else 0)
    if kind == "gru" and not o.integer("linear_before_reset", 0):
        if not weights.fits("gru", x.shape[-1]):
            raise Refused(f"weights of shapes {tuple(weights.input.shape)} and {tuple(weights.state.shape)}")
        state = ew_flat(a, own[0])
        (top,) = gru_step(a.add, x, [state], weights, reset_first=True)
        after = [mv.unsqueeze(a, mv.moved(top), 1).value]
    else:
        top, after = layers_of(a, kind, x, own, [weights])
    place = 0 if batch_first else 1
    # Y is (steps, directions, batch, H), or with the batch first (batch, steps, directions, H).
    steps = mv.unsqueeze(a, mv.unsqueeze(a, mv.moved(top), 1), 1).value
    return (mv.settled(Moved(steps, 0 if batch_first else 2)), *(mv.settled(Moved(v, place)) for v in after))


def ew_flat(a: Assembly, state: Value) -> Value:
    """A state of one layer, ``(batch, 1, H)``, as ``(batch, H)``."""
    return mv.select(a, mv.moved(state), 1, 0).value


def _weights(o: Operation, kind: Kind) -> Weights:
    matrices = [o.constant(1), o.constant(2)]
    if any(m.dim() != 3 or m.shape[0] != 1 for m in matrices):
        raise Refused("weights of several directions")
    hidden = int(matrices[1].shape[2])
    if matrices[0].shape[1] != GATES[kind] * hidden or matrices[1].shape[1] != GATES[kind] * hidden:
        raise Refused(f"weights of shapes {tuple(matrices[0].shape)} and {tuple(matrices[1].shape)}")
    rows = torch.cat([torch.arange(hidden) + gate * hidden for gate in _ORDER[kind]])
    bias = o.optional(3)
    halves: list[Tensor | None] = [None, None]
    if bias is not None:
        if tuple(bias.shape) != (1, 2 * GATES[kind] * hidden):
            raise Refused(f"a bias of shape {tuple(bias.shape)}")
        size = GATES[kind] * hidden
        halves = [bias[0, start : start + size][rows].float() for start in (0, size)]
    return Weights(matrices[0][0][rows].float(), matrices[1][0][rows].float(), halves[0], halves[1])


def _unsqueeze(a: Assembly, o: Operation) -> Moved:
    value = mv.moved(o.operands[0])
    axes = o.integers("axes", 1) or []
    total = value.dimensions + len(axes)
    for axis in sorted(axis % total for axis in axes):
        value = mv.unsqueeze(a, value, axis)
    return value


def _slice(a: Assembly, o: Operation) -> Moved:
    starts, ends = o.integers("starts", 1) or [], o.integers("ends", 2) or []
    axes = o.integers("axes", 3) or list(range(len(starts)))
    steps = o.integers("steps", 4) or [1] * len(starts)
    value = mv.moved(o.operands[0])
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        value = mv.cut(a, value, axis, start, end, step)
    return value


def _gather(a: Assembly, o: Operation) -> Moved:
    index = o.constant(1)
    if index.numel() != 1 or index.dim() > 1:
        raise Refused("indices other than one constant")
    value, axis = mv.moved(o.operands[0]), o.integer("axis", 0)
    place = int(index.reshape(()))
    if index.dim() == 0:
        return mv.select(a, value, axis, place)
    return mv.cut(a, value, axis, place, place + 1 if place != -1 else BATCH)


def _reshape(a: Assembly, o: Operation) -> Moved:
    value, target = mv.moved(o.operands[0]), o.integers("shape", 1) or []
    if not o.attributes.get("allowzero", 0):
        target = [value.sizes[i] if size == 0 and i < value.dimensions else size for i, size in enumerate(target)]
    return mv.reshape(a, value, target)


def _split(a: Assembly, o: Operation) -> tuple[Any, ...]:
    value, axis = mv.moved(o.operands[0]), o.integer("axis", 0)
    size = value.sizes[axis]
    sizes = o.integers("split", 1)
    if sizes is None:
        part = -(-size // o.outputs)
        sizes = [min(part, size - start) for start in range(0, size, part)]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return tuple(mv.settled(mv.cut(a, value, axis, s, s + n)) for s, n in zip(starts, sizes, strict=True))


def _transpose(a: Assembly, o: Operation) -> Moved:
    value = mv.moved(o.operands[0])
    return mv.permute(a, value, o.integers("perm") or list(reversed(range(value.dimensions))))


def _shape(a: Assembly, o: Operation) -> Tensor:
    sizes, end = mv.moved(o.operands[0]).sizes, o.attributes.get("end")
    return torch.tensor(sizes[o.integer("start", 0) : None if end is None else int(end)], dtype=torch.int64)


_MOVING: dict[str, Callable[[Assembly, Operation], Any]] = {
    "Unsqueeze": _unsqueeze,
    "Squeeze": lambda a, o: mv.squeeze(a, mv.moved(o.operands[0]), o.integers("axes", 1)),
    "Transpose": _transpose,
    "Slice": _slice,
    "Gather": _gather,
    "Reshape": _reshape,
    "Split": _split,
    "Shape": _shape,
    "Concat": lambda a, o: mv.concat(a, o.operands, int(o.attributes["axis"])),
    "Identity": lambda a, o: mv.moved(o.operands[0]),
    "Cast": lambda a, o: mv.elementwise(mv.moved(o.operands[0]), lambda value: ew.as_float(a, value)),
}
_RECURRENT = {"LSTM", "GRU", "RNN"}


def translate_moved(a: Assembly, o: Operation) -> tuple[Any, ...] | None:
    """What a node gives where a batch is not first, or moves; None where it is a node as any other.

    Raises:
        Refused: it is not known how it does that.
    """
    if o.kind in _RECURRENT:
        return None
    if not any(isinstance(value, Moved) for value in o.operands) and not _leaves(o):
        return None
    operator = _MOVING.get(o.kind)
    if operator is None:
        raise Refused(mv.FIRST)
    result = operator(a, o)
    if isinstance(result, tuple):
        return result
    return (mv.settled(result) if isinstance(result, Moved) else result,)


def _leaves(o: Operation) -> bool:
    """Whether the batch, which is first, is not first afterwards."""
    x = o.operand(0) if o.operands else None
    if not isinstance(x, Value):
        return False
    if o.kind == "Transpose":
        return bool((o.integers("perm") or [-1])[0] % x.sample.dim() != 0)
    if o.kind == "Unsqueeze":
        axes = o.integers("axes", 1) or []
        return any(axis % (x.sample.dim() + len(axes)) == 0 for axis in axes)
    return False
