"""ATen's recurrent layers and cells, and its operators on tensors whose batch is not the first axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from policypress.policy.importers.assembly import BATCH, Assembly, Refused, Value
from policypress.policy.importers.aten.registry import Arguments, aten, axes_of, constant_of, flat
from policypress.policy.recurrence import moved as mv
from policypress.policy.recurrence.cells import Kind, Weights
from policypress.policy.recurrence.layers_in_graphs import cell_of, layers_of, one_step, state_value
from policypress.policy.recurrence.moved import Moved


def _weights(params: Sequence[Any], count: int, *, biased: bool) -> list[Weights]:
    each = 4 if biased else 2
    if len(params) != each * count:
        raise Refused("projections (proj_size)")
    rows = [[constant_of(v) for v in params[i * each : (i + 1) * each]] for i in range(count)]
    return [Weights(*row) for row in rows]


def _layers(a: Assembly, kind: Kind, x: Any, states: Sequence[Any], p: Arguments) -> tuple[Any, ...]:
    if p["bidirectional"]:
        raise Refused("it reads its sequence in both directions (bidirectional)")
    if p["train"] and float(p["dropout"]) > 0:
        raise Refused("dropout of a module in training")
    count, time = int(p["num_layers"]), 1 if p["batch_first"] else 0
    weights = _weights(p["params"], count, biased=bool(p["has_biases"]))
    own = [state_value(state, count, weights[0].hidden) for state in states]
    top, after = layers_of(a, kind, one_step(a, x, time=time), own, weights)
    output = mv.unsqueeze(a, mv.moved(top), time)
    return (mv.settled(output), *(Moved(value, 1) for value in after))


@aten("lstm")
def _lstm(a: Assembly, p: Arguments) -> tuple[Any, ...]:
    if "input" not in p:
        raise Refused("a packed sequence")
    return _layers(a, "lstm", p["input"], p["hx"], p)


@aten("gru")
def _gru(a: Assembly, p: Arguments) -> tuple[Any, ...]:
    return _layers(a, "gru", p["input"], [p["hx"]], p)


@aten("rnn_tanh")
def _rnn_tanh(a: Assembly, p: Arguments) -> tuple[Any, ...]:
    return _layers(a, "rnn_tanh", p["input"], [p["hx"]], p)


@aten("rnn_relu")
def _rnn_relu(a: Assembly, p: Arguments) -> tuple[Any, ...]:
    return _layers(a, "rnn_relu", p["input"], [p["hx"]], p)


def _cell(a: Assembly, kind: Kind, states: Sequence[Any], p: Arguments) -> tuple[Value, ...]:
    parts = [p["w_ih"], p["w_hh"], p["b_ih"], p["b_hh"]]
    weights = Weights(*(None if part is None else constant_of(part) for part in parts))  # type: ignore[arg-type]
    return cell_of(a, kind, p["input"], states, weights)


@aten("lstm_cell")
def _lstm_cell(a: Assembly, p: Arguments) -> tuple[Value, ...]:
    return _cell(a, "lstm", p["hx"], p)


@aten("gru_cell")
def _gru_cell(a: Assembly, p: Arguments) -> Value:
    return _cell(a, "gru", [p["hx"]], p)[0]


@aten("rnn_tanh_cell")
def _rnn_tanh_cell(a: Assembly, p: Arguments) -> Value:
    return _cell(a, "rnn_tanh", [p["hx"]], p)[0]


@aten("rnn_relu_cell")
def _rnn_relu_cell(a: Assembly, p: Arguments) -> Value:
    return _cell(a, "rnn_relu", [p["hx"]], p)[0]


def _view(a: Assembly, p: Arguments) -> Moved:
    return mv.reshape(a, mv.moved(p["self"]), p["size"] if "size" in p else p["shape"])


def _slice(a: Assembly, p: Arguments) -> Moved:
    end = BATCH if p["end"] is None else int(p["end"])
    return mv.cut(a, mv.moved(p["self"]), int(p["dim"]), int(p["start"] or 0), end, int(p["step"]))


def _unbind(a: Assembly, p: Arguments) -> tuple[Any, ...]:
    x = mv.moved(p["self"])
    count = x.sizes[int(p["dim"])]
    return tuple(mv.settled(mv.select(a, x, int(p["dim"]), index)) for index in range(count))


def _same(a: Assembly, p: Arguments) -> Moved:
    return mv.moved(p["self"])


_MOVING: dict[str, Callable[[Assembly, Arguments], Any]] = {
    "view": _view,
    "reshape": _view,
    "_unsafe_view": _view,
    "permute": lambda a, p: mv.permute(a, mv.moved(p["self"]), p["dims"]),
    "transpose": lambda a, p: mv.swap(a, mv.moved(p["self"]), int(p["dim0"]), int(p["dim1"])),
    "unsqueeze": lambda a, p: mv.unsqueeze(a, mv.moved(p["self"]), int(p["dim"])),
    "squeeze": lambda a, p: mv.squeeze(a, mv.moved(p["self"]), None if p.get("dim") is None else axes_of(p["dim"])),
    "slice": _slice,
    "select": lambda a, p: mv.select(a, mv.moved(p["self"]), int(p["dim"]), int(p["index"])),
    "cat": lambda a, p: mv.concat(a, p["tensors"], int(p["dim"])),
    "stack": lambda a, p: mv.stack(a, p["tensors"], int(p["dim"])),
    "unbind": _unbind,
    "clone": _same,
    "contiguous": _same,
    "detach": _same,
    "alias": _same,
}
# These may move a batch that is first; others refuse that themselves.
_MOVES_THE_BATCH = {"permute", "transpose", "unsqueeze", "stack"}
_RECURRENT = {"lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"}


def translate_moved(a: Assembly, name: str, arguments: Arguments) -> Any:
    """What an operator gives where a batch is not first, or moves; None where it is an operator as any other.

    Raises:
        Refused: it is not known how it does that.
    """
    if name in _RECURRENT:
        return None
    far = any(isinstance(value, Moved) for value in flat(arguments.values()))
    if not far and not (name in _MOVES_THE_BATCH and _leaves(name, arguments)):
        return None
    operator = _MOVING.get(name)
    if operator is None:
        raise Refused(mv.FIRST)
    result = operator(a, arguments)
    return mv.settled(result) if isinstance(result, Moved) else result


def _leaves(name: str, p: Arguments) -> bool:
    """Whether the batch, which is first, is not first afterwards."""
    x = p.get("self") if name != "stack" else p["tensors"][0]
    if not isinstance(x, Value) or any(isinstance(v, Tensor) for v in flat([p.get("tensors", [])])):
        return False
    total = x.sample.dim()
    match name:
        case "permute":
            return int(p["dims"][0]) % total != 0
        case "transpose":
            one, other = int(p["dim0"]) % total, int(p["dim1"]) % total
            return one != other and 0 in (one, other)
        case _:
            return int(p["dim"]) % (total + 1) == 0
