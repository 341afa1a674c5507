"""Recurrent layers in front of a checkpoint's actor: an LSTM or a GRU, told by the height of its matrices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from policypress.agents.bundle import Array, Recurrent
from policypress.agents.frameworks.chains import MEMORY_HINT
from policypress.agents.recurrence.tensors import read_recurrent
from policypress_runtime.errors import UnsupportedAgentError

_KINDS: dict[int, Literal["lstm", "gru"]] = {4: "lstm", 3: "gru"}
_FIRST = "weight_hh_l0"


def recurrent(tensors: Mapping[str, Array], prefix: str, form: str) -> tuple[Recurrent, ...]:
    """The recurrent layers under ``prefix``; none where there are no such tensors.

    Args:
        tensors: of the acting network.
        prefix: what stands before ``weight_ih_l0``, with its dot.
        form: of the checkpoint, for messages.

    Raises:
        DamagedAgentError: a tensor is missing, or its shape does not fit.
        UnsupportedAgentError: neither an LSTM nor a GRU, or one that reads in both directions or projects.
    """
    own = {name: array for name, array in tensors.items() if name.startswith(prefix)}
    if not own:
        return ()
    kept = own.get(prefix + _FIRST)
    first = own.get(prefix + "weight_ih_l0")
    inputs = int(first.shape[1]) if first is not None and first.ndim == 2 else 0
    width = int(kept.shape[1]) if kept is not None and kept.ndim == 2 else 0
    gates = int(kept.shape[0]) // width if kept is not None and width and kept.shape[0] % width == 0 else 4
    if gates not in _KINDS:
        raise UnsupportedAgentError(
            f"The checkpoint has the form of {form}, and its memory is neither an LSTM nor a GRU.",
            got=f"{prefix}{_FIRST} of shape {kept.shape if kept is not None else ()}",
            expected="four gates (LSTM) or three (GRU) of as many units as its columns",
            hint=MEMORY_HINT,
        )
    found = read_recurrent(own, prefix, inputs, gates)
    state = found.state
    layers = tuple(
        (
            state[f"{prefix}weight_ih_l{i}"],
            state[f"{prefix}weight_hh_l{i}"],
            state.get(f"{prefix}bias_ih_l{i}"),
            state.get(f"{prefix}bias_hh_l{i}"),
        )
        for i in range(found.layers)
    )
    return (Recurrent(_KINDS[gates], layers),)
