"""Environments that say which actions are allowed, by ``action_masks()`` as sb3-contrib's MaskablePPO asks for it.

The method may be the environment's or any wrapper's. A mask has one truth value for every choice, one choice behind
the other: ``n`` for Discrete, ``sum(nvec)`` for MultiDiscrete, and two (off, on) for every bit of a MultiBinary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from policypress.environments.wrappers.faults import RAISED, failure_of
from policypress.environments.wrappers.observation import Env
from policypress.seeding import generator
from policypress_runtime.errors import EnvironmentFailedError, PolicypressError, WrapperError

METHOD = "action_masks"
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MaskedActor:
    """Acts among the actions that the environment allows, where it says which; else like ``act``.

    Args:
        act: gives an action for an observation.
        among: gives an action for an observation and a mask (a flat array of booleans).
    """

    act: Callable[[Any], Any]
    among: Callable[[Any, Mask], Any]

    def __call__(self, observation: Any) -> Any:
        """The action where nothing is masked."""
        return self.act(observation)


def offers_masks(env: Env) -> bool:
    """Whether the environment or one of its wrappers says which actions are allowed."""
    return _method(env) is not None and bool(choices(env.action_space))


def deciding(act: Callable[[Any], Any], env: Env) -> Callable[[Any], Any]:
    """What gives the actions of the episode that has begun in ``env``: ``act``, with masks where both know them.

    The result raises EnvironmentFailedError where ``action_masks()`` raises or gives no mask of the action space.
    """
    method = _method(env) if isinstance(act, MaskedActor) else None
    if method is None or not isinstance(act, MaskedActor) or not choices(env.action_space):
        return act
    among, width = act.among, sum(choices(env.action_space))

    def decide(observation: Any) -> Any:
        return among(observation, _asked(method, width))

    return decide


def choices(space: gymnasium.Space[Any]) -> tuple[int, ...]:
    """How many options each choice of an action space has; nothing where actions are no choices."""
    match space:
        case gymnasium.spaces.Discrete():
            return (int(space.n),)
        case gymnasium.spaces.MultiDiscrete():
            return tuple(int(n) for n in space.nvec.reshape(-1))
        case gymnasium.spaces.MultiBinary():
            return (2,) * int(np.prod(space.shape))
        case _:
            return ()


def legal_actor(env: Env, seed: int, free: Callable[[Any], Any]) -> MaskedActor:
    """Random actions, each choice drawn evenly among its allowed options (among all where none is allowed).

    Args:
        env: the environment.
        seed: of the draws.
        free: the policy if the environment has no masks.
    """
    space, rng = env.action_space, generator(seed, "random legal actions")
    ends = np.cumsum(choices(space))[:-1]

    def among(_: Any, mask: Mask) -> Any:
        drawn = [int(rng.choice(np.flatnonzero(part) if part.any() else len(part))) for part in np.split(mask, ends)]
        if isinstance(space, gymnasium.spaces.Discrete):
            return drawn[0] + int(space.start)
        return np.array(drawn, space.dtype).reshape(space.shape)

    return MaskedActor(free, among)


class ActionMasker(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Gives a method of the environment the name ``action_masks``, as sb3-contrib's wrapper of this name does.

    Args:
        env: the environment.
        action_mask_fn: the method's name. It comes from files too, so it has to speak of masks or of what is valid or
            legal, and be public; a function has to come from the user's own module.
    """

    def __init__(self, env: Env, action_mask_fn: str) -> None:
        super().__init__(env)
        speaks = any(word in action_mask_fn.lower() for word in ("mask", "valid", "legal"))
        if not action_mask_fn.isidentifier() or action_mask_fn.startswith("_") or not speaks:
            raise WrapperError(
                "ActionMasker needs the name of a method that returns masks.",
                got=repr(action_mask_fn),
                expected="for example action_mask_fn='valid_action_mask'",
                hint="Write a function in your own module, and name it: --wrapper package.module:function.",
            )
        try:
            found = env.get_wrapper_attr(action_mask_fn)
        except AttributeError:
            found = None
        if not callable(found):
            raise WrapperError(
                "The environment has no such method for ActionMasker.", got=action_mask_fn, expected="a method of it"
            )
        self._named = action_mask_fn

    def action_masks(self) -> Any:
        """What the named method says now."""
        return self.env.get_wrapper_attr(self._named)()


def _method(env: Env) -> Callable[[], Any] | None:
    try:
        found = env.get_wrapper_attr(METHOD)
    except AttributeError:
        return None
    return found if callable(found) else None


def _asked(method: Callable[[], Any], width: int) -> Mask:
    try:
        mask = np.asarray(method()).reshape(-1)
        allowed: Mask = mask.astype(np.bool_, copy=False)
    except PolicypressError:
        raise
    except RAISED as error:
        raise failure_of(error, f"{METHOD}()") from error
    if mask.size != width or mask.dtype.kind not in "biuf":
        raise EnvironmentFailedError(
            f"The environment's {METHOD}() returned no mask of its action space.",
            got=f"{mask.size} values of {mask.dtype}",
            expected=f"{width} truth values: one for every option of every choice",
        )
    return allowed
