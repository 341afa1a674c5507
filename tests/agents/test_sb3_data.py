"""The JSON of a zip: text is used, pickles are at most disassembled for names."""

from __future__ import annotations

import base64
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from policypress.agents.bundle import Activation
from policypress.agents.sb3.data import (
    Sb3Data,
    activation_from_text,
    class_name,
    globals_named_in,
    read_data,
    strings_in,
)
from policypress_runtime.errors import AgentError, DamagedAgentError


def serialized(value: Any, protocol: int = 4) -> str:
    return base64.b64encode(pickle.dumps(value, protocol)).decode()


def read(**fields: Any) -> Any:
    return read_data(json.dumps(fields).encode(), "x.zip")


@pytest.mark.parametrize(
    ("stored", "module", "name"),
    [
        ({"__module__": "a.b", "__init__": "<function Sac.__init__ at 0x1>"}, "a.b", "Sac"),
        ({"__module__": "a.b", "_build": "<function Sac._build at 0x1>"}, "a.b", "Sac"),
        ({"__module__": "a.b"}, "a.b", None),
        ({":serialized:": serialized(pickle.Pickler)}, "_pickle", "Pickler"),
        ({"__module__": "c", ":serialized:": serialized(pickle.Pickler, 2)}, "c", "Pickler"),
        ("MlpPolicy", "", "MlpPolicy"),
        (None, "", None),
        (3, "", None),
    ],
)
def test_policy_class(stored: Any, module: str, name: str | None) -> None:
    data = read(policy_class=stored)
    assert (data.policy_module, data.policy_class) == (module, name)


def test_policy_arguments() -> None:
    data = read(policy_kwargs={"net_arch": [8], "clip_mean": None})
    assert data.argument("net_arch", []) == [8]
    assert data.argument("clip_mean", 2.0) == 2.0
    assert read().policy_kwargs is None
    assert read(policy_kwargs=3).policy_kwargs is None
    kept = read(policy_kwargs={":type:": "<class 'dict'>", ":serialized:": "", "a": 1})
    assert kept.policy_kwargs == {"a": 1}


def test_activation_that_stands_in_the_pickle_alone() -> None:
    def arguments(value: Any) -> Any:
        return read(policy_kwargs={":type:": "<class 'dict'>", ":serialized:": serialized(value)}).policy_kwargs

    for activation in (nn.ELU, nn.Tanh):
        stored = arguments({"net_arch": [8], "activation_fn": activation})
        assert activation_from_text(stored["activation_fn"]) == Activation(activation.__name__.lower())
    assert arguments({"net_arch": [8]}) == {}
    assert arguments({"activation_fn": len}) is None
    assert arguments({"squash_output": True}) is None
    assert arguments({"a": nn.ELU, "b": nn.Tanh}) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<class 'torch.nn.modules.activation.ReLU'>", Activation("relu")),
        ("<class 'torch.nn.modules.linear.Identity'>", Activation("identity")),
        (
            "functools.partial(<class 'torch.nn.modules.activation.Hardtanh'>, min_val=-2, max_val=2.5)",
            Activation("hardtanh", (("max_val", 2.5), ("min_val", -2.0))),
        ),
        ("functools.partial(<class 'torch.nn.modules.activation.GELU'>, approximate='none')", Activation("gelu")),
        ("functools.partial(<class 'torch.nn.modules.activation.ELU'>, alpha=x)", None),
        ("functools.partial(<class 'mine.ELU'>, alpha=1)", None),
        ("<class '__main__.ReLU'>", None),
        ("<class 'torchevil.nn.ReLU'>", None),
        ("<function <lambda> at 0x7f>", None),
        ("<class 'torch.nn.modules.linear.Linear'>", None),
        (None, None),
        (3, None),
    ],
)
def test_activation_from_text(text: Any, expected: Activation | None) -> None:
    assert activation_from_text(text) == expected


def test_class_name() -> None:
    assert class_name("<class 'a.B'>") == "a.B"
    assert class_name("a.B") is None
    assert class_name(None) is None


class Touches:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


@pytest.mark.parametrize("protocol", range(6))
def test_names_are_read_without_loading(tmp_path: Path, protocol: int) -> None:
    canary = tmp_path / "canary"
    code = serialized({"activation_fn": Touches(canary)}, protocol)
    assert any(name.endswith(".exec") for name in globals_named_in(code))
    assert "activation_fn" in strings_in(code)
    assert not canary.exists()


@given(st.text(max_size=40) | st.binary(max_size=60).map(lambda raw: base64.b64encode(raw).decode()))
def test_any_pickle_names_something_or_nothing(text: str) -> None:
    assert all(isinstance(name, str) for name in (*strings_in(text), *globals_named_in(text)))


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b"{", b"\xff", b"[" * 100_000])
def test_content_that_is_no_json_object(content: bytes) -> None:
    with pytest.raises(DamagedAgentError):
        read_data(content, "x.zip")


@given(st.binary(max_size=60))
def test_any_content(content: bytes) -> None:
    try:
        data = read_data(content, "x.zip")
    except AgentError:
        return
    assert isinstance(data, Sb3Data)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("inside", ["a" * 400_000, "a=" * 200_000, "'" * 400_000, ", " * 200_000])
def test_long_texts_of_a_class_are_not_searched(inside: str) -> None:
    assert activation_from_text(f"functools.partial(<class 'torch.nn.modules.activation.ELU'>, {inside})") is None
    assert class_name("<class '" + "a." * 200_000) is None


def test_json_of_too_many_values() -> None:
    with pytest.raises(DamagedAgentError, match="values, more than"):
        read_data(b'{"a":[' + b"[]," * 3_000_000 + b"0]}", "x.zip")
