"""The types of a contract's fields: whatever else stands there is refused with one message."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policypress_runtime import contract_schema as schema
from policypress_runtime.contract import (
    METADATA_KEY,
    Box,
    Contract,
    DictSpace,
    Discrete,
    EnvironmentSpec,
    TensorSpec,
    stated,
)
from policypress_runtime.errors import ArtifactError
from policypress_runtime.foreign_text import is_plain

CODE = "*/\n#include <stdlib.h>\n__attribute__((constructor)) static void run(void) { abort(); }\n/*"
SPLICED = "dqn *\\\n/"
EXAMPLE = Contract(
    "sac",
    DictSpace((("a", Box((2,), "float32", (-math.inf,), (1.0,))), ("b", Discrete(3)))),
    Box((1,), "float32", (-1.0,), (1.0,)),
    (TensorSpec("observation.a", "float32", (2,)),),
    (TensorSpec("action", "float32", (1,)),),
    ("squash",),
    "none",
    "",
    EnvironmentSpec("Hopper-v4", (("healthy_z_range", [0.7, math.inf]), ("deep", {"a": [1, None]}))),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all members of all objects and lists."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, one in inner for place in ((*path, key), *places(one, (*path, key)))]


def changed(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(data))
    holder = copy
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return copy


def told(error: ArtifactError) -> str:
    text = str(error)
    assert error.got is not None
    assert error.expected is not None
    assert error.hint is not None
    assert len(text) < 2000
    assert all(is_plain(line) for line in text.splitlines())
    return text


@pytest.mark.parametrize("path", places(EXAMPLE.to_json()), ids=str)
@pytest.mark.parametrize("text", [CODE, SPLICED, "\x1b[2J", "a\u202eb", "a\x00"])
def test_no_text_with_control_characters_is_read(path: tuple[Any, ...], text: str) -> None:
    data = changed(EXAMPLE.to_json(), path, text)
    if path[:2] == ("environment", "kwargs") and text in (CODE, SPLICED):
        return  # arguments may have several lines; they stand in no C
    with pytest.raises(ArtifactError) as refused:
        Contract.from_json(data)
    told(refused.value)


@given(
    path=st.sampled_from(places(EXAMPLE.to_json())),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
        max_leaves=6,
    ),
)
def test_any_value_anywhere_is_read_or_refused(path: tuple[Any, ...], value: Any) -> None:
    try:
        contract = Contract.from_json(changed(EXAMPLE.to_json(), path, value))
    except ArtifactError as error:
        told(error)
    else:
        again = json.dumps(contract.to_json())
        assert json.dumps(Contract.from_text(again).to_json()) == again


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), 2),
        (("algorithm",), "a" * 10**6),
        (("precision",), "int9"),
        (("batch_independent",), 1),
        (("inputs", 0, "dtype"), "object"),
        (("inputs", 0, "shape"), [2, "*/"]),
        (("inputs", 0, "shape"), [True]),
        (("inputs", 0, "shape"), [10**5, 10**5]),
        (("inputs", 0, "shape"), [-1]),
        (("inputs", 0, "shape"), [1] * 100),
        (("action_space", "low"), [math.nan]),
        (("action_space", "low"), ["nan"]),
        (("action_space", "low"), [10**400]),
        (("action_space", "low"), [1.0, 2.0]),
        (("action_space", "shape"), [0]),
        (("action_space",), {"kind": "discrete", "n": 0, "start": 0}),
        (("action_space",), {"kind": "discrete", "n": 2, "start": 10**30}),
        (("action_space",), {"kind": "discrete", "n": 2.0, "start": 0}),
        (("action_space",), {"kind": "multi_discrete", "nvec": [2, "3"]}),
        (("action_space",), {"kind": "multi_discrete", "nvec": [10**8, 10**8]}),
        (("action_space",), {"kind": "multi_binary", "n": 10**12}),
        (("measured_return",), {"mean": math.nan, "lower": 0, "upper": 1, "confidence": 0.9, "count": 3}),
        (("measured_return",), {"mean": 0, "lower": 0, "upper": 1, "confidence": 0.9, "count": 3, "more": 1}),
        (("environment", "kwargs", "deep"), json.loads("[" * 50 + "]" * 50)),
        (("environment", "wrappers"), [{"name": "a", "kwargs": {"x\n": 1}}]),
    ],
    ids=str,
)
def test_values_that_no_artifact_has(path: tuple[Any, ...], value: Any) -> None:
    with pytest.raises(ArtifactError) as refused:
        Contract.from_json(changed(EXAMPLE.to_json(), path, value))
    told(refused.value)


def test_spaces_in_spaces_in_spaces() -> None:
    space: Any = {"kind": "discrete", "n": 2, "start": 0}
    for _ in range(500):
        space = {"kind": "dict", "spaces": [["a", space]]}
    with pytest.raises(ArtifactError):
        Contract.from_json({**EXAMPLE.to_json(), "observation_space": space})


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "{", '{"a": }', "[" * 100_000, "9" * 10_000, '"' + "a" * schema.MAX_JSON + '"'], ids=len
)
def test_what_is_no_json_object(text: str) -> None:
    with pytest.raises(ArtifactError, match="contract") as refused:
        Contract.from_text(text)
    told(refused.value)


def test_what_newer_versions_add_is_left_alone() -> None:
    data = {**EXAMPLE.to_json(), "sha256": "0" * 64, "later": ["\x1b"]}
    assert Contract.from_json(data) == EXAMPLE


def test_a_file_holds_one_contract() -> None:
    assert stated([("other", "a"), (METADATA_KEY, "b")]) == "b"
    assert stated([("other", "a")]) is None
    with pytest.raises(ArtifactError, match="several"):
        stated([(METADATA_KEY, "b"), (METADATA_KEY, "c")])
