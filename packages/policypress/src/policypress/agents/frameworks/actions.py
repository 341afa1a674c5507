"""From a network's outputs to actions: how many, whether they are scores, how they are squashed and scaled."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from policypress.agents.applicable import FLAGS, useless
from policypress.agents.bundle import Activation, Dense, Limited, Scaled, Step
from policypress.agents.frameworks.found import Found
from policypress.agents.overrides import Overrides
from policypress_runtime.contract import Box, Discrete, Space, action_width
from policypress_runtime.errors import AgentError, UndeterminedAgentError

_CONTINUOUS = ("squash", "action_scale", "action_size", "scale_actions")


@dataclass(frozen=True)
class Actions:
    """The action space, and how many of the network's outputs count (the first); the rest are deviations."""

    space: Space
    outputs: int


def actions_of(found: Found, overrides: Overrides) -> Actions:
    """What the outputs are, from what the checkpoint, the user and the environment say.

    Raises:
        AgentError: what is said does not fit the network.
    """
    outputs = _outputs(found)
    space = overrides.action_space
    if found.choices:
        own = Discrete(found.choices[0])
        if space is not None and space != own and not (isinstance(space, Discrete) and space.n == own.n):
            raise _misfit(f"{own.n} scores of discrete actions", f"an environment with {space}")
        return Actions(space or own, outputs)
    if space is None and overrides.discrete_actions is not None:
        space = Discrete(overrides.discrete_actions)
    if isinstance(space, Discrete) and overrides.discrete_actions not in (None, space.n):
        raise _misfit(f"--actions {overrides.discrete_actions}", f"an environment with {space}")
    if isinstance(space, Discrete) and found.choices is not None and overrides.discrete_actions is None:
        raise _misfit("an actor of continuous actions", f"an environment with {space}")
    count = overrides.action_size if space is None else action_width(space)
    if count is None:
        count = outputs // 2 if found.halves else outputs
    if isinstance(space, Box) and overrides.action_size not in (None, space.size):
        raise _misfit(f"--action-size {overrides.action_size}", f"an environment with {space}")
    if count != outputs and not (2 * count == outputs and found.halves is not False and not _is_discrete(space)):
        raise _misfit(f"{outputs} outputs", f"{count} actions")
    return Actions(space or Box((count,), "float32", (-math.inf,), (math.inf,)), count)


def closing(found: Found, actions: Actions, overrides: Overrides) -> tuple[tuple[Step, ...], Space, tuple[str, ...]]:
    """What follows the last layer, the action space with its bounds, and notices.

    Raises:
        UndeterminedAgentError: actions are to be scaled to bounds that are not known.
        AgentError: something is stated that can be of no use.
    """
    if _is_discrete(actions.space):
        _refuse(overrides, _CONTINUOUS, "The agent's actions are discrete, so nothing is squashed or scaled.")
        return (), actions.space, ()
    if found.unit_actions:
        _refuse(
            overrides, ("squash", "scale_actions"), f"{found.form} clamps actions to -1 to 1 and scales them itself."
        )
    if found.after and any(isinstance(step, Scaled) for step in found.after):
        _refuse(overrides, ("scale_actions",), f"{found.form} keeps the scale of its actions in the file.")
    if overrides.scale_actions and overrides.action_scale is not None:
        raise AgentError(
            "--scale-actions and --action-scale say different things.",
            got="both",
            expected="one of them",
            hint="Leave --action-scale out if the actions stand for the bounds of the environment.",
        )
    squash = overrides.squash or found.squash
    steps: list[Step] = [Activation("tanh")] if squash == "tanh" else []
    notices = []
    if overrides.squash is not None and found.squash not in (None, overrides.squash):
        notices.append(f"--squash {overrides.squash} as stated; {found.form} itself has {found.squash}.")
    steps += found.after
    if found.unit_actions:
        steps.append(Limited(-1.0, 1.0))
    space = actions.space
    low, high = space.bounds() if isinstance(space, Box) else (np.array(0.0), np.array(0.0))
    scales = overrides.scale_actions or (found.unit_actions and overrides.action_space is not None)
    bounded = bool(np.isfinite(low).all() and np.isfinite(high).all())
    if overrides.scale_actions and not bounded:
        raise UndeterminedAgentError(
            "The actions cannot be scaled to the action bounds.",
            got="--scale-actions with an action space without bounds",
            expected="finite action bounds",
            hint="Name the environment whose bounds are meant: --env ID; or state --action-scale.",
        )
    if scales and bounded and not (np.all(low == -1) and np.all(high == 1)):
        steps.append(_to_bounds(low, high))
    if overrides.action_scale is not None:
        steps.append(_stated_scale(overrides.action_scale, actions.outputs))
    return tuple(steps), _bounded(space, steps, overrides), tuple(notices)


