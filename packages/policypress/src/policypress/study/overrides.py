"""Changes to a study file from the command line: ``environments=v5``, ``evaluation.episodes=10``.

They are made to the file's data before it is checked, so that what they say is checked like the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import yaml

from policypress.agents.zoo.yaml_data import load_counted
from policypress_runtime.errors import StudyInputError

ENVIRONMENTS = "environments"
EVERY = "*"
_VERSION = re.compile(r"v\d+")
_ID_VERSION = re.compile(r"-v\d+$")


def overridden(data: Any, texts: Iterable[str]) -> Any:
    """A copy of a study file's data with changes.

    ``environments=v5`` puts every environment of the file into that version, and adds it to the study's name, so that
    the two versions' results do not share a folder. Anything else is a path of fields, numbers standing for entries of
    a list and ``*`` for all of them, and a YAML value: ``agents.*.train.steps=1000``.

    >>> overridden({"name": "a", "agents": [{"train": {"environments": "Ant-v4"}}]}, ["environments=v5"])
    {'name': 'a-v5', 'agents': [{'train': {'environments': 'Ant-v5'}}]}
    >>> overridden({"evaluation": {"episodes": 100}}, ["evaluation.episodes=10"])
    {'evaluation': {'episodes': 10}}

    Raises:
        StudyInputError: no change, or a path that leads nowhere.
    """
    texts = tuple(texts)
    if not texts:
        return data
    try:
        data = _unshared(data)
    except RecursionError as error:
        raise StudyInputError("The study file contains a reference to itself.", expected="a tree of fields") from error
    for text in texts:
        key, equals, value = text.partition("=")
        if not (equals and key.strip()):
            raise _no_change(text, "KEY=VALUE")
        if key.strip() == ENVIRONMENTS:
            _set_version(data, value.strip(), text)
        else:
            _set(data, key.strip().split("."), _parsed(value, text), text)
    return data


def _unshared(value: Any) -> Any:
    """A copy in which what YAML's aliases share stands by itself."""
    if isinstance(value, dict):
        return {name: _unshared(item) for name, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value


def _no_change(text: str, expected: str) -> StudyInputError:
    return StudyInputError(
        "This does not change a study file.",
        got=f"--set {text}",
        expected=expected,
        hint="For example --set environments=v5, or --set evaluation.episodes=10.",
    )


def _parsed(value: str, text: str) -> Any:
    try:
        return load_counted(value)
    except yaml.YAMLError as error:
        raise _no_change(text, "a value in YAML") from error


def _set_version(data: Any, version: str, text: str) -> None:
    if not _VERSION.fullmatch(version):
        raise _no_change(text, "a version such as v5")
    ids = 0

    def renamed(value: Any) -> Any:
        nonlocal ids
        if isinstance(value, list):
            return [renamed(item) for item in value]
        if not isinstance(value, str) or not _ID_VERSION.search(value):
            return value
        ids += 1
        return _ID_VERSION.sub(f"-{version}", value)

    axes = data.get("agents") if isinstance(data, dict) else None
    for axis in axes if isinstance(axes, list) else []:
        _rename(axis.get("train") if isinstance(axis, dict) else None, "environments", renamed)
        _rename(axis, "environment", renamed)
    if not ids:
        raise _no_change(text, "a study file that names environments")
    if isinstance(data.get("name"), str):
        data["name"] = f"{data['name']}-{version}"


def _rename(part: Any, name: str, renamed: Callable[[Any], Any]) -> None:
    if isinstance(part, dict) and name in part:
        part[name] = renamed(part[name])


def _set(data: Any, path: list[str], value: Any, text: str) -> None:
    """Set the field at ``path`` in each part of ``data`` that leads to it."""
    parts = [data]
    for name in path[:-1]:
        parts = [inner for part in parts for inner in _inside(part, name)]
    changed = 0
    for part in parts:
        if isinstance(part, dict) and path[-1]:
            part[path[-1]] = _unshared(value)
            changed += 1
        elif isinstance(part, list) and path[-1].isdigit() and int(path[-1]) < len(part):
            part[int(path[-1])] = _unshared(value)
            changed += 1
    if not changed:
        raise _no_change(text, f"fields that lead to {path[-1]!r} in the file")


def _inside(part: Any, name: str) -> list[Any]:
    """What is under ``name`` in ``part``: entries of lists by number, all of them under ``*``."""
    if isinstance(part, list):
        if name == EVERY:
            return part
        return [part[int(name)]] if name.isdigit() and int(name) < len(part) else []
    return [part[name]] if isinstance(part, dict) and name in part else []
