"""What is known of an agent from outside its file: stated by the user, or standing beside the file."""

from __future__ import annotations

from dataclasses import dataclass

from policypress.agent.bundle import Activation
from policypress.contract import Space


@dataclass(frozen=True)
class Overrides:
    """Facts given by the user, each one flag of the command line; they win over the file's.

    Args:
        activation: of the hidden layers (``--activation tanh``).
        cnn_strides: of the convolutions, first to last (``--cnn-strides 4,2``).
        observation_space: of the environment the user named (``--env``), images channel-first.
        action_space: of the environment the user named (``--env``).
    """

    activation: Activation | None = None
    cnn_strides: tuple[int, ...] | None = None
    observation_space: Space | None = None
    action_space: Space | None = None


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
