"""YAML as data: of the tags that would build Python objects, OrderedDict and tuple are understood, as data."""

from __future__ import annotations

from typing import Any

import yaml

from policypress.errors import DamagedAgentError, UnsafeAgentError

MAX_YAML_BYTES = 4 * 1024**2
_ORDERED_DICT = "tag:yaml.org,2002:python/object/apply:collections.OrderedDict"
_TUPLE = "tag:yaml.org,2002:python/tuple"


class _Refused(Exception):
    """A tag outside the understood ones."""


class _Loader(yaml.SafeLoader):
    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge keys stay plain keys: nested merges can make a short file endless."""


def _ordered_dict(loader: _Loader, node: yaml.Node) -> dict[Any, Any]:
    if isinstance(node, yaml.MappingNode):
        arguments = loader.construct_mapping(node, deep=True).get("args", [])
    elif isinstance(node, yaml.SequenceNode):
        arguments = loader.construct_sequence(node, deep=True)
    else:
        arguments = []
    pairs = arguments[0] if isinstance(arguments, list) and arguments else []
    return dict(pairs)


def _tuple(loader: _Loader, node: yaml.Node) -> tuple[Any, ...]:
    if not isinstance(node, yaml.SequenceNode):
        raise yaml.YAMLError("a tuple that is no sequence")
    return tuple(loader.construct_sequence(node, deep=True))


def _refuse(loader: _Loader, node: yaml.Node) -> None:
    raise _Refused(node.tag)


_Loader.add_constructor(_ORDERED_DICT, _ordered_dict)
_Loader.add_constructor(_TUPLE, _tuple)
_Loader.add_constructor(None, _refuse)


def read_yaml(content: bytes, label: str) -> dict[str, Any]:
    """The file's mapping; empty for an empty file.

    Raises:
        UnsafeAgentError: a tag asks for a Python object other than an OrderedDict or a tuple.
        DamagedAgentError: it is no YAML mapping with names as keys.
    """
    try:
        if len(content) > MAX_YAML_BYTES:
            raise yaml.YAMLError(f"{len(content)} bytes")
        data = yaml.load(content, Loader=_Loader)
    except _Refused as error:
        raise UnsafeAgentError(
            f"{label} asks for a Python object; building it would execute code.",
            got=f"tag {error}",
            expected="plain YAML, or the OrderedDict that the RL Zoo writes",
            hint="Remove the tag, or the file if the agent can do without it.",
        ) from error
    # Besides YAMLError: bad dates, unhashable keys, nesting beyond the stack, bytes that are no text.
    except Exception as error:
        raise DamagedAgentError(
            f"{label} is not readable YAML.",
            got=(str(error).splitlines() or [""])[0][:200] or type(error).__name__,
            expected="a mapping",
        ) from error
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise DamagedAgentError(f"{label} is not a mapping.", got=type(data).__name__, expected="names and values")
    return data
