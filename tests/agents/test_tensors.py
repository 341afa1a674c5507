"""Checkpoints: tensors or a typed error, whatever the bytes."""

from __future__ import annotations

import io
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from policypress.agents.sb3.tensors import read_tensors
from policypress_runtime.errors import AgentError, DamagedAgentError, UnsafeAgentError


def saved(value: Any, *, modern: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=modern)
    return buffer.getvalue()


STATE = {
    "a.weight": torch.arange(6.0).reshape(2, 3).t(),
    "a.bias": torch.tensor([1, 2]),
    "c": torch.tensor([0.5]).double(),
}


@pytest.mark.parametrize("modern", [True, False])
def test_tensors_become_float32(modern: bool) -> None:
    arrays = read_tensors(saved(STATE, modern=modern), "policy.pth")
    assert {name: array.dtype for name, array in arrays.items()} == dict.fromkeys(STATE, np.dtype("float32"))
    assert np.array_equal(arrays["a.weight"], [[0, 3], [1, 4], [2, 5]])
    assert np.array_equal(arrays["a.bias"], [1, 2])


def test_bfloat16_and_half() -> None:
    arrays = read_tensors(saved({"b": torch.tensor([1.5]).bfloat16(), "h": torch.tensor([2.5]).half()}), "x")
    assert (arrays["b"][0], arrays["h"][0]) == (1.5, 2.5)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_not_finite(bad: float) -> None:
    with pytest.raises(DamagedAgentError, match=r"1 of 2 numbers"):
        read_tensors(saved({"w": torch.tensor([bad, 0])}), "x")


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(2),
        [torch.zeros(2)],
        {"w": 3},
        {1: torch.zeros(1)},
        {"w": {"inner": torch.zeros(1)}},
        {"w": torch.zeros(2, dtype=torch.complex64)},
        {"w": torch.eye(2).to_sparse()},
        {"w": torch.zeros(2, device="meta")},
    ],
)
def test_anything_else_than_real_dense_tensors_by_name(value: Any) -> None:
    with pytest.raises(DamagedAgentError):
        read_tensors(saved(value), "x")


def test_few_bytes_that_claim_to_be_many() -> None:
    with pytest.raises(DamagedAgentError, match="claim more"):
        read_tensors(saved({"w": torch.zeros(1).expand(2**20, 2**12)}), "x")


class Gadget:
    """Pickles as a call."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("place", ["top", "value", "key"])
def test_code_is_refused_and_does_not_run(tmp_path: Path, modern: bool, place: str) -> None:
    canary = tmp_path / "canary"
    gadgets = [
        Gadget(exec, f"open({str(canary)!r}, 'w')"),
        Gadget(subprocess.check_call, ["touch", str(canary)]),
        Gadget(partial, exec, f"open({str(canary)!r}, 'w')"),
        Gadget(getattr, str, "join"),
        Gadget(torch.load, str(canary)),
    ]
    for gadget in gadgets:
        value = {"top": gadget, "value": {"w": gadget}, "key": {"w": torch.zeros(1), "x": [gadget]}}[place]
        with pytest.raises(UnsafeAgentError):
            read_tensors(saved(value, modern=modern), "x")
    assert not canary.exists()


MODERN, LEGACY = saved(STATE), saved(STATE, modern=False)


@pytest.mark.parametrize("content", [MODERN, LEGACY])
@given(data=st.data())
def test_truncated(content: bytes, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(AgentError):
        read_tensors(content[:length], "x")


@pytest.mark.parametrize("content", [MODERN, LEGACY])
@given(data=st.data())
def test_flipped_bytes_give_tensors_or_an_agent_error(content: bytes, data: st.DataObject) -> None:
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        arrays = read_tensors(bytes(damaged), "x")
    except AgentError:
        return
    assert all(np.isfinite(array).all() for array in arrays.values())


@given(st.binary(max_size=200))
def test_any_bytes(content: bytes) -> None:
    with pytest.raises(AgentError):
        read_tensors(content, "x")
