"""Pickles that are small and ask for much: refused by what they ask for, in a moment."""

from __future__ import annotations

import io
import pickle
import time
from typing import Any

import pytest

from policypress.agents.pickles import counted as counted_pickle
from policypress.agents.pickles.counted import CountedUnpickler


def load(content: bytes) -> Any:
    return CountedUnpickler(io.BytesIO(content), len(content)).load()


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values(protocol: int) -> None:
    value = {"a": [1, 2.5, None, True], "b": ("x", 1), 3: {}, None: 2**70}
    assert load(pickle.dumps(value, protocol)) == value


def _long(number: int) -> bytes:
    stored = number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(stored)]) + stored


COLLIDING = [_long((2**61 - 1) * k) for k in range(1, 50_000)]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02}(" + b"".join(number + b"N" for number in COLLIDING) + b"u.",
        b"\x80\x02(" + b"".join(number + b"N" for number in COLLIDING) + b"d.",
        b"\x80\x02}" + b"".join(number + b"Ns" for number in COLLIDING) + b".",
        b"\x80\x02}(" + b"".join(b"K\x01" + number + b"\x86N" for number in COLLIDING) + b"u.",
        # A tuple of the same tuple twice, sixty times: its hash would take 2 to the 60.
        b"\x80\x02})" + b"2\x86" * 60 + b"Ns.",
        b"\x80\x02}G" + b"\0" * 8 + b"Ns.",
    ],
)
def test_keys_that_collide(content: bytes) -> None:
    start = time.process_time()
    with pytest.raises(pickle.UnpicklingError, match="a key of type"):
        load(content)
    assert time.process_time() - start < 20


@pytest.mark.parametrize("content", [pickle.dumps({1, 2}, 4), pickle.dumps(frozenset([1]), 4), b"\x80\x02\x82\x01."])
def test_what_no_reader_needs(content: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError, match="operation"):
        load(content)


def test_names_stand_for_nothing() -> None:
    with pytest.raises(pickle.UnpicklingError, match=r"builtins\.bytearray"):
        load(b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\0\0\0\x80\x01\x85R.")


def test_too_many_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted_pickle, "MAX_OPCODES", 100)
    load(b"\x80\x02" + b"N0" * 40 + b"N.")
    with pytest.raises(pickle.UnpicklingError, match="too many"):
        load(b"\x80\x02" + b"N0" * 100 + b"N.")


def test_bytes_that_functions_make_are_counted() -> None:
    unpickler = CountedUnpickler(io.BytesIO(b"N."), 2)
    unpickler.charge(2**16)
    with pytest.raises(pickle.UnpicklingError, match="repeated many times"):
        unpickler.charge(100)
