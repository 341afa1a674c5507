"""Other forms of the same environment that an agent may have been trained on: versions, arguments, wrappers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gymnasium.envs.registration import parse_env_id, registry

from policypress.environments.identifiers import module_of, same_name
from policypress_runtime.contract import Box, EnvironmentSpec, Space, WrapperSpec

Arguments = dict[str, Any]
_POSITION: Arguments = {"exclude_current_positions_from_observation": False}
_HUMANOID: tuple[Arguments, ...] = tuple(
    {f"include_{part}_in_observation": False} for part in ("cinert", "cvel", "qfrc_actuator", "cfrc_ext")
)
# Arguments that change a space, and the default first. Those that a version does not know are skipped when it is made.
_ARGUMENTS: dict[str, tuple[tuple[Arguments, ...], ...]] = {
    "Ant": (({}, {"use_contact_forces": True}, {"include_cfrc_ext_in_observation": False}), ({}, _POSITION)),
    "Humanoid": (({}, *_HUMANOID), ({}, _POSITION)),
    "HumanoidStandup": (({}, *_HUMANOID), ({}, _POSITION)),
    "HalfCheetah": (({}, _POSITION),),
    "Hopper": (({}, _POSITION),),
    "Walker2d": (({}, _POSITION),),
    "Swimmer": (({}, _POSITION),),
    "LunarLander": (({}, {"continuous": True}),),
    "CarRacing": (({}, {"continuous": False}),),
}


def candidates(spec: EnvironmentSpec, observation_space: Space) -> Iterator[EnvironmentSpec]:
    """Variants of ``spec``, the nearest version and the fewest changes first; ``spec`` itself is not among them.

    Args:
        spec: an environment under a registered id; one from a user's module has no known variants.
        observation_space: the agent's, which tells which wrappers are worth trying.
    """
    if module_of(spec.id) is not None:
        return
    ids = sorted(same_name(spec.id), key=lambda env_id: version_distance(spec.id, env_id))
    for env_id in ids:
        name = parse_env_id(env_id)[1]
        choices = itertools.product(*_ARGUMENTS.get(name, (({},),)))
        merged = [{key: value for part in parts for key, value in part.items()} for parts in choices]
        for arguments, wrappers in itertools.product(merged, _wrapper_choices(spec, observation_space)):
            variant = replace(
                spec, id=env_id, kwargs=tuple({**dict(spec.kwargs), **arguments}.items()), wrappers=wrappers
            )
            if variant != spec:
                yield variant


def version_distance(env_id: str, other_id: str) -> int:
    """How far the versions of two ids of one environment are apart."""
    return abs((parse_env_id(env_id)[2] or 0) - (parse_env_id(other_id)[2] or 0))


def distance(spec: EnvironmentSpec, variant: EnvironmentSpec) -> tuple[int, int]:
    """How far a variant is away: in versions, then in arguments and wrappers that differ."""
    arguments = len(set(map(repr, variant.kwargs)) - set(map(repr, spec.kwargs)))
    return version_distance(spec.id, variant.id), arguments + len(variant.wrappers) - len(spec.wrappers)


def adds_time_feature(spec: EnvironmentSpec, variant: EnvironmentSpec) -> bool:
    """Whether ``variant`` has a time feature and ``spec`` has not."""
    return _has(variant, "TimeFeatureWrapper") and not _has(spec, "TimeFeatureWrapper")


def has_time_feature(space: Space) -> bool:
    """Whether the last observation is bounded by 0 and 1 and no other is, as a time feature is."""
    if not isinstance(space, Box) or len(space.shape) != 1 or space.size < 2:
        return False
    low, high = space.bounds()
    bounded = (low == 0.0) & (high == 1.0)
    return bool(bounded[-1] and not bounded[:-1].any())


def _wrapper_choices(spec: EnvironmentSpec, observation_space: Space) -> list[tuple[WrapperSpec, ...]]:
    vector = isinstance(observation_space, Box) and len(observation_space.shape) == 1
    if vector and not _has(spec, "TimeFeatureWrapper"):
        timed = (*spec.wrappers, WrapperSpec("TimeFeatureWrapper"))
        # The bounds may tell that the last number is a time feature; then nothing without one is a candidate.
        return [timed] if has_time_feature(observation_space) else [spec.wrappers, timed]
    if _is_atari(spec.id) and isinstance(observation_space, Box) and len(observation_space.shape) == 3:
        frames = min(observation_space.shape)
        stack = WrapperSpec("frame_stack", (("n_stack", frames),))
        if not spec.wrappers:
            return [(), (WrapperSpec("AtariWrapper"), stack)]
        if not _has(spec, "frame_stack"):
            return [spec.wrappers, (*spec.wrappers, stack)]
    return [spec.wrappers]


def _has(spec: EnvironmentSpec, name: str) -> bool:
    return any(wrapper.name.rpartition(".")[2] == name for wrapper in spec.wrappers)


def _is_atari(env_id: str) -> bool:
    registered = registry.get(env_id)
    return registered is not None and str(registered.entry_point).startswith("ale_py")
