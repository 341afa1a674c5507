"""Who named the code that an environment needs: the user on the command line, or a file.

A plain :class:`EnvironmentSpec` may come from a checkpoint, a config file or an artifact, so it never makes anything
be imported. :class:`UserEnvironmentSpec` carries the modules that the user named. The mark is in the type and in no
JSON form, so that no file can hold it; pickling between our own processes keeps it.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from types import ModuleType
from typing import Any

from policypress.environments.identifiers import module_of
from policypress.environments.wrappers.faults import RAISED, place_of
from policypress_runtime.contract import EnvironmentSpec, WrapperSpec
from policypress_runtime.errors import EnvironmentInputError, WrapperError

NO_WRAPPER = "none"


@dataclass(frozen=True)
class UserEnvironmentSpec(EnvironmentSpec):
    """An environment that the user stated, wholly or in part; the ``modules`` that they named may be imported.

    ``id_from_file`` where the user added arguments or wrappers to what a file names: that is no word for its code.
    ``inherits_kwargs`` and ``inherits_wrappers`` where those of the agent's files hold, as far as the user stated none
    (see ``inheritance.py``).
    """

    modules: tuple[str, ...] = ()
    id_from_file: bool = False
    inherits_kwargs: bool = False
    inherits_wrappers: bool = False


def trusted_modules(spec: EnvironmentSpec) -> tuple[str, ...]:
    """Modules that may be imported for ``spec``."""
    return spec.modules if isinstance(spec, UserEnvironmentSpec) else ()


def trust(spec: EnvironmentSpec, modules: Sequence[str]) -> UserEnvironmentSpec:
    """The same environment with ``modules`` (named by the user) added to those that may be imported."""
    values = {field.name: getattr(spec, field.name) for field in fields(EnvironmentSpec)}
    named = tuple(dict.fromkeys((*trusted_modules(spec), *modules)))
    by_user = isinstance(spec, UserEnvironmentSpec) and not spec.id_from_file
    from_file = not by_user and module_of(spec.id) not in named
    if isinstance(spec, UserEnvironmentSpec):
        return replace(spec, modules=named, id_from_file=from_file)
    return UserEnvironmentSpec(**values, modules=named, id_from_file=from_file)


def id_of_user(spec: EnvironmentSpec) -> bool:
    """Whether the user named the id of ``spec``, and not a file."""
    return isinstance(spec, UserEnvironmentSpec) and not spec.id_from_file


def import_named(module: str) -> ModuleType:
    """Import a module that the user named, from the working directory too, as ``python -m`` would.

    Raises:
        EnvironmentInputError: it cannot be imported.
    """
    folder = os.getcwd()
    if folder not in sys.path and "" not in sys.path:
        sys.path.append(folder)  # last, so that nothing there hides an installed package
    try:
        return importlib.import_module(module)
    except RAISED as error:
        raise EnvironmentInputError(
            "The given module cannot be imported.",
            got=f"{module}: {place_of(error)}",
            expected="a module on Python's path or in the working directory",
            hint="Run from its folder, set PYTHONPATH, or install it.",
        ) from error


def parse_user_wrapper(text: str) -> WrapperSpec:
    """A wrapper from the command line: ``package.module:Class`` or a listed name, with arguments or without.

    >>> parse_user_wrapper("frame_stack(n_stack=4)").kwargs
    (('n_stack', 4),)

    Raises:
        WrapperError: neither form, or arguments that are no ``key=literal``.
    """
    name, bracket, arguments = text.partition("(")
    module, colon, attribute = name.partition(":")
    parts = [*module.split("."), *([attribute] if colon else [])]
    kwargs = _keywords(bracket + arguments) if bracket else ()
    if kwargs is None or not all(part.isidentifier() for part in parts):
        raise WrapperError(
            "This is not the name of a wrapper.",
            got=repr(text),
            expected="package.module:Class or a listed name, arguments in brackets: frame_stack(n_stack=4)",
        )
    return WrapperSpec(name, kwargs)


def parse_user_wrappers(texts: Sequence[str]) -> tuple[WrapperSpec, ...]:
    """The wrappers that the user lists; ``none``, alone, is no wrapper.

    Raises:
        WrapperError: a name has no valid form, or ``none`` stands beside others.
    """
    if NO_WRAPPER not in texts:
        return tuple(parse_user_wrapper(text) for text in texts)
    if len(texts) > 1:
        raise WrapperError(
            "--wrapper none excludes other wrappers.",
            got=", ".join(texts),
            expected=f"--wrapper {NO_WRAPPER} alone, or without it",
        )
    return ()


def _keywords(text: str) -> tuple[tuple[str, Any], ...] | None:
    """``(key=literal, ...)`` as pairs; None where it is something else."""
    try:
        call = ast.parse(f"_{text}", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
            return None
        found = tuple((keyword.arg, ast.literal_eval(keyword.value)) for keyword in call.keywords)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    named = tuple((key, value) for key, value in found if key is not None)
    return named if len(named) == len(found) else None


def parse_keyword(text: str) -> tuple[str, Any]:
    """``key=value`` from the command line; the value is a Python literal, or else the text itself.

    >>> parse_keyword("use_contact_forces=True")
    ('use_contact_forces', True)

    Raises:
        EnvironmentInputError: no ``=``, or the key is no identifier.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise EnvironmentInputError(
            "An environment argument has the form key=value.", got=repr(text), expected="for example gravity=-9.81"
        )
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value


def with_additions(
    spec: EnvironmentSpec, kwargs: Sequence[str] = (), wrappers: Sequence[str] = ()
) -> UserEnvironmentSpec:
    """The environment that a file names, with arguments and wrappers that the user adds: its own module stays shut.

    Args:
        spec: as the file has it.
        kwargs: ``key=value`` texts; they win over the file's.
        wrappers: in place of the file's, where any is given; ``none`` for none.

    Raises:
        EnvironmentInputError: an argument that is not ``key=value``.
        WrapperError: a wrapper's name has no valid form.
    """
    added = parse_user_wrappers(wrappers)
    modules = [module_of(wrapper.name) for wrapper in added]
    return UserEnvironmentSpec(
        id=spec.id,
        kwargs=tuple({**dict(spec.kwargs), **dict(map(parse_keyword, kwargs))}.items()),
        wrappers=added if wrappers else spec.wrappers,
        trained_id=spec.trained_id,
        modules=tuple(dict.fromkeys(module for module in modules if module is not None)),
        id_from_file=True,
    )


def user_environment(
    env: str, kwargs: Sequence[str] = (), wrappers: Sequence[str] = (), trained_id: str | None = None
) -> UserEnvironmentSpec:
    """The environment that the user names: the only way in which code named by text gets imported.

    Args:
        env: id, or ``package.module:MyEnv-v0``.
        kwargs: ``key=value`` texts.
        wrappers: ``package.module:Class`` or listed names, with arguments in brackets, the first one innermost;
            ``none`` for none. Without any, those of an agent's files hold.
        trained_id: id the agent was trained on, if it is another.

    Raises:
        EnvironmentInputError: an argument that is not ``key=value``.
        WrapperError: a wrapper's name has no valid form.
    """
    specs = parse_user_wrappers(wrappers)
    modules = [module_of(text) for text in (env, *(wrapper.name for wrapper in specs))]
    return UserEnvironmentSpec(
        id=env,
        kwargs=tuple(parse_keyword(text) for text in kwargs),
        wrappers=specs,
        trained_id=trained_id,
        modules=tuple(dict.fromkeys(module for module in modules if module is not None)),
        inherits_kwargs=True,
        inherits_wrappers=not wrappers,
    )
