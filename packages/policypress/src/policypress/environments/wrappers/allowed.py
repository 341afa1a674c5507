"""Which wrappers may be applied, by name.

A name that comes from a file picks one of a fixed list of classes; nothing is ever imported for it. A user's own
``package:Class`` is imported only if its module is among those that the user named (see ``trust.py``).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import gymnasium

from policypress.environments.trust import import_named
from policypress.environments.wrappers.atari import AtariWrapper
from policypress.environments.wrappers.contact_forces import ZeroContactForces
from policypress.environments.wrappers.disturbances import ActionDelay, ObservationNoise, PhysicsScale
from policypress.environments.wrappers.faults import RAISED, place_of
from policypress.environments.wrappers.masks import ActionMasker
from policypress.environments.wrappers.observation import (
    ActionSmoothingWrapper,
    Env,
    FrameSkip,
    FrameStack,
    HistoryWrapper,
    MaskVelocityWrapper,
    TimeFeatureWrapper,
)
from policypress.environments.wrappers.old_gym import OldGymApi
from policypress.environments.wrappers.one_of_many import as_one
from policypress_runtime.contract import WrapperSpec, is_wrapper_module
from policypress_runtime.errors import PolicypressError, WrapperError

_FLAG = "Name your own wrapper with --wrapper package:Class, or use none: --wrapper none."


def _unchanged(env: Env, **_: Any) -> Env:
    """For wrappers that change only the reward an agent learns from: returns here are of raw rewards."""
    return env


_ALLOWED: Mapping[str, Callable[..., Env]] = MappingProxyType(
    {
        "TimeFeatureWrapper": TimeFeatureWrapper,
        "frame_stack": FrameStack,
        "AtariWrapper": AtariWrapper,
        "HistoryWrapper": HistoryWrapper,
        "HistoryWrapperObsDict": HistoryWrapper,
        "MaskVelocityWrapper": MaskVelocityWrapper,
        "FrameSkip": FrameSkip,
        "ZeroContactForces": ZeroContactForces,
        "ActionSmoothingWrapper": ActionSmoothingWrapper,
        "ObservationNoise": ObservationNoise,
        "ActionDelay": ActionDelay,
        "PhysicsScale": PhysicsScale,
        "OldGymApi": OldGymApi,
        "ActionMasker": ActionMasker,
        "DelayedRewardWrapper": _unchanged,
        "ClipReward": _unchanged,
        "ClipRewardEnv": _unchanged,
        "NormalizeReward": _unchanged,
        "ClipAction": gymnasium.wrappers.ClipAction,
        "DtypeObservation": gymnasium.wrappers.DtypeObservation,
        "FilterObservation": gymnasium.wrappers.FilterObservation,
        "FlattenObservation": gymnasium.wrappers.FlattenObservation,
        "FrameStackObservation": gymnasium.wrappers.FrameStackObservation,
        "GrayscaleObservation": gymnasium.wrappers.GrayscaleObservation,
        "MaxAndSkipObservation": gymnasium.wrappers.MaxAndSkipObservation,
        # Not before gymnasium 1.3.
        **{name: getattr(gymnasium.wrappers, name) for name in ("RepeatAction",) if hasattr(gymnasium.wrappers, name)},
        "RescaleAction": gymnasium.wrappers.RescaleAction,
        "RescaleObservation": gymnasium.wrappers.RescaleObservation,
        "ReshapeObservation": gymnasium.wrappers.ReshapeObservation,
        "ResizeObservation": gymnasium.wrappers.ResizeObservation,
        "StickyAction": gymnasium.wrappers.StickyAction,
        "TimeAwareObservation": gymnasium.wrappers.TimeAwareObservation,
        "TimeLimit": gymnasium.wrappers.TimeLimit,
    }
)


def allowed() -> tuple[str, ...]:
    """Names that a file may use, sorted."""
    return tuple(sorted(_ALLOWED))


def apply(env: Env, spec: WrapperSpec, trusted_modules: Collection[str] = ()) -> Env:
    """``env`` inside the wrapper that ``spec`` names.

    Args:
        env: the environment.
        spec: name and keyword arguments.
        trusted_modules: modules that the user named and that may be imported.

    Raises:
        WrapperError: the name is not on the list, its module was not named by the user, or the wrapper failed.
    """
    build = _user_class(spec.name, trusted_modules) if ":" in spec.name else _listed(spec.name)
    try:
        wrapped = build(env, **dict(spec.kwargs))
    except PolicypressError:
        raise
    except RAISED as error:
        arguments = ", ".join(f"{key}={value!r}" for key, value in spec.kwargs)
        raise WrapperError(
            f"The wrapper {spec.name} cannot be applied to {_named(env)}.",
            got=f"{spec.name}({arguments}): {place_of(error)}",
            hint=_FLAG,
        ) from error
    if not isinstance(wrapped, gymnasium.Env):
        raise WrapperError(
            f"{spec.name} did not return an environment.",
            got=type(wrapped).__name__,
            expected="gymnasium.Env",
            hint=_FLAG,
        )
    return wrapped


def _named(env: Env) -> str:
    """An environment in words; its own ``__str__`` may raise."""
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


@dataclass(frozen=True)
class WrappedFactory:
    """Makes what ``factory`` makes, inside listed ``wrappers``, the first one innermost; pickles if it does."""

    factory: Callable[[], Env]
    wrappers: tuple[WrapperSpec, ...]

    def __call__(self) -> Env:
        """A new environment; errors are those of :func:`apply`."""
        env: Env = as_one(self.factory())
        for wrapper in self.wrappers:
            env = apply(env, wrapper)
        return env


def _listed(name: str) -> Callable[..., Env]:
    module, _, short = name.rpartition(".")
    known = not module or is_wrapper_module(module)
    if short not in _ALLOWED or not known:
        raise WrapperError(
            "This wrapper is not on the list of wrappers that a file may name.",
            got=name,
            expected=", ".join(allowed()),
            hint=_FLAG,
        )
    return _ALLOWED[short]


def _user_class(name: str, trusted_modules: Collection[str]) -> Callable[..., Env]:
    module, _, attribute = name.partition(":")
    if module not in trusted_modules:
        raise WrapperError(
            "A file names code to import as a wrapper. Only the user may do that.",
            got=name,
            expected=", ".join(allowed()),
            hint=f"If you trust that code, name it yourself: --wrapper {shlex.quote(name)}",
        )
    found = getattr(import_named(module), attribute, None)
    if not callable(found):
        raise WrapperError(
            "The module has no such class or function.", got=name, expected="package.module:Class", hint=_FLAG
        )
    build: Callable[..., Env] = found
    return build
