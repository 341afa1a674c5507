"""Failures of the user's environment: told as the environment's own, with the place in its code.

An exception that an environment raises says nothing about policypress, so it never ends as an internal error.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import gymnasium

from policypress.environments.wrappers.observation import Env
from policypress.environments.wrappers.one_of_many import as_one
from policypress_runtime.errors import EnvironmentFailedError, PolicypressError

Made = TypeVar("Made")
# Some environments leave the process where a window is closed.
RAISED = (Exception, SystemExit)

_OWN = ("policypress", "policypress_runtime", "policypress_train")
_GYMNASIUM = Path(gymnasium.__file__).parent
_ARITY = re.compile(r"values to unpack \(expected (2|5)")
_SIGNATURE = re.compile(r"unexpected keyword argument '(seed|options)'")
OLD_GYM = (
    "It is written for gym before 0.26. Let reset(self, *, seed=None, options=None) return (observation, info), and "
    "step(action) return (observation, reward, terminated, truncated, info); or leave it as it is and add "
    "--wrapper OldGymApi as the first wrapper, which translates."
)
_DEBUG = "Fix the environment. Its own traceback shows more: create it in Python, then call reset() and step()."


def place_of(error: BaseException) -> str:
    """Kind and words of ``error`` and where it was raised: ``KeyError: 'x' (env.py:12, in step)``."""
    words = str(error).strip()
    said = f"{type(error).__name__}: {words.splitlines()[-1]}" if words else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return said
    last = frames[-1]
    return f"{said} ({last.filename}:{last.lineno}, in {last.name})"


def failure_of(error: BaseException, doing: str) -> EnvironmentFailedError:
    """The failure that an exception in ``doing`` (``reset()``, ``step()``) of the user's environment is.

    Args:
        error: what it raised.
        doing: what it was asked for.
    """
    if is_old_gym(error):
        return EnvironmentFailedError(
            f"The environment's {doing} does not follow gymnasium's interface.",
            got=place_of(error),
            expected="gymnasium's reset() and step()",
            hint=OLD_GYM,
        )
    return EnvironmentFailedError(
        f"The environment's {doing} failed; this is the environment's own error.", got=place_of(error), hint=_DEBUG
    )


def is_old_gym(error: BaseException) -> bool:
    """Whether ``error`` comes of an interface before gymnasium's: other arguments, or another number of results."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or not _is_callers(frames[-1].filename):
        return False
    if isinstance(error, ValueError):
        return _ARITY.search(str(error)) is not None
    return isinstance(error, TypeError) and _SIGNATURE.search(str(error)) is not None


def _is_callers(filename: str) -> bool:
    """Whether a file calls environments and is none: ours, gymnasium's wrappers, Stable-Baselines3's."""
    path = Path(filename)
    loaded = (getattr(sys.modules.get(name), "__file__", None) for name in _OWN)
    ours = (Path(file).parent for file in loaded if file is not None)
    return any(map(path.is_relative_to, (*ours, _GYMNASIUM))) or "stable_baselines3" in path.parts


@contextmanager
def blamed(doing: str) -> Iterator[None]:
    """What is raised within is the environment's: an :class:`EnvironmentFailedError`, unless it is an error of ours."""
    try:
        yield
    except PolicypressError:
        raise
    except RAISED as error:
        raise failure_of(error, doing) from error


@contextmanager
def opened(factory: Callable[[], Env]) -> Iterator[Env]:
    """What ``factory`` makes, closed afterwards; of a simulator that steps many environments, one of them.

    Raises:
        EnvironmentFailedError: its constructor or its ``close()`` raised. An error within comes before that of
            ``close()``.
    """
    env = as_one(made_by(factory))
    try:
        yield env
    except BaseException:
        with suppress(*RAISED):
            env.close()
        raise
    with blamed("close()"):
        env.close()


def made_by(factory: Callable[[], Made]) -> Made:
    """What the user's ``factory`` makes.

    Raises:
        EnvironmentFailedError: it raised.
    """
    with blamed("constructor"):
        return factory()


def failure_within(error: BaseException) -> EnvironmentFailedError | None:
    """The environment's failure that ``error`` is, where its traceback leads through an environment; else None.

    For what calls environments out of our sight (a library's training).
    """
    if isinstance(error, PolicypressError):
        return None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if _is_environment(frame):
            return failure_of(error, f"{frame.f_code.co_name}()")
    return None


def _is_environment(frame: FrameType) -> bool:
    owner: Any = frame.f_locals.get("self")
    return isinstance(owner, gymnasium.Env) and frame.f_code.co_name in ("__init__", "reset", "step", "render", "close")


def checked_reset(given: Any) -> Any:
    """The observation in what ``reset`` gave.

    Raises:
        EnvironmentFailedError: that is no pair of an observation and a dict.
    """
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], dict):
        return given[0]
    got = f"{type(given).__name__}" + (f" of {len(given)}" if isinstance(given, tuple) else "")
    raise EnvironmentFailedError(
        "The environment's reset() does not follow gymnasium's interface.",
        got=got,
        expected="a pair: the observation, and a dict of information",
        hint=OLD_GYM,
    )
