"""Making an environment from its spec, quietly and without importing what a file names."""

from __future__ import annotations

import logging
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium
from gymnasium.envs.registration import registry

from policypress.environments.identifiers import is_mujoco, module_of, resolve
from policypress.environments.trust import id_of_user, import_named, trusted_modules, user_environment
from policypress.environments.wrappers import allowed as wrappers
from policypress.environments.wrappers import fresh_world
from policypress.environments.wrappers.faults import RAISED, place_of
from policypress.environments.wrappers.fresh_world import FreshWorld
from policypress.environments.wrappers.observation import Env
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import (
    EnvironmentInputError,
    MissingDependencyError,
    PolicypressError,
    UnknownEnvironmentError,
)

__all__ = ["SpecFactory", "make", "user_environment"]

_log = logging.getLogger(__name__)
# Bridges to the old gym take an id, or a module, as an argument and import it.
_BRIDGES = ("GymV21Environment", "GymV26Environment")


def make(spec: EnvironmentSpec) -> Env:
    """The environment of ``spec`` with its wrappers, the first one innermost.

    Raises:
        UnknownEnvironmentError: no such id.
        WrapperError: a wrapper that is not allowed or fails.
        MissingDependencyError: the environment needs a package that is not installed.
        EnvironmentInputError: the module cannot be imported or was not named by the user, or the constructor failed.
    """
    modules = trusted_modules(spec)
    _import_module(spec, modules)
    env_id = resolve(spec.id).id.rpartition(":")[2]
    registered = registry.get(env_id)
    if registered is None:
        raise UnknownEnvironmentError(
            "The module does not register this environment.",
            got=spec.id,
            expected=f"{module_of(spec.id)} calls gymnasium.register(id={env_id!r}, ...)",
        )
    if registered.name in _BRIDGES and not id_of_user(spec):
        raise EnvironmentInputError("A file names a bridge to old gym environments, which imports code.", got=spec.id)
    with _quiet():
        _send_mujoco_messages_to_the_log(needed=is_mujoco(registered))
        env = _construct(registered, spec)
        for wrapper in spec.wrappers:
            env = wrappers.apply(env, wrapper, modules)
    return env


@dataclass(frozen=True)
class SpecFactory:
    """Makes the environment of ``spec`` when called without arguments; can be pickled."""

    spec: EnvironmentSpec

    def __call__(self) -> Env:
        """A new environment; errors are those of :func:`make`."""
        return make(self.spec)


def _import_module(spec: EnvironmentSpec, modules: tuple[str, ...]) -> None:
    module = module_of(spec.id)
    if module is None:
        return
    if module not in modules:
        raise EnvironmentInputError(
            "A file names code to import as an environment. Only the user may do that.",
            got=spec.id,
            expected="an id without a module, or --env from the user",
            hint=f"If you trust that code, name it yourself: --env {shlex.quote(spec.id)}",
        )
    import_named(module)


def _construct(registered: Any, spec: EnvironmentSpec) -> Env:
    arguments = dict(spec.kwargs)
    # The passive checker costs time at every step; policypress checks observations itself.
    factory = partial(gymnasium.make, registered.id, **{**arguments, "disable_env_checker": True})
    try:
        return FreshWorld(factory) if registered.name in fresh_world.NAMES else factory()
    except PolicypressError:
        raise
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        raise MissingDependencyError(
            f"{registered.id} needs a package that is not installed.",
            got=str(error),
            hint="Install the package it names.",
        ) from error
    except RAISED as error:
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items()) or "no arguments"
        raise EnvironmentInputError(
            f"{registered.id} cannot be made.",
            got=f"{given}: {place_of(error)}",
            hint="Change the arguments with --env-kwargs key=value, or fix the environment at the place it names.",
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide warnings about what the user did not choose: an agent's old version, Box2D's SWIG types, rounded bounds."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*The environment .* is out of date", DeprecationWarning)
        warnings.filterwarnings("ignore", r"builtin type [Ss]wig\w* has no __module__", DeprecationWarning)
        warnings.filterwarnings("ignore", r".*Box (low|high)'s precision lowered by casting", UserWarning)
        yield


def _send_mujoco_messages_to_the_log(needed: bool) -> None:
    """Take MuJoCo's warnings into Python's logging, unless the user already does.

    Its own handler prints to the terminal and leaves a MUJOCO_LOG.TXT in the working directory, and HalfCheetah's model
    file gives it a deprecated attribute to warn about at every start.
    """
    if not needed and "mujoco" not in sys.modules:
        return
    try:
        import mujoco
    except ImportError:
        return  # making the environment says what is missing
    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(_log_mujoco)


def _log_mujoco(message: str) -> None:
    deprecation = "is deprecated" in message
    _log.log(logging.DEBUG if deprecation else logging.WARNING, "MuJoCo: %s", message)
