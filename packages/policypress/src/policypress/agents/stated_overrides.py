"""What a user states of an agent as text, on the command line or in a study file: one form, one meaning."""

from __future__ import annotations

from pathlib import Path

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
    )


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
