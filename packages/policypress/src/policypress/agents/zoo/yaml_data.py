"""YAML as data: of the tags that would build Python objects, OrderedDict and tuple are understood, as data.

What a file asks for is counted before it is built: its events (PyYAML takes some 20 µs for each), its depth, the
length of its scalars, and the number of nodes that it stands for when every alias is written out.
"""

from __future__ import annotations

from typing import Any

import yaml

from policypress_runtime.errors import DamagedAgentError, UnsafeAgentError

MAX_YAML_BYTES = 1024**2
MAX_EVENTS = 20_000
MAX_DEPTH = 50
MAX_SCALAR = 20_000
MAX_NODES = 100_000
_ORDERED_DICT = "tag:yaml.org,2002:python/object/apply:collections.OrderedDict"
_TUPLE = "tag:yaml.org,2002:python/tuple"


def load_counted(content: bytes | str, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """What ``yaml.load`` gives for the one document in ``content``, within the limits of this module.

    Raises:
        yaml.YAMLError: it is no YAML, or breaks a limit.
        Exception: whatever PyYAML raises besides: bad dates, unhashable keys, bytes that are no text.
    """
    if len(content) > MAX_YAML_BYTES:
        raise yaml.YAMLError(f"{len(content)} characters, more than {MAX_YAML_BYTES}")
    _count_events(content, loader)
    made = loader(content)
    try:
        node = made.get_single_node()
        if node is None:
            return None
        _count_nodes(node)
        return made.construct_document(node)
    finally:
        made.dispose()


def _count_events(content: bytes | str, loader: type[yaml.SafeLoader]) -> None:
    depth = 0
    for count, event in enumerate(yaml.parse(content, Loader=loader)):
        if count > MAX_EVENTS:
            raise yaml.YAMLError(f"more than {MAX_EVENTS} events")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent) and len(event.value) > MAX_SCALAR:
            raise yaml.YAMLError(f"a text of {len(event.value)} characters, more than {MAX_SCALAR}")
        if depth > MAX_DEPTH:
            raise yaml.YAMLError(f"nested deeper than {MAX_DEPTH}")


def _count_nodes(root: yaml.Node) -> None:
    """Refuse a document of too many nodes, where what several aliases stand for counts as often as it is meant."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, depth: int) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        if depth > MAX_DEPTH:
            raise yaml.YAMLError(f"an alias inside of what it stands for, or nesting deeper than {MAX_DEPTH}")
        if id(node) not in sizes:
            parts = (
                node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
            )
            sizes[id(node)] = 1 + sum(size(part, depth + 1) for part in parts)
        return sizes[id(node)]

    count = size(root, 0)
    if count > MAX_NODES:
        raise yaml.YAMLError(f"{count if count < 10**12 else 'more than 10^12'} values, more than {MAX_NODES}")


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
        data = load_counted(content, _Loader)
    except _Refused as error:
        raise UnsafeAgentError(
            f"{label} asks for a Python object; creating it would execute code.",
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
