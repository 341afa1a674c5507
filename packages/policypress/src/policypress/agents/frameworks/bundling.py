"""From layers that were found in a file, whatever its form, to an agent: spaces, normaliser, and what is told."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from policypress.agents.applicable import useless
from policypress.agents.archive import sha256_of
from policypress.agents.bundle import (
    Activation,
    AgentBundle,
    ChainNetwork,
    Dense,
    LayerNormed,
    Normaliser,
    Provenance,
    Recurrent,
    Scaled,
    Step,
)
from policypress.agents.frameworks.actions import actions_of, closing, first_outputs
from policypress.agents.frameworks.chains import check_widths, input_width
from policypress.agents.frameworks.found import Found
from policypress.agents.normalisers.normalisation import Normalisation, normalisation_of_network
from policypress.agents.overrides import Overrides
from policypress_runtime.contract import Box, Space
from policypress_runtime.errors import AgentError, DamagedAgentError


@dataclass(frozen=True)
class Described:
    """One file, what was found in it, and its steps up to the last layer; ``told`` are notices of how it was read."""

    path: Path
    content: bytes
    found: Found
    steps: tuple[Step, ...]
    told: tuple[str, ...] = ()


def bundle_of(described: Described, overrides: Overrides) -> AgentBundle:
    """The agent.

    Raises:
        DamagedAgentError: layers do not follow each other.
        AgentError: what is stated, or the environment, does not fit the layers.
        UndeterminedAgentError: actions are to be scaled to bounds that are not known.
    """
    path, found = described.path, described.found
    check_widths(found.parts)
    actions = actions_of(found, overrides)
    after, space, notices = closing(found, actions, overrides)
    observations = _observations(found, overrides)
    normalisation = _normalisation(path, found, observations, overrides)
    *before, last = described.steps
    steps = (*before, first_outputs(last, actions.outputs) if isinstance(last, Dense) else last, *after)
    _check_sizes(steps)
    return AgentBundle(
        ChainNetwork(found.framework, steps, squash=bool(after) and after[0] == Activation("tanh")),
        observations,
        space,
        Provenance(str(path), sha256_of(described.content), found.form),
        normaliser=normalisation.normalisers,
        caller_supplies=normalisation.caller_supplies,
        notices=(
            f"{path.name} is read as {found.form}.",
            *described.told,
            *found.notices,
            *notices,
            *_unbounded(space),
            *normalisation.notices,
        ),
        assumptions=(*found.assumptions, *normalisation.assumptions),
        check=overrides.check,
    )


def _check_sizes(steps: Iterable[Step]) -> None:
    """Refuse numbers for each feature where there are more or fewer features."""
    width: int | None = None
    for step in steps:
        sizes: tuple[int, ...] = ()
        match step:
            case Dense():
                sizes = (int(step.weight.shape[1]),)
            case Recurrent():
                sizes = (step.inputs,)
            case LayerNormed():
                sizes = (step.weight.size, step.bias.size)
            case Scaled():
                sizes = tuple(part.size for part in (step.scale, step.shift) if part is not None and part.size > 1)
            case _:
                pass
        for size in sizes:
            if width not in (None, size):
                raise DamagedAgentError(
                    "The agent's layers do not fit each other.",
                    got=f"{size} numbers for {width} features",
                    expected=str(width),
                )
            width = size
        if isinstance(step, Dense | Recurrent):
            width = int(step.weight.shape[0]) if isinstance(step, Dense) else step.hidden


def _observations(found: Found, overrides: Overrides) -> Space:
    width = input_width(found.parts)
    space = overrides.observation_space
    if space is None:
        return Box((width,), "float32", (-math.inf,), (math.inf,))
    if not isinstance(space, Box) or space.size != width:
        raise AgentError(
            "The environment's observations do not fit the agent's first layer.",
            got=f"an environment that gives {space}",
            expected=f"{width} numbers",
            hint="Name the environment that the agent was trained in.",
        )
    return space


def _normalisation(path: Path, found: Found, space: Space, overrides: Overrides) -> Normalisation:
    if found.normaliser is not None:
        if overrides.normalizer is not None:
            why = f"{path.name} holds the statistics of its observations itself."
            raise useless(("normalizer",), why, "Leave the option out.")
        return Normalisation({"": _shaped(found.normaliser, space)})
    if overrides.normalizer is None:
        return Normalisation()
    return normalisation_of_network(path, space, overrides, None)


def _shaped(normaliser: Normaliser, space: Space) -> Normaliser:
    shape = space.shape if isinstance(space, Box) else ()
    if normaliser.mean.size != math.prod(shape):
        raise AgentError(
            "The statistics of the agent's observations do not fit its first layer.",
            got=f"{normaliser.mean.size} means",
            expected=f"{math.prod(shape)}",
        )
    mean, variance = normaliser.mean.reshape(shape), normaliser.variance.reshape(shape)
    return Normaliser(mean, variance, normaliser.epsilon, normaliser.clip)


def _unbounded(space: Space) -> tuple[str, ...]:
    if not isinstance(space, Box) or all(map(math.isfinite, (*space.low, *space.high))):
        return ()
    return ("The actions are taken without bounds; --env names an environment with bounds.",)
