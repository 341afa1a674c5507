"""What a user states of an agent as text, on the command line or in a study file: one form, one meaning."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from policypress.agents.normalisers.search import NONE
from policypress.agents.overrides import Overrides
from policypress.agents.sb3.activation_text import stated_activation
from policypress_runtime.errors import InputError


def stated_overrides(
    *,
    normalizer: str | None = None,
    activation: str | None = None,
    cnn_strides: str | None = None,
    check: str | Path | None = None,
    output_name: str | None = None,
    actions: int | None = None,
    scale_actions: bool = False,
    squash: str | None = None,
    action_scale: str | None = None,
    action_size: int | None = None,
    layers: str | None = None,
    folder: Path | None = None,
) -> Overrides:
    """The facts as the readers of agents take them; the names are those of the options.

    Args:
        normalizer: path of VecNormalize statistics, or ``none``.
        activation: of hidden layers, e.g. ``leaky_relu(0.2)``.
        cnn_strides: e.g. ``4,2``.
        check: path of observations and actions of the author's own code.
        output_name: the output of an ONNX file that is the action.
        actions: an ONNX file's output chooses among so many.
        scale_actions: the network gives -1 to 1, which stands for the action bounds.
        squash: ``tanh`` or ``none``.
        action_scale: e.g. ``0.25``, or one number for each action.
        action_size: how many actions a checkpoint's outputs are.
        layers: e.g. ``actor.0,actor.2``.
        folder: that the paths are relative to, if not the current one.

    Raises:
        InputError: a text that does not parse.
    """
    if normalizer not in (None, NONE):
        normalizer = _path(normalizer, folder)
    return Overrides(
        activation=None if activation is None else stated_activation(activation),
        cnn_strides=None if cnn_strides is None else _strides(cnn_strides),
        normalizer=normalizer,
        output_name=output_name,
        discrete_actions=actions,
        scale_actions=scale_actions,
        check=None if check is None else _path(check, folder),
        squash=None if squash is None else _squash(squash),
        action_scale=None if action_scale is None else _scale(action_scale),
        action_size=action_size,
        layers=None if layers is None else tuple(part.strip() for part in layers.split(",")),
    )


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
