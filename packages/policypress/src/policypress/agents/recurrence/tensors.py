"""Tensors of ``torch.nn``'s LSTM, GRU and RNN in a checkpoint: ``weight_ih_l0``, ``bias_ih_l0``, ..."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from policypress.agents.archive import listing
from policypress.agents.bundle import Array
from policypress_runtime.errors import DamagedAgentError, UnsupportedAgentError

_NAME = re.compile(r"(weight|bias)_(ih|hh)_l(\d+)")
_FORWARD = "one direction, without projections"
MOST_LAYERS = 64


@dataclass(frozen=True)
class RecurrentTensors:
    """The tensors under their names in the checkpoint, the number of layers, and the width H of a state."""

    state: Mapping[str, Array]
    layers: int
    hidden: int


def read_recurrent(tensors: Mapping[str, Array], prefix: str, inputs: int, gates: int) -> RecurrentTensors:
    """The layers under ``prefix``, checked against each other.

    Args:
        tensors: of the checkpoint.
        prefix: what stands before ``weight_ih_l0``, with its dot.
        inputs: numbers that the first layer reads.
        gates: 4 for LSTM, 3 for GRU, 1 for RNN.

    Raises:
        DamagedAgentError: a tensor is missing, or its shape does not fit.
        UnsupportedAgentError: layers that read a sequence backwards, or with projections.
    """
    own = {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}
    for mark, kind in (("_reverse", "reads a sequence in both directions"), ("weight_hr", "projects its state")):
        found = [name for name in own if mark in name]
        if found:
            raise UnsupportedAgentError(
                f"The agent's recurrent layer {kind}, which is not supported.",
                got=prefix + found[0],
                expected=_FORWARD,
            )
    strange = [name for name in own if not _NAME.fullmatch(name)]
    count = len({name.rpartition("_l")[2] for name in own if name not in strange})
    if strange or not 0 < count <= MOST_LAYERS:
        raise DamagedAgentError(
            "The agent's recurrent layers are incomplete.",
            got="tensors " + listing([prefix + name for name in sorted(own)], 6) if own else "no tensors",
            expected=f"{prefix}weight_ih_l0, {prefix}weight_hh_l0, ...",
        )
    first = own.get("weight_hh_l0")
    hidden = int(first.shape[1]) if first is not None and first.ndim == 2 else 0
    biased = "bias_ih_l0" in own
    for layer in range(count):
        width = inputs if layer == 0 else hidden
        expected: dict[str, tuple[int, ...]] = {
            f"weight_ih_l{layer}": (gates * hidden, width),
            f"weight_hh_l{layer}": (gates * hidden, hidden),
        }
        for side in ("ih", "hh") if biased else ():
            expected[f"bias_{side}_l{layer}"] = (gates * hidden,)
        for name, shape in expected.items():
            array = own.get(name)
            if array is None or array.shape != shape or hidden == 0:
                raise DamagedAgentError(
                    f"The agent's recurrent layer {prefix + name!r} does not fit what comes before it.",
                    got="missing" if array is None else f"shape {array.shape}",
                    expected=str(shape),
                )
    return RecurrentTensors({prefix + name: array for name, array in own.items()}, count, hidden)
