"""The Zoo's YAML reads as data; any tag that would build something else is refused and does not run."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from policypress.agents.zoo.yaml_data import MAX_YAML_BYTES, load_counted, read_yaml
from policypress_runtime.errors import AgentError, DamagedAgentError, UnsafeAgentError


def test_ordered_dict_of_the_zoo() -> None:
    text = b"!!python/object/apply:collections.OrderedDict\n- - - a\n    - 1\n  - - b\n    - - x\n      - y\n"
    assert read_yaml(text, "config.yml") == {"a": 1, "b": ["x", "y"]}


def test_other_forms() -> None:
    assert read_yaml(b"", "x") == {}
    assert read_yaml(b"a: !!python/tuple [1, 2]\nb: {c: null}\n", "x") == {"a": (1, 2), "b": {"c": None}}
    assert read_yaml(b"o: !!python/object/apply:collections.OrderedDict []\n", "x") == {"o": {}}
    nested = b"o: !!python/object/apply:collections.OrderedDict\n  args: [[[k, 2.5]]]\n"
    assert read_yaml(nested, "x") == {"o": {"k": 2.5}}
    assert read_yaml(b"a: &x [1]\nb: *x\n", "x") == {"a": [1], "b": [1]}


@given(
    st.dictionaries(
        st.text("abc", min_size=1),
        st.recursive(st.none() | st.booleans() | st.integers() | st.text("xyz "), lambda s: st.lists(s, max_size=3)),
        max_size=4,
    )
)
def test_what_yaml_dumps_comes_back(data: dict[str, object]) -> None:
    assert read_yaml(yaml.safe_dump(data).encode(), "x") == data


@pytest.mark.parametrize(
    "template",
    [
        "a: !!python/object/apply:os.system ['touch {canary}']",
        "!!python/object/apply:os.system ['touch {canary}']",
        "!!python/object/new:os.system ['touch {canary}']",
        "!!python/object/apply:builtins.exec [\"open('{canary}', 'w')\"]",
        "!!python/object/apply:collections.OrderedDict [[[a, !!python/object/apply:os.system ['touch {canary}']]]]",
        "a: !!python/name:os.system",
        "a: !!python/module:os",
        "a: !!python/object:yaml.Loader {{}}",
        "a: !!python/object/apply:collections.deque [[1]]",
        "!unknown a: 1",
        "? !!python/object/apply:os.system ['touch {canary}']\n: 1",
    ],
)
def test_tags_are_refused_and_nothing_runs(tmp_path: Path, template: str) -> None:
    canary = tmp_path / "canary"
    with pytest.raises(UnsafeAgentError, match="tag"):
        read_yaml(template.format(canary=canary).encode(), "config.yml")
    assert not canary.exists()


def test_merges_that_double_at_every_level_are_refused() -> None:
    lines = ["a0: &a0 {x: 1}"] + [f"a{i}: &a{i} {{'<<': [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 40)]
    with pytest.raises(DamagedAgentError, match="values, more than"):
        read_yaml("\n".join(lines).encode(), "x")


@pytest.mark.parametrize(
    "content",
    [
        b"[1, 2]",
        b"3",
        b"a: [",
        b"\xff\xfe\x00",
        b"1: 2",
        b"? [a]\n: 1",
        b"a: 2001-99-99",
        b"[" * 5000,
        b"a: !!python/tuple 3",
    ],
)
def test_other_content_is_damage(content: bytes) -> None:
    with pytest.raises(DamagedAgentError):
        read_yaml(content, "x")


def test_too_long() -> None:
    with pytest.raises(DamagedAgentError):
        read_yaml(b"#" * (MAX_YAML_BYTES + 1), "x")


@given(st.text(alphabet="ab:- \n[]{}!&*'\"?|>%@`#,0", max_size=60))
def test_any_text(text: str) -> None:
    try:
        value = read_yaml(text.encode(), "x")
    except AgentError:
        return
    assert type(value) is dict


@pytest.mark.shared
def test_shared_files(shared_agents: Path) -> None:
    for path in sorted(shared_agents.glob("*/*.yml")):
        read = read_yaml(path.read_bytes(), path.name)
        assert read["algo" if path.name == "args.yml" else "policy"]


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (LAUGHS, "values, more than"),
        ("a: &a [*a]", "alias inside"),
        ("a: [" + "1," * 100_000 + "1]", "events"),
        ("a: " + "[" * 60 + "]" * 60, "nested deeper"),
        ("a: " + "x" * 30_000, "a text of"),
        ("{" + ", ".join(f"{(2**61 - 1) * k}: 0" for k in range(1, 30_000)) + "}", "events"),
        ("a: 1" + ":1" * 15_000, "a text of"),
        ("x: " + "y" * 2**21, "characters"),
    ],
)
def test_few_bytes_that_ask_for_much(content: str, reason: str) -> None:
    with pytest.raises(DamagedAgentError, match=reason):
        read_yaml(content.encode(), "x.yml")


def test_aliases_of_honest_files() -> None:
    assert read_yaml(b"a: &x [1, 2]\nb: *x\n", "x.yml") == {"a": [1, 2], "b": [1, 2]}
    assert load_counted("base: &b {x: 1}\nc:\n  <<: *b\n  y: 2\n") == {"base": {"x": 1}, "c": {"x": 1, "y": 2}}
    assert load_counted("") is None
