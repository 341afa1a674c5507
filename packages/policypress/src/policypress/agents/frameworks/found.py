"""What a framework's reader finds in a checkpoint, and what it leaves open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from policypress.agents.bundle import Activation, Normaliser, Recurrent, Step
from policypress.agents.frameworks.chains import Part
from policypress.agents.frameworks.run_config import RunConfig
from policypress.agents.frameworks.stored import Stored
from policypress.agents.overrides import Overrides

Squash = Literal["tanh", "none"]


@dataclass(frozen=True)
class Found:
    """A policy as the checkpoint has it.

    Args:
        framework: name of the framework.
        form: the framework with the version whose form the file has.
        parts: layers in order, with the places of their activations; the last gives means or scores.
        activation: of the hidden layers, where the run's configuration or the framework's own code tells it.
        activation_source: where it was found, as the end of a sentence; empty where the user need not be told.
        normaliser: statistics that the file holds.
        normaliser_unsaved: the framework normalises observations and does not save how: the user must tell.
        squash: what the framework does to the mean; None where only the user's code says.
        after: what the framework's network does to the action after that.
        unit_actions: the framework clamps actions to [-1, 1] and scales them to the bounds.
        choices: numbers of discrete choices, each scored by as many outputs; empty where actions are continuous, None
            where the file does not say.
        halves: the outputs are a mean and a deviation of each action: yes, no, or not told (None).
        notices: for the user.
        assumptions: what the file leaves open and was taken to be so.
    """

    framework: str
    form: str
    parts: tuple[Part | Recurrent, ...]
    activation: Activation | None = None
    activation_source: str = ""
    normaliser: Normaliser | None = None
    normaliser_unsaved: bool = False
    squash: Squash | None = "none"
    after: tuple[Step, ...] = ()
    unit_actions: bool = False
    choices: tuple[int, ...] | None = ()
    halves: bool | None = False
    notices: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Framework:
    """One framework's form of checkpoints.

    Args:
        name: of the framework.
        recognises: whether a file is one of its; by what it holds, never by its name.
        read: the policy in it, given what its run's configuration says and what the user states.
    """

    name: str
    recognises: Callable[[Stored], bool]
    read: Callable[[Stored, RunConfig, Overrides], Found]
