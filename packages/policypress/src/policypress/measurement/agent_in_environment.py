"""What is measured: a policy together with the environment it acts in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from policypress.agents.applicable import AgentKind, refuse_useless
from policypress.agents.bundle import AgentBundle
from policypress.agents.loading import checkpoint_of_run, load_agent
from policypress.agents.overrides import NO_OVERRIDES, Overrides
from policypress.environments.fit import Fit, compare, in_words, resolve_first, spaces_of
from policypress.environments.inheritance import Inherited, completed
from policypress.environments.making import SpecFactory, user_environment
from policypress.environments.spaces import spaces_in
from policypress.environments.wrappers.faults import opened
from policypress.environments.wrappers.masks import offers_masks
from policypress.measurement.live_agents import LiveModel, read_live
from policypress.policy.importers.check_pairs import check_pairs
from policypress.policy.importers.from_agent import policy_from_agent
from policypress.policy.observation_layers import channels_first, is_image
from policypress.policy.policy import Policy
from policypress.records import EpisodeRecord
from policypress_runtime.contract import ACTION_MASK, Box, DictSpace, EnvironmentSpec, Space, supplied_by, with_mask
from policypress_runtime.errors import PolicypressError, SpaceMismatchError, UndeterminedAgentError

Factory = Callable[[], Any]
AgentLike = str | Path | AgentBundle | Policy | nn.Module | LiveModel

# What an episode may last where neither the environment nor the user sets a limit.
UNBOUNDED_STEPS = 10_000
UNMASKED = (
    "The agent was trained with action masks, and the environment has no action_masks(): it is evaluated without "
    "masks. If its return is low, this is the likely reason; --wrapper package.module:function adds masks (or "
    "ActionMasker, with the name of the environment's own method)."
)
MASKS_UNKNOWN = (
    "The environment has action_masks(), and it is not known whether this network was trained with them: it is "
    "evaluated without masks. Give the agent's own file if it is a MaskablePPO agent."
)
# Networks of which it is not known what trained them.
_UNTOLD = ("module", "onnx")


@dataclass(frozen=True)
class AgentInEnvironment:
    """A policy, and the environment it acts in if there is one.

    ``factory`` makes the environment; ``max_steps`` is set where the environment has no limit of its own.
    ``notices`` are for the user; ``suspects`` name likely causes of a low return.
    """

    policy: Policy
    source: str
    library_version: str | None = None
    environment: EnvironmentSpec | None = None
    factory: Factory | None = None
    max_steps: int | None = None
    notices: tuple[str, ...] = ()
    suspects: tuple[str, ...] = ()

    @property
    def masked(self) -> bool:
        """Whether it acts among the actions that its environment allows, where that says which."""
        return ACTION_MASK in self.policy.origin.caller_supplies


def agent_in_environment(
    agent: AgentLike,
    *,
    env: EnvironmentSpec | str | None = None,
    env_fn: Factory | None = None,
    overrides: Overrides = NO_OVERRIDES,
    needs_environment: bool = True,
) -> AgentInEnvironment:
    """Read ``agent`` if it is not read yet, and find the environment that it fits.

    Args:
        agent: a path, a Hub id, a bundle, a policy; or a live object (:mod:`policypress.measurement.live_agents`).
        env: the environment the user named; else the one the agent names. Where it is an id (a text), the arguments
            and wrappers of the agent's files hold; an ``EnvironmentSpec`` is taken as it is.
        env_fn: makes the user's own environment; wins over ``env``.
        overrides: facts that the user states of the network.
        needs_environment: without it, none is made (recorded observations, plain export).

    Raises:
        AgentError: the agent cannot be read.
        EnvironmentInputError: the environment cannot be made, or the agent does not fit it.
        NetworkError: the network holds something that is not supported.
    """
    named = user_environment(env) if isinstance(env, str) else env
    if not isinstance(agent, str | Path):
        refuse_useless(overrides, AgentKind.READ, f"The {type(agent).__name__}")
    if not isinstance(agent, str | Path | AgentBundle | Policy):
        agent = read_live(agent, lambda: _spaces_named(named, env_fn), overrides)
    if isinstance(agent, Policy):
        policy = agent if overrides.check is None else check_pairs(agent, overrides.check)
        return _of_policy(policy, named, env_fn, needs_environment)
    bundle = agent if isinstance(agent, AgentBundle) else _read(agent, named, overrides)
    bundle = replace(bundle, check=overrides.check or bundle.check)
    ways, spec = ways_of(named, bundle.environment)
    fit, notices, limit = Fit(), bundle.notices, None
    factory = env_fn
    if env_fn is not None:
        spec = described_callable(env_fn)
        fit = fit_of_own(env_fn, bundle.observation_space, bundle.action_space)
    elif spec is not None and needs_environment:
        variances = [n.variance for n in bundle.normaliser.values()]
        resolved_environment = resolve_first(
            ways, bundle.observation_space, bundle.action_space, variances[0] if len(variances) == 1 else None
        )
        spec, fit, notices = (
            resolved_environment.spec,
            resolved_environment.fit,
            (*bundle.notices, *resolved_environment.notices),
        )
        factory = SpecFactory(spec)
    policy = policy_from_agent(bundle, transposed_keys=fit.transposed_keys)
    suspects: tuple[str, ...] = ()
    if factory is not None:
        limit, suspects = limit_and_suspects(factory, policy.origin.algorithm, policy.origin.caller_supplies)
    elif policy.origin.algorithm not in _UNTOLD and "transpose_image" not in policy.folded():
        notices = (*notices, *layout_notice(policy.observation_space))
    supplied = (*policy.origin.caller_supplies, *(() if spec is None else supplied_by(spec.wrappers)))
    policy.origin = replace(
        policy.origin,
        environment=spec,
        caller_supplies=tuple(dict.fromkeys(supplied)),
        notices=tuple(dict.fromkeys((*policy.origin.notices, *notices, *suspects))),
    )
    return AgentInEnvironment(
        policy=policy,
        source=bundle.provenance.source,
        library_version=bundle.provenance.library_version,
        environment=spec if factory is not None else None,
        factory=factory,
        max_steps=limit,
        notices=policy.origin.notices,
        suspects=suspects,
    )


def _spaces_named(named: EnvironmentSpec | None, env_fn: Factory | None) -> tuple[Space, Space] | None:
    if env_fn is not None:
        return spaces_from(env_fn)
    return None if named is None else spaces_of(named)


def _read(agent: str | Path, named: EnvironmentSpec | None, overrides: Overrides) -> AgentBundle:
    """Read the agent; where its file leaves the spaces open, those of the environment the user named settle it.

    An ONNX file, or another framework's checkpoint, says shapes and no more, so there the environment's spaces come
    first.
    """
    foreign = str(agent).lower().endswith(".onnx") or checkpoint_of_run(agent) is not None
    if named is None or not foreign:
        try:
            return load_agent(agent, overrides=overrides)
        except UndeterminedAgentError:
            if named is None:
                raise
    observations, actions = spaces_of(_as_in(agent, named, overrides))
    seen = observations if foreign else channels_first(observations)
    return load_agent(agent, overrides=replace(overrides, observation_space=seen, action_space=actions))


def _as_in(agent: str | Path, named: EnvironmentSpec, overrides: Overrides) -> EnvironmentSpec:
    """The environment the user named, behind the wrappers of the agent's own files, where those can be read."""
    try:
        return completed(named, load_agent(agent, overrides=overrides).environment)[0].spec
    except PolicypressError:
        return named


