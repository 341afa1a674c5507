"""Fully connected layers in a checkpoint, put in their order: a ``Sequential`` by its indices, others by their widths.

A checkpoint tells weights. That an activation stands between two layers shows in the indices of a ``Sequential``:
``actor.0.weight``, ``actor.2.weight`` leave a place for it. Which one it is, no tensor says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

from policypress.agents.archive import listing
from policypress.agents.bundle import Array, Dense, LayerNormed, Recurrent
from policypress_runtime.errors import DamagedAgentError, UnsupportedAgentError

_INDEXED = re.compile(r"(\d+)\.(weight|bias)")
MOST_LAYERS = 256


class Gap(Enum):
    """The place of an activation that the checkpoint does not name."""

    ACTIVATION = "activation"


Part = Dense | LayerNormed | Gap


def sequential(tensors: Mapping[str, Array], prefix: str, *, closing: bool = False) -> tuple[Part, ...]:
    """The layers of a ``Sequential``.

    Args:
        tensors: of the checkpoint.
        prefix: what stands before the index, with its dot.
        closing: an activation follows the last layer.

    Raises:
        DamagedAgentError: there are none, or a weight is missing.
        UnsupportedAgentError: layers of another kind, e.g. convolutions.
    """
    own = {name.removeprefix(prefix): name for name in tensors if name.startswith(prefix)}
    strange = [full for short, full in own.items() if not _INDEXED.fullmatch(short)]
    if strange:
        raise UnsupportedAgentError(
            "The agent's network holds more than a chain of layers.",
            got="tensors " + listing(strange, 4),
            expected=f"{prefix}0.weight, {prefix}0.bias, {prefix}2.weight, ...",
            hint=HINT,
        )
    indices = sorted({int(short.partition(".")[0]) for short in own})
    if not 0 < len(indices) <= MOST_LAYERS:
        raise missing_layers(f"{prefix}0.weight", tensors)
    parts: list[Part] = []
    for place, index in enumerate(indices):
        if place and index - 1 != indices[place - 1]:
            parts.append(Gap.ACTIVATION)
        parts.append(layer(tensors, f"{prefix}{index}"))
    return (*parts, *([Gap.ACTIVATION] if closing else []))


def layer(tensors: Mapping[str, Array], name: str) -> Dense | LayerNormed:
    """The layer whose tensors are ``name.weight`` and, where it has one, ``name.bias``.

    Raises:
        DamagedAgentError: the weight is missing, or the bias does not fit it.
        UnsupportedAgentError: it is neither a linear layer nor a layer normalisation.
    """
    weight, bias = tensors.get(f"{name}.weight"), tensors.get(f"{name}.bias")
    if weight is None:
        raise missing_layers(f"{name}.weight", tensors)
    if weight.ndim not in (1, 2) or 0 in weight.shape or (weight.ndim == 1 and bias is None):
        kind = "a convolution" if weight.ndim in (3, 4, 5) else "a layer of another kind"
        raise UnsupportedAgentError(
            f"The agent's layer {name} is {kind}, which is not read from a checkpoint.",
            got=f"weight of shape {weight.shape}",
            expected="linear layers and layer normalisation",
            hint=HINT,
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise DamagedAgentError(
            f"The bias of the agent's layer {name} does not fit its weight.",
            got=f"bias {bias.shape}, weight {weight.shape}",
            expected=f"bias {weight.shape[:1]}",
        )
    if weight.ndim == 1 and bias is not None:
        return LayerNormed(weight, bias)
    return Dense(weight, bias)


HINT = (
    "Build the network with its own code in Python and give it to Policy.from_module(network, observation_space, "
    "action_space); or export it to ONNX there and give that file."
)


def missing_layers(name: str, tensors: Iterable[str]) -> DamagedAgentError:
    """The error for a layer that is not there."""
    return DamagedAgentError(
        f"The checkpoint has no tensor {name}.", got="tensors " + listing(sorted(tensors), 8), expected=name
    )


def check_widths(parts: Sequence[Part | Recurrent]) -> None:
    """Refuse layers that do not follow each other.

    Raises:
        DamagedAgentError: names the widths.
    """
    width: int | None = None
    for part in parts:
        if isinstance(part, Gap):
            continue
        reads, gives = _widths(part)
        if width is not None and reads != width:
            raise DamagedAgentError(
                "The agent's layers do not fit each other.",
                got=f"a layer that reads {reads} numbers after one that gives {width}",
                expected=f"{width}",
                hint="State the layers that act, in their order: --layers NAME,NAME.",
            )
        width = gives


def input_width(parts: Iterable[Part | Recurrent]) -> int:
    """Numbers that the first layer reads."""
    return next(_widths(part)[0] for part in parts if not isinstance(part, Gap))


def _widths(part: Dense | LayerNormed | Recurrent) -> tuple[int, int]:
    """Numbers that a layer reads and gives."""
    if isinstance(part, Recurrent):
        return part.inputs, part.hidden
    return int(part.weight.shape[-1]), int(part.weight.shape[0])


MEMORY_HINT = (
    "Export the policy with the framework's own exporter to ONNX, with its state as inputs and outputs, and give that "
    "file."
)


def refuse_others(form: str, names: Iterable[str], known: tuple[str, ...]) -> None:
    """Refuse tensors of an acting network that are neither read nor known not to act.

    Args:
        form: of the checkpoint.
        names: of all tensors.
        known: how those begin that are read, or do not act.

    Raises:
        UnsupportedAgentError: names them.
    """
    strange = sorted(name for name in names if not str(name).startswith(known))
    if strange:
        raise UnsupportedAgentError(
            f"The checkpoint has the form of {form}, and its network has parts that are not read.",
            got="tensors " + listing(strange, 6),
            expected="an actor of linear layers, with or without a normaliser of observations",
            hint=HINT,
        )


def refuse_memory(form: str, names: Iterable[str], prefixes: tuple[str, ...]) -> None:
    """Refuse a recurrent actor.

    Raises:
        UnsupportedAgentError: names its tensors.
    """
    found = sorted(name for name in names if str(name).startswith(prefixes))
    if found:
        raise UnsupportedAgentError(
            f"The checkpoint has the form of {form}, and its actor is recurrent, which is not read from a checkpoint.",
            got="tensors " + listing(found, 4),
            expected="an actor without memory",
            hint=MEMORY_HINT,
        )
