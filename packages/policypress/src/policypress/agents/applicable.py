"""Which of the facts that a user states can be of use for which kind of agent; the others are refused.

A silently ignored option would let a user believe in a policy that is not the one in use.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import Enum

from policypress.agents.overrides import NO_OVERRIDES, Overrides
from policypress_runtime.errors import AgentError

FLAGS = {
    "activation": "--activation",
    "cnn_strides": "--cnn-strides",
    "normalizer": "--normalizer",
    "output_name": "--output-name",
    "discrete_actions": "--actions",
    "scale_actions": "--scale-actions",
    "check": "--check",
    "squash": "--squash",
    "action_scale": "--action-scale",
    "action_size": "--action-size",
    "layers": "--layers",
}
"""Field of :class:`Overrides` → the option of the command line that states it."""


class AgentKind(Enum):
    """What is read, by what may be stated of it."""

    LIBRARY = "library"
    NETWORK = "network"
    CHECKPOINT = "checkpoint"
    SCRIPT = "script"
    ARTIFACT = "artifact"
    ACTING = "acting"
    READ = "read"


_USEFUL = {
    AgentKind.LIBRARY: ("activation", "cnn_strides", "normalizer", "check"),
    AgentKind.NETWORK: ("normalizer", "output_name", "discrete_actions", "scale_actions", "check"),
    AgentKind.CHECKPOINT: (
        "activation",
        "normalizer",
        "discrete_actions",
        "scale_actions",
        "check",
        "squash",
        "action_scale",
        "action_size",
        "layers",
    ),
    AgentKind.SCRIPT: ("normalizer", "discrete_actions", "scale_actions", "check", "action_scale"),
    AgentKind.ARTIFACT: ("normalizer", "check"),
    AgentKind.ACTING: (),
    AgentKind.READ: ("check",),
}
_WHY = {
    AgentKind.LIBRARY: (
        "already states what its outputs mean and how they are scaled",
        "Leave the option out: it is for foreign ONNX files and checkpoints of other frameworks.",
    ),
    AgentKind.NETWORK: (
        "is an ONNX file, which already holds its activations and strides",
        "Leave the option out: it is for zips and checkpoints that do not state them.",
    ),
    AgentKind.CHECKPOINT: (
        "is a checkpoint of linear layers",
        "Leave the option out: it is for ONNX files, or for Stable-Baselines3 zips with images.",
    ),
    AgentKind.SCRIPT: (
        "is a TorchScript file, whose code already says what its layers do",
        "Leave the option out: it is for checkpoints, which do not state it.",
    ),
    AgentKind.ARTIFACT: (
        "was written by policypress and already states its network and the meaning of its output",
        "Leave the option out, or give the file that the artifact was made from.",
    ),
    AgentKind.ACTING: (
        "is an artifact, which is run as it is",
        "Leave the option out, or give the agent that it was made from; `policypress export AGENT -o FILE` with the "
        "option writes a new artifact.",
    ),
    AgentKind.READ: (
        "is read already",
        "State it where the agent is read: load_agent(path, overrides=...); statistics also as "
        "Policy.from_module(..., normaliser=...).",
    ),
}


def stated_fields(overrides: Overrides) -> tuple[str, ...]:
    """The fields of ``overrides`` that an option states."""
    return tuple(name for name in FLAGS if getattr(overrides, name) != getattr(NO_OVERRIDES, name))


def without(overrides: Overrides, names: Iterable[str]) -> Overrides:
    """``overrides`` with the fields ``names`` left open."""
    return replace(overrides, **{name: getattr(NO_OVERRIDES, name) for name in names})


def useless_fields(overrides: Overrides, kind: AgentKind) -> tuple[str, ...]:
    """What is stated and can be of no use for an agent of this kind."""
    return tuple(name for name in stated_fields(overrides) if name not in _USEFUL[kind])


def flags(names: Iterable[str]) -> str:
    """The options that state the fields ``names``, in words."""
    return ", ".join(FLAGS[name] for name in names)


def refuse_useless(overrides: Overrides, kind: AgentKind, label: str) -> None:
    """Refuse what is stated and can be of no use for the agent ``label``.

    Raises:
        AgentError: names the options and why they say nothing here.
    """
    found = useless_fields(overrides, kind)
    if found:
        raise useless(found, f"{label} {_WHY[kind][0]}.", _WHY[kind][1])


def useless(names: Iterable[str], why: str, hint: str) -> AgentError:
    """The error for stated fields that can be of no use."""
    return AgentError(why, got=flags(names), expected="only options that can change how it is read", hint=hint)