def ways_of(
    named: EnvironmentSpec | None, own: EnvironmentSpec | None
) -> tuple[tuple[Inherited, ...], EnvironmentSpec | None]:
    """The ways to take the environment that the user named, or else the agent's own; and the spec of the first."""
    if named is None:
        return (() if own is None else (Inherited(own),)), own
    ways = completed(named, own)
    return ways, ways[0].spec


def _of_policy(
    policy: Policy, named: EnvironmentSpec | None, env_fn: Factory | None, needs_environment: bool
) -> AgentInEnvironment:
    ways, spec = ways_of(named, policy.origin.environment)
    notices: tuple[str, ...] = policy.origin.notices
    factory = env_fn
    if env_fn is not None:
        spec = described_callable(env_fn)
        fit_of_own(env_fn, policy.observation_space, policy.action_space)
    elif spec is not None and needs_environment:
        resolved_environment = resolve_first(ways, policy.observation_space, policy.action_space)
        spec, notices = resolved_environment.spec, (*notices, *resolved_environment.notices)
        factory = SpecFactory(spec)
    limit: int | None = None
    suspects: tuple[str, ...] = ()
    if factory is not None:
        limit, suspects = limit_and_suspects(factory, policy.origin.algorithm, policy.origin.caller_supplies)
    return AgentInEnvironment(
        policy=policy,
        source="Policy",
        environment=spec if factory is not None else None,
        factory=factory,
        max_steps=limit,
        notices=tuple(dict.fromkeys((*notices, *suspects))),
        suspects=suspects,
    )