def first_outputs(part: Dense, count: int) -> Dense:
    """The layer with its first ``count`` outputs alone: the mean, where the other half is a deviation."""
    bias = None if part.bias is None else np.ascontiguousarray(part.bias[:count])
    return Dense(np.ascontiguousarray(part.weight[:count]), bias)


def _outputs(found: Found) -> int:
    last = found.parts[-1]
    if not isinstance(last, Dense):
        raise AgentError(f"{found.form}: the last layer is none that gives actions.", got=type(last).__name__)
    return int(last.weight.shape[0])


def _to_bounds(low: npt.NDArray[Any], high: npt.NDArray[Any]) -> Scaled:
    low64, high64 = low.astype(np.float64).reshape(-1), high.astype(np.float64).reshape(-1)
    half, middle = (high64 - low64) / 2, (high64 + low64) / 2
    return Scaled(half.astype(np.float32), middle.astype(np.float32), "unscale")


def _stated_scale(scale: tuple[float, ...], count: int) -> Scaled:
    if len(scale) not in (1, count):
        raise AgentError(
            "The stated action scale does not fit the agent's actions.",
            got=f"{FLAGS['action_scale']} with {len(scale)} numbers",
            expected=f"one number, or {count}",
        )
    return Scaled(np.array(scale, np.float32), None, "unscale")


def _bounded(space: Space, steps: list[Step], overrides: Overrides) -> Space:
    """Bounds that the steps themselves set, where no environment says others."""
    if overrides.action_space is not None or not isinstance(space, Box):
        return space
    low, high = np.full(space.shape, -math.inf), np.full(space.shape, math.inf)
    for step in steps:
        match step:
            case Activation(name="tanh"):
                low, high = np.full(space.shape, -1.0), np.full(space.shape, 1.0)
            case Limited():
                low, high = np.maximum(low, step.low), np.minimum(high, step.high)
            case Scaled():
                scale = 1.0 if step.scale is None else step.scale.astype(np.float64)
                shift = 0.0 if step.shift is None else step.shift.astype(np.float64)
                ends = np.stack([low * scale + shift, high * scale + shift])
                low, high = ends.min(0), ends.max(0)
            case _:
                low, high = np.full(space.shape, -math.inf), np.full(space.shape, math.inf)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return space
    return replace(space, low=_bound(low), high=_bound(high))


def _bound(values: npt.NDArray[Any]) -> tuple[float, ...]:
    """One number where all are the same, as spaces have it."""
    distinct = sorted({float(value) for value in values})
    return tuple(distinct) if len(distinct) == 1 else tuple(map(float, values))


def _is_discrete(space: Space | None) -> bool:
    return space is not None and not isinstance(space, Box)


def _refuse(overrides: Overrides, names: tuple[str, ...], why: str) -> None:
    found = [name for name in names if getattr(overrides, name) not in (None, False)]
    if found:
        raise useless(found, why, "Leave the option out.")


def _misfit(got: str, expected: str) -> AgentError:
    return AgentError(
        "The agent's outputs do not fit what is said of its actions.",
        got=got,
        expected=expected,
        hint="Name the environment that it was trained in, or correct --action-size or --actions.",
    )
