"""Playing episodes with anything that acts."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.wrappers import OrderEnforcing, TimeLimit

from policypress.environments.memory.remembering import memory_of, noticing
from policypress.environments.wrappers.faults import RAISED, checked_reset, failure_of, opened
from policypress.environments.wrappers.masks import deciding, legal_actor
from policypress.environments.wrappers.observation import Env
from policypress.records import EpisodeRecord
from policypress_runtime.errors import EnvironmentFailedError, ObservationError, PolicypressError

_TRIED = 3
_FEW = 64  # below this a Python sum checks finiteness faster than numpy
Observation = Any
# Anything that acts: takes one observation as the environment gives it, gives an action of the environment: a number
# for Discrete (its ``start`` included), else an array of the space's shape.
Actor = Callable[[Observation], Any]


def run_episode(
    env: Env,
    act: Actor,
    seed: int,
    max_steps: int | None = None,
    on_observation: Callable[[Observation], None] | None = None,
    fall_key: str = "",
) -> EpisodeRecord:
    """One episode of ``act`` in ``env``, from ``reset(seed=seed)`` until it ends or ``max_steps`` are done.

    Args:
        env: the environment; it can be used again afterwards.
        act: gives an action for an observation, both as the environment has them; a
            :class:`~policypress.environments.wrappers.masks.MaskedActor` is also given ``action_masks()``, where there
            are any.
        seed: the environment's seed.
        max_steps: limit for environments that have none of their own.
        on_observation: is given every observation that ``act`` is given, before it acts; of an actor with memory, as
            :class:`~policypress.environments.memory.remembering.Met`.
        fall_key: the key of ``info`` that marks a fall; empty: none.

    Raises:
        ObservationError: the action is not finite or of the wrong size.
        EnvironmentFailedError: the environment raised, does not follow gymnasium's interface, or gave an observation
            that ``act`` cannot read or a reward that is no finite number.
    """
    to_action = action_converter(env.action_space)
    start_s = time.process_time()
    total, length = 0.0, 0
    terminated = truncated = False
    fell: bool | None = None
    doing = "reset()"
    memory = memory_of(act)
    notice = noticing(on_observation, memory)
    try:
        observation = checked_reset(env.reset(seed=seed))
        step, time_limit = _plain_step(env)
        decide = deciding(act, env)
        if memory is not None:
            memory.reset()
        while not (terminated or truncated) and length != max_steps:
            if notice is not None:
                notice(observation)
            doing = ""  # the actor's own errors are its own
            chosen = decide(observation)
            doing = "step()"
            observation, reward, terminated, truncated, info = step(to_action(chosen))
            if fall_key and fall_key in info:
                fell = bool(fell or info[fall_key])
            total += float(reward)
            length += 1
            if length == time_limit:
                truncated = True
    except ObservationError as error:
        if doing:
            raise
        raise _observation_failure(error, seed, length) from error
    except PolicypressError:
        raise
    except RAISED as error:
        if not doing:
            raise
        raise failure_of(error, doing) from error
    if not math.isfinite(total):
        raise reward_failure(total, seed, length)
    return EpisodeRecord(
        seed=seed,
        episode_return=total,
        length=length,
        ending="terminated" if terminated else "truncated" if truncated else "step_limit",
        cpu_s=time.process_time() - start_s,
        fell=fell,
    )


def _observation_failure(error: ObservationError, seed: int, length: int) -> EnvironmentFailedError:
    return EnvironmentFailedError(
        "The environment returned an observation outside its own observation space.",
        got=f"{error.message.rstrip('.')}: {error.got}, after {length} steps of the episode with seed {seed}",
        expected=error.expected,
        hint="Fix the environment: observations must be finite, and of the shape and dtype of its observation space.",
    )


def reward_failure(total: float, seed: int, length: int) -> EnvironmentFailedError:
    """That the rewards of an episode sum to ``total``, which is no finite number."""
    return EnvironmentFailedError(
        "The environment returned a reward that is not finite.",
        got=f"rewards that sum to {total} in the {length} steps of the episode with seed {seed}",
        expected="finite numbers",
        hint="Fix the environment's reward: without it there is no return to compare.",
    )


def _plain_step(env: Env) -> tuple[Callable[[Any], Any], int | None]:
    """What to call for a step of an episode that has just begun, and the limit that this function would have kept.

    The two wrappers that ``gymnasium.make`` puts around every environment cost a microsecond a step and do nothing
    here but count to the limit.
    """
    if type(env) is TimeLimit and type(env.env) is OrderEnforcing:
        return env.env.env.step, int(env._max_episode_steps)
    return env.step, None


def try_out(factory: Callable[[], Env]) -> None:
    """Make the environment and take a few steps: failures are reported before anything is written.

    Raises:
        EnvironmentFailedError: as for :func:`run_episode`.
    """
    with opened(factory) as env:
        run_episode(env, random_actor(env, 0, masked=True), 0, _TRIED)


def random_actor(env: Env, seed: int, *, masked: bool = False) -> Actor:
    """Actions drawn by the action space itself, from its own stream; with ``masked`` allowed ones, where masks are."""
    space = copy.deepcopy(env.action_space)
    space.seed(seed)

    def act(_: Observation) -> Any:
        return space.sample()

    return legal_actor(env, seed, act) if masked else act


def action_converter(space: gymnasium.Space[Any]) -> Callable[[Any], Any]:
    """Checks an action and gives it the type environments expect: Python int for Discrete, array otherwise."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return _to_int
    shape = space.shape or ()
    if isinstance(space, gymnasium.spaces.Box):
        size = math.prod(shape)
        few, isfinite = len(shape) == 1 and size < _FEW, math.isfinite

        def to_box(action: Any) -> Any:
            array = action if type(action) is np.ndarray else np.asarray(action, space.dtype)
            if array.shape != shape:
                array = _reshaped(array, shape)
            if few:
                finite = isfinite(sum(array.tolist()))
            elif size < _FEW:
                finite = isfinite(sum(array.ravel().tolist()))
            else:
                finite = bool(np.isfinite(array).all())
            if not finite:
                raise ObservationError(
                    "The policy returned an action that is not finite.", got=str(array), expected="finite numbers"
                )
            return array

        return to_box
    return lambda action: _reshaped(np.asarray(action, space.dtype), shape)


def _to_int(action: Any) -> int:
    if type(action) is int:
        return action
    array = np.asarray(action)
    if array.size != 1:
        raise ObservationError(
            "The policy's action does not fit the environment.", got=f"shape {array.shape}", expected="one integer"
        )
    return int(array.reshape(())[()])


def _reshaped(array: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    if array.size != math.prod(shape):
        raise ObservationError(
            "The policy's action does not fit the environment.", got=f"shape {array.shape}", expected=f"shape {shape}"
        )
    return array.reshape(shape)
