"""What is known of an agent from outside its file: stated by the user, or standing beside the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from policypress.agents.bundle import Activation
from policypress_runtime.contract import Space


@dataclass(frozen=True)
class Overrides:
    """Facts given by the user, each one flag of the command line; they win over the file's.

    Args:
        activation: of the hidden layers (``--activation tanh``).
        cnn_strides: of the convolutions, first to last (``--cnn-strides 4,2``).
        observation_space: of the environment the user named (``--env``), images channel-first.
        action_space: of the environment the user named (``--env``).
        normalizer: path of the VecNormalize statistics, or ``none`` (``--normalizer``); looked for where left out.
        output_name: the output of an ONNX file that is the action (``--output-name``).
        discrete_actions: an ONNX file's output chooses among so many actions (``--actions``).
        scale_actions: the network gives -1 to 1, which is scaled to the action bounds (``--scale-actions``).
        check: path of observations and the actions that the author's own code gave for them (``--check``).
        squash: ``tanh`` or ``none``: what the training's code did to a checkpoint's actions (``--squash``).
        action_scale: that code multiplied actions by this, one number for all or one each (``--action-scale``).
        action_size: a checkpoint's outputs are so many actions; what is left are deviations (``--action-size``).
        layers: of a file of weights, those that act, in their order (``--layers``).
    """

    activation: Activation | None = None
    cnn_strides: tuple[int, ...] | None = None
    observation_space: Space | None = None
    action_space: Space | None = None
    normalizer: str | None = None
    output_name: str | None = None
    discrete_actions: int | None = None
    scale_actions: bool = False
    check: str | None = None
    squash: Literal["tanh", "none"] | None = None
    action_scale: tuple[float, ...] | None = None
    action_size: int | None = None
    layers: tuple[str, ...] | None = None


NO_OVERRIDES = Overrides()


@dataclass(frozen=True)
class Hints:
    """What names and files beside an agent say; each counts only where the agent's own file is silent.

    ``environment_id`` is the exception: a file beside the agent that names the environment wins.
    """

    algorithm: str | None = None
    activation: Activation | None = None
    environment_id: str | None = None


NO_HINTS = Hints()
