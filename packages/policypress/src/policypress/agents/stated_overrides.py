"""What a user states of an agent as text, on the command line or in a study file: one form, one meaning."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypedDict, TypeVar, Unpack

from policypress.agents.normalisers.search import NONE
from policypress.agents.overrides import Overrides
from policypress.agents.sb3.activation_text import stated_activation
from policypress_runtime.errors import InputError

T = TypeVar("T")


class StatedTexts(TypedDict, total=False):
    """The facts under the names of their options; each may be left out, or None.

    Attributes:
        normalizer: path of VecNormalize statistics, or ``none``.
        activation: of hidden layers, e.g. ``leaky_relu(0.2)``.
        cnn_strides: e.g. ``4,2``.
        check: path of observations and actions of the author's own code.
        output_name: the output of an ONNX file that is the action.
        actions: a file's output chooses among so many.
        scale_actions: the network gives -1 to 1, which stands for the action bounds.
        squash: ``tanh`` or ``none``.
        action_scale: e.g. ``0.25``, or one number for each action.
        action_size: how many actions a checkpoint's outputs are.
        layers: e.g. ``actor.0,actor.2``.
    """

    normalizer: str | None
    activation: str | None
    cnn_strides: str | None
    check: str | Path | None
    output_name: str | None
    actions: int | None
    scale_actions: bool
    squash: str | None
    action_scale: str | None
    action_size: int | None
    layers: str | None


def stated_overrides(*, folder: Path | None = None, **stated: Unpack[StatedTexts]) -> Overrides:
    """The facts as the readers of agents take them.

    Args:
        folder: that the paths are relative to, if not the current one.
        **stated: :class:`StatedTexts`.

    Raises:
        InputError: a text that does not parse.
    """
    normalizer, check = stated.get("normalizer"), stated.get("check")
    if normalizer is not None and normalizer != NONE:
        normalizer = _path(normalizer, folder)
    return Overrides(
        activation=_parsed(stated_activation, stated.get("activation")),
        cnn_strides=_parsed(_strides, stated.get("cnn_strides")),
        normalizer=normalizer,
        output_name=stated.get("output_name"),
        discrete_actions=stated.get("actions"),
        scale_actions=stated.get("scale_actions", False),
        check=None if check is None else _path(check, folder),
        squash=_parsed(_squash, stated.get("squash")),
        action_scale=_parsed(_scale, stated.get("action_scale")),
        action_size=stated.get("action_size"),
        layers=_parsed(_names, stated.get("layers")),
    )


def _parsed(parse: Callable[[str], T], text: str | None) -> T | None:
    return None if text is None else parse(text)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _squash(text: str) -> Literal["tanh", "none"]:
    match text:
        case "tanh" | "none":
            return text
        case _:
            raise InputError("Unknown squashing of actions.", got=f"--squash {text[:40]}", expected="tanh or none")


def _scale(text: str) -> tuple[float, ...]:
    try:
        scale = tuple(float(part) for part in text.split(","))
    except ValueError:
        scale = ()
    if not scale or not all(math.isfinite(number) and number != 0 for number in scale):
        raise InputError(
            "The action scale cannot be parsed.",
            got=f"--action-scale {text[:80]}",
            expected="finite numbers other than 0: --action-scale 0.25, or one for each action",
        )
    return scale


def _path(text: str | Path, folder: Path | None) -> str:
    return str(text) if folder is None else str(folder / text)


def _strides(text: str) -> tuple[int, ...]:
    try:
        strides = tuple(int(part) for part in text.split(","))
    except ValueError:
        strides = ()
    if not strides or min(strides) < 1:
        raise InputError(
            "The strides cannot be parsed.", got=f"--cnn-strides {text}", expected="e.g. --cnn-strides 4,2"
        )
    return strides
