"""Whether an agent fits an environment, and which environment fits an agent."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from policypress.environments.identifiers import resolve
from policypress.environments.inheritance import Inherited, called
from policypress.environments.making import make
from policypress.environments.spaces import spaces_in
from policypress.environments.trust import NO_WRAPPER, UserEnvironmentSpec
from policypress.environments.variants import adds_time_feature, candidates, distance, has_time_feature
from policypress.environments.wrappers import contact_forces
from policypress.environments.wrappers.faults import opened
from policypress_runtime.contract import (
    Box,
    DictSpace,
    Discrete,
    EnvironmentSpec,
    MultiBinary,
    MultiDiscrete,
    Space,
    WrapperSpec,
)
from policypress_runtime.errors import PolicypressError, SpaceMismatchError

_MOST_FRAMES = 16


@dataclass(frozen=True)
class Fit:
    """How the environment's observations become those of the network.

    ``transposed_keys``: channel-last images that the network reads channel-first (``""`` for a single tensor).
    ``notices``: for the user.
    """

    transposed_keys: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def transpose_image(self) -> bool:
        """Whether any image is transposed."""
        return bool(self.transposed_keys)


@dataclass(frozen=True)
class ResolvedEnvironment:
    """The environment for an agent, how the two fit, and notices about the choice."""

    spec: EnvironmentSpec
    fit: Fit
    notices: tuple[str, ...]


def compare(env_observations: Space, env_actions: Space, observations: Space, actions: Space) -> Fit | str:
    """How an environment's spaces fit an agent's, or in words why they do not."""
    transposed = _observations_fit(env_observations, observations)
    if isinstance(transposed, str):
        return transposed
    bounds = _actions_fit(env_actions, actions)
    if isinstance(bounds, str):
        return bounds
    return Fit(transposed, bounds)


def check_fit(
    spec: EnvironmentSpec,
    env_observation_space: Space,
    env_action_space: Space,
    observation_space: Space,
    action_space: Space,
) -> Fit:
    """How an agent fits the environment of ``spec``.

    Args:
        spec: the environment, to name its variants in the error.
        env_observation_space: the environment's.
        env_action_space: the environment's.
        observation_space: the agent's; images may be channel-first where the environment's are channel-last.
        action_space: the agent's; other bounds are a notice, another shape an error.

    Raises:
        SpaceMismatchError: it does not fit; names what does.
    """
    result = compare(env_observation_space, env_action_space, observation_space, action_space)
    if isinstance(result, Fit):
        return result
    fitting = fitting_variants(spec, observation_space, action_space)
    raise SpaceMismatchError(
        f"The agent does not fit {described(spec)}: {result}.",
        got=f"{described(spec)} with observations {in_words(env_observation_space)}, "
        f"actions {in_words(env_action_space)}",
        expected=f"observations {in_words(observation_space)}, actions {in_words(action_space)}",
        hint=_hint(spec, fitting, env_observation_space, observation_space),
    )


def fitting_variants(
    spec: EnvironmentSpec, observation_space: Space, action_space: Space | None = None
) -> list[EnvironmentSpec]:
    """Variants of the same environment that fit an agent, the nearest version and the fewest changes first.

    Without ``action_space`` only the observations are compared.
    """
    found = []
    for variant in candidates(spec, observation_space):
        try:
            env_observations, env_actions = spaces_of(variant)
        except PolicypressError:
            continue  # this version does not know the argument, or the wrapper does not apply
        if isinstance(compare(env_observations, env_actions, observation_space, action_space or env_actions), Fit):
            found.append(variant)
    return found


def spaces_of(spec: EnvironmentSpec) -> tuple[Space, Space]:
    """Observation and action space of an environment; errors are those of ``make``."""
    with opened(lambda: make(spec)) as env:
        return spaces_in(env)


def resolve_for_agent(
    spec: EnvironmentSpec,
    observation_space: Space,
    action_space: Space,
    observed_variance: npt.NDArray[np.float64] | None = None,
) -> ResolvedEnvironment:
    """The environment to run an agent in: its own under its current id, or the one variant that fits.

    What the user named (:class:`UserEnvironmentSpec`) is taken as it is, except that an id that moved is mapped.

    Args:
        spec: as read from the agent's files, or as the user gave it.
        observation_space: the agent's.
        action_space: the agent's.
        observed_variance: of each observation in training, from the agent's normaliser if it has one.

    Raises:
        SpaceMismatchError: nothing fits, or several variants do equally well.
        EnvironmentInputError: the environment cannot be made.
    """
    resolved = resolve(spec.id)
    notices = [] if resolved.notice is None else [resolved.notice]
    current = spec if resolved.id == spec.id else replace(spec, id=resolved.id, trained_id=spec.trained_id or spec.id)
    by_user = isinstance(spec, UserEnvironmentSpec)
    bases = [current]
    if not by_user or resolved.notice is not None:
        trained_id = spec.id if by_user else current.trained_id or current.id
        silenced = contact_forces.silenced(current, trained_id, observed_variance)
        bases = [current] if silenced is None else [silenced, current]
    chosen = None if by_user and len(bases) == 1 else _choose(bases, observation_space, action_space, by_user)
    if chosen is None:
        fit = check_fit(current, *spaces_of(current), observation_space, action_space)
        return ResolvedEnvironment(current, fit, (*notices, *fit.notices))
    variant, fit = chosen
    if contact_forces.adds_zeros(variant, current):
        notices.append(contact_forces.notice(variant))
    if variant not in bases:
        notices.append(f"The agent does not fit {described(current)}; {described(variant)} does, and is used instead.")
    return ResolvedEnvironment(variant, fit, (*notices, *fit.notices))


def resolve_first(
    ways: tuple[Inherited, ...],
    observation_space: Space,
    action_space: Space,
    observed_variance: npt.NDArray[np.float64] | None = None,
) -> ResolvedEnvironment:
    """As :func:`resolve_for_agent`, of the first way that fits; what was told of it comes first.

    Raises:
        SpaceMismatchError: none fits. It, and every error, is that of the first way.
    """
    error: PolicypressError | None = None
    for way in ways:
        try:
            found = resolve_for_agent(way.spec, observation_space, action_space, observed_variance)
        except PolicypressError as raised:
            error = error or raised
        else:
            return replace(found, notices=(*way.notices, *found.notices))
    raise error or SpaceMismatchError("No environment was given.")


def _choose(
    bases: list[EnvironmentSpec], observation_space: Space, action_space: Space, exact: bool
) -> tuple[EnvironmentSpec, Fit] | None:
    """The first base that fits, else (unless ``exact``) the one nearest variant of the first base that has one."""
    for base in bases:
        fit = _try(base, observation_space, action_space)
        if isinstance(fit, Fit):
            return base, fit
    for base in () if exact else bases:
        variant = _only_nearest(base, fitting_variants(base, observation_space, action_space), observation_space)
        if variant is not None and isinstance(fit := _try(variant, observation_space, action_space), Fit):
            return variant, fit
    return None


def described(spec: EnvironmentSpec) -> str:
    """Id, arguments and wrappers in words."""
    parts = [f"{key}={value}" for key, value in spec.kwargs] + [wrapper.name for wrapper in spec.wrappers]
    return spec.id + (f" with {', '.join(parts)}" if parts else "")


def _try(spec: EnvironmentSpec, observation_space: Space, action_space: Space) -> Fit | str:
    """As ``compare``; that the environment cannot be made is another reason not to fit."""
    try:
        return compare(*spaces_of(spec), observation_space, action_space)
    except PolicypressError as error:
        return error.message


def _only_nearest(
    spec: EnvironmentSpec, fitting: list[EnvironmentSpec], observation_space: Space
) -> EnvironmentSpec | None:
    """The one variant with the nearest version and the fewest changes, unless another is as near."""
    ranked = sorted(fitting, key=lambda variant: distance(spec, variant))
    if not ranked or (len(ranked) > 1 and distance(spec, ranked[0]) == distance(spec, ranked[1])):
        return None
    guessed = adds_time_feature(spec, ranked[0]) and not has_time_feature(observation_space)
    return None if guessed else ranked[0]


def _observations_fit(env: Space, agent: Space) -> tuple[str, ...] | str:
    """Keys of the images to transpose (``""`` for a single tensor), or why the spaces do not fit."""
    if isinstance(env, DictSpace) and isinstance(agent, DictSpace):
        theirs, ours = dict(env.spaces), dict(agent.spaces)
        if theirs.keys() != ours.keys():
            return f"the observation has the keys {', '.join(theirs)}, the agent reads {', '.join(ours)}"
        results = {key: _member_fits(theirs[key], member) for key, member in ours.items()}
        for key, result in results.items():
            if isinstance(result, str):
                return f"{result} (key {key!r})"
        return tuple(key for key, transposed in results.items() if transposed)
    result = _member_fits(env, agent)
    return result if isinstance(result, str) else ("",) if result else ()


def _member_fits(env: Space, agent: Space) -> bool | str:
    """Whether one tensor is transposed, or why it does not fit."""
    if not isinstance(env, Box) or not isinstance(agent, Box):
        return False if env == agent else "the kinds of observation differ"
    if (env.dtype == "uint8") != (agent.dtype == "uint8"):
        return f"observations are {env.dtype}, the agent reads {agent.dtype}"
    if env.shape == agent.shape:
        return False
    if len(env.shape) == 3 and agent.shape == (env.shape[2], env.shape[0], env.shape[1]):
        return True
    return f"observations have the shape {env.shape}, the agent reads {agent.shape}"


def _actions_fit(env: Space, agent: Space) -> tuple[str, ...] | str:
    """Notices, or why the spaces do not fit."""
    if not isinstance(env, Box) or not isinstance(agent, Box):
        return () if env == agent else f"actions are {in_words(env)}, the agent's are {in_words(agent)}"
    if env.shape != agent.shape:
        return f"actions have the shape {env.shape}, the agent's have {agent.shape}"
    if all(np.allclose(a, b) for a, b in zip(env.bounds(), agent.bounds(), strict=True)):
        return ()
    return (
        f"The agent's action bounds ({in_words(agent)}) differ from the environment's ({in_words(env)}); "
        "the agent's are used.",
    )


def _hint(tried: EnvironmentSpec, fitting: list[EnvironmentSpec], env: Space, agent: Space) -> str:
    if fitting:
        return "These fit: " + "; ".join(f"{described(spec)} ({_flags(spec, tried)})" for spec in fitting)
    if has_time_feature(agent) or _is_longer_by_one(env, agent):
        timed = replace(tried, wrappers=(*tried.wrappers, WrapperSpec("TimeFeatureWrapper")))
        return f"One more observation may be a time feature: {_flags(timed, tried)}."
    frames = _frames(env, agent)
    if frames is not None:
        wrappers = (*tried.wrappers, WrapperSpec("frame_stack", (("n_stack", frames),)))
        stacked = _flags(replace(tried, wrappers=wrappers), tried)
        return f"{frames} times as many observations may be stacked frames: {stacked}."
    return "Name the environment that the agent was trained on with --env, its arguments with --env-kwargs."


def _flags(spec: EnvironmentSpec, tried: EnvironmentSpec) -> str:
    """``spec`` as the user types it, in place of ``tried``."""
    arguments = "".join(f" --env-kwargs {shlex.quote(f'{key}={value}')}" for key, value in spec.kwargs)
    wrappers = "".join(f" --wrapper {shlex.quote(called(wrapper))}" for wrapper in spec.wrappers)
    if tried.wrappers and not spec.wrappers:
        wrappers = f" --wrapper {NO_WRAPPER}"
    return f"--env {shlex.quote(spec.id)}{arguments}{wrappers}"


def _is_longer_by_one(env: Space, agent: Space) -> bool:
    vectors = isinstance(env, Box) and isinstance(agent, Box) and len(env.shape) == len(agent.shape) == 1
    return vectors and agent.shape[0] == env.shape[0] + 1  # type: ignore[union-attr]  # both are boxes by then


def _frames(env: Space, agent: Space) -> int | None:
    if not isinstance(env, Box) or not isinstance(agent, Box) or env.size == 0:
        return None
    frames, rest = divmod(agent.size, env.size)
    return frames if rest == 0 and 1 < frames <= _MOST_FRAMES else None


def in_words(space: Space) -> str:
    """A space for people: ``(17,) float64 in [-inf, inf]``."""
    match space:
        case Box():
            low, high = (f"{min(b):g}…{max(b):g}" if len(b) > 1 else f"{b[0]:g}" for b in (space.low, space.high))
            return f"{space.shape} {space.dtype} in [{low}, {high}]"
        case DictSpace():
            return "{" + ", ".join(f"{key}: {in_words(member)}" for key, member in space.spaces) + "}"
        case Discrete():
            return f"{space.n} choices" + (f" from {space.start}" if space.start else "")
        case MultiDiscrete():
            return " × ".join(map(str, space.nvec)) + " choices"
        case MultiBinary():
            return f"{space.n} bits"