def limit_and_suspects(
    factory: Factory, algorithm: str, supplied: tuple[str, ...]
) -> tuple[int | None, tuple[str, ...]]:
    """:func:`step_limit`, and what to say of masks: that there are none, or some that may not be meant for the policy.

    Args:
        factory: makes the environment.
        algorithm: that trained the policy.
        supplied: what the caller supplies beside the observation.
    """
    with opened(factory) as env:
        spec = getattr(env, "spec", None)
        limited = spec is not None and spec.max_episode_steps is not None
        # Atari games end by a limit of the emulator's own, which no spec shows.
        limit = None if limited or hasattr(env.unwrapped, "ale") else UNBOUNDED_STEPS
        offered = offers_masks(env)
    if ACTION_MASK in with_mask(algorithm, supplied):
        return limit, () if offered else (UNMASKED,)
    return limit, (MASKS_UNKNOWN,) if offered and algorithm in _UNTOLD else ()


def described_callable(env_fn: Factory) -> EnvironmentSpec:
    """A name for the user's own environment, for records; nothing can be made from it."""
    name = getattr(env_fn, "__qualname__", type(env_fn).__name__)
    return EnvironmentSpec(f"{getattr(env_fn, '__module__', 'user')}.{name}")


def layout_notice(space: Space) -> tuple[str, ...]:
    """Where no environment tells the layout of images: that the artifact takes them as the agent's file has them."""
    parts = [part for _, part in space.spaces] if isinstance(space, DictSpace) else [space]
    images = [part for part in parts if isinstance(part, Box) and is_image(part)]
    if not images:
        return ()
    shape = images[0].shape
    cube = " Its axes have the same length, so a wrong order cannot be detected." if len(set(shape)) == 1 else ""
    return (
        f"Images are taken as the agent's file has them, {shape}: channels, height, width (Stable-Baselines3 stores "
        f"channels first; its environment may give them last).{cube} With --env the artifact takes what that gives.",
    )


def cut_notice(episodes: Iterable[EpisodeRecord], stated: int | None) -> tuple[str, ...]:
    """That :data:`UNBOUNDED_STEPS` cut episodes, which neither the environment nor the user (``stated``) asked for."""
    rows = list(episodes)
    cut = sum(row.ending == "step_limit" for row in rows)
    if stated is not None or cut == 0:
        return ()
    return (
        f"{cut} of {len(rows)} episodes were cut after {UNBOUNDED_STEPS} steps: neither the environment nor you set a "
        "limit. Their returns count only the steps played; --max-steps N sets another limit.",
    )


def fit_of_own(env_fn: Factory, observations: Space, actions: Space) -> Fit:
    """How a policy fits the user's own environment.

    Raises:
        SpaceMismatchError: it does not.
    """
    result = compare(*spaces_from(env_fn), observations, actions)
    if isinstance(result, Fit):
        return result
    raise SpaceMismatchError(
        f"The agent does not fit the environment that env_fn makes: {result}.",
        got=" and ".join(map(in_words, spaces_from(env_fn))),
        expected=f"{in_words(observations)} and {in_words(actions)}",
        hint="Wrap the environment so that its observations are those the agent was trained on.",
    )


def spaces_from(factory: Factory) -> tuple[Space, Space]:
    """Observation and action space of what ``factory`` makes."""
    with opened(factory) as env:
        return spaces_in(env)


def step_limit(factory: Factory) -> int | None:
    """None where the environment ends its episodes itself, else :data:`UNBOUNDED_STEPS`."""
    return limit_and_suspects(factory, "", ())[0]
