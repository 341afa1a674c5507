"""What an environment that the user names takes over from the agent's own files: arguments and wrappers.

``--env ID`` says where the agent acts. It does not say that what it was trained behind is gone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from policypress.environments.identifiers import module_of, resolve
from policypress.environments.trust import UserEnvironmentSpec
from policypress_runtime.contract import EnvironmentSpec, WrapperSpec
from policypress_runtime.errors import PolicypressError, WrapperError

DROP = "--wrapper none drops them"


@dataclass(frozen=True)
class Inherited:
    """One way to complete what the user named, with what must be told of it."""

    spec: EnvironmentSpec
    notices: tuple[str, ...] = ()


def completed(named: EnvironmentSpec, own: EnvironmentSpec | None) -> tuple[Inherited, ...]:
    """What the user named, completed from the environment ``own`` of the agent's files: the first that fits is meant.

    Arguments are taken over where the id is the same; the user's win. Wrappers are taken over unless the user listed
    some, or ``none``. Where those of the files do not fit the environment, it is taken without them, as a second way.

    Raises:
        WrapperError: the files name a wrapper of the author's own, and the user said nothing of wrappers.
    """
    if own is None or not isinstance(named, UserEnvironmentSpec):
        return (Inherited(named),)
    spec, notices = _with_arguments(named, own)
    if not named.inherits_wrappers:
        left = [wrapper for wrapper in own.wrappers if wrapper not in named.wrappers]
        told = (f"Wrappers of the agent's files that are not applied, because others were given: {_listed(left)}.",)
        return (Inherited(spec, (*notices, *(told if left else ()))),)
    if not own.wrappers:
        return (Inherited(spec, notices),)
    _check_listed(own.wrappers)
    words = _listed(own.wrappers)
    kept = f"Wrappers of the agent's files are kept: {words}; {DROP}."
    without = f"Wrappers of the agent's files do not fit {named.id} and are not applied: {words}."
    return (
        Inherited(replace(spec, wrappers=own.wrappers), (*notices, kept)),
        Inherited(spec, (*notices, without)),
    )


def _with_arguments(named: UserEnvironmentSpec, own: EnvironmentSpec) -> tuple[UserEnvironmentSpec, tuple[str, ...]]:
    """The user's environment with the files' arguments, and what was dropped of them."""
    spec = replace(named, inherits_kwargs=False, inherits_wrappers=False)
    theirs = {key: value for key, value in own.kwargs if key not in dict(named.kwargs)}
    if not named.inherits_kwargs or not theirs:
        return spec, ()
    if _same_id(named.id, own):
        return replace(spec, kwargs=tuple({**theirs, **dict(named.kwargs)}.items())), ()
    words = ", ".join(f"{key}={value!r}" for key, value in theirs.items())
    return spec, (f"Arguments of the agent's files belong to {own.id} and are not given to {named.id}: {words}.",)


def _same_id(named: str, own: EnvironmentSpec) -> bool:
    return named in (own.id, own.trained_id) or _current(named) == _current(own.id)


def _current(env_id: str) -> str:
    try:
        return env_id if module_of(env_id) is not None else resolve(env_id).id
    except PolicypressError:
        return env_id


def _check_listed(wrappers: tuple[WrapperSpec, ...]) -> None:
    """A file's ``module:Class`` is never trusted, not even where the user named its module for something else."""
    for wrapper in wrappers:
        if ":" in wrapper.name:
            raise WrapperError(
                "The agent's files name a custom wrapper. Only the user may do that.",
                got=wrapper.name,
                expected="a listed wrapper, or one that the user names",
                hint=f"If you trust it: --wrapper {wrapper.name}, together with the others; or --wrapper none.",
            )


def _listed(wrappers: list[WrapperSpec] | tuple[WrapperSpec, ...]) -> str:
    return ", ".join(called(wrapper) for wrapper in wrappers)


def called(wrapper: WrapperSpec) -> str:
    """A wrapper as ``--wrapper`` reads it."""
    arguments = ", ".join(f"{key}={value!r}" for key, value in wrapper.kwargs)
    return f"{wrapper.name}({arguments})" if arguments else wrapper.name
