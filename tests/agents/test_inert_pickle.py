"""The allow-list unpickler: arrays and records come through, everything else is refused and nothing runs."""

from __future__ import annotations

import collections
import contextlib
import functools
import importlib
import operator
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from policypress.agents.pickles import counted as counted_pickle
from policypress.agents.pickles import inert as inert_pickle
from policypress.agents.pickles.inert import Record, array_of, read_pickle
from policypress_runtime.errors import AgentError, DamagedAgentError, UnsafeAgentError

PROTOCOLS = range(6)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(
    array=npst.arrays(
        st.sampled_from(["f4", "f8", ">f8", "i8", "u1", "b1", "f2"]),
        npst.array_shapes(min_dims=0, max_dims=3, max_side=4),
    ),
    fortran=st.booleans(),
)
def test_arrays_of_every_protocol(protocol: int, array: np.ndarray, fortran: bool) -> None:
    array = np.asfortranarray(array) if fortran else array
    read = array_of(read_pickle(pickle.dumps(array, protocol), "x"))
    assert read is not None
    assert read.shape == array.shape
    assert read.tobytes() == array.astype(read.dtype).tobytes()


def test_names_of_old_numpy() -> None:
    content = pickle.dumps(np.arange(3.0), 2).replace(b"numpy._core.", b"numpy.core.")
    assert np.array_equal(array_of(read_pickle(content, "x")), [0, 1, 2])


@pytest.mark.parametrize("scalar", [np.float64(2.5), np.float32(2.5), np.int64(2), 2.5, 2])
def test_scalars(scalar: Any) -> None:
    assert array_of(read_pickle(pickle.dumps(scalar), "x")) == float(scalar)


def test_allowed_classes_become_records_of_ours() -> None:
    value = [
        collections.OrderedDict(a=1),
        collections.deque([1, 2]),
        np.random.default_rng(0),
        np.random.RandomState(0),
    ]
    read = read_pickle(pickle.dumps(value), "x")
    assert all(isinstance(item, Record) for item in read)
    assert (read[0].name, read[0].fields) == ("collections.OrderedDict", {"a": 1})


def test_one_pickle_does_not_change_the_classes_of_the_next() -> None:
    """BUILD with slot state sets attributes on whatever it is given, classes and functions included."""
    name = b"cstable_baselines3.common.running_mean_std\nRunningMeanStd\n"
    with pytest.raises(DamagedAgentError):
        read_pickle(name + b"(N}S'name'\nS'changed'\nstb.", "x")
    with contextlib.suppress(DamagedAgentError):
        read_pickle(b"cnumpy.core.multiarray\nscalar\n(N}S'__name__'\nS'changed'\nstb.", "x")
    assert read_pickle(name + b")R.", "x").name.endswith("RunningMeanStd")
    assert Record.name == ""
    assert not any(function.__name__ == "changed" for function in inert_pickle._FUNCTIONS.values())


class Gadget:
    """Pickles as a call of ``function`` with ``arguments``."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def gadgets(canary: Path) -> list[Any]:
    code = f"open({str(canary)!r}, 'w').close()"
    return [
        Gadget(os.system, f"touch {canary}"),
        Gadget(eval, code),
        Gadget(exec, code),
        Gadget(subprocess.check_output, ["touch", str(canary)]),
        Gadget(getattr, "", "join"),
        Gadget(functools.partial, exec, code),
        Gadget(np.load, str(canary)),
        Gadget(operator.attrgetter("system"), "x"),
        Gadget(importlib.import_module, "antigravity"),
        Gadget(pickle.loads, pickle.dumps(Gadget(exec, code))),
        Gadget(np.testing.assert_equal, 1, 1),
        Gadget(map, exec, [code]),
        Gadget(type, "X", (), {}),
        Gadget(sys.exit),
        Gadget(open, str(canary), "w"),
    ]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("index", range(15))
def test_gadgets_are_refused_and_do_not_run(tmp_path: Path, index: int, protocol: int) -> None:
    canary = tmp_path / "canary"
    modules = set(sys.modules)
    for value in (gadgets(canary)[index], {"obs_rms": [np.zeros(2), gadgets(canary)[index]]}):
        with pytest.raises(UnsafeAgentError):
            read_pickle(pickle.dumps(value, protocol), "x")
    assert not canary.exists()
    assert "antigravity" not in set(sys.modules) - modules


@pytest.mark.parametrize(
    "name",
    [
        "numpy.core.multiarray frombuffer",
        "numpy.dtype __class__",
        "numpy ndarray.__subclasses__",
        "collections OrderedDict.__init__.__globals__",
        "builtins object.__subclasses__",
        "numpy core.multiarray._reconstruct.__self__",
        "numpy.random._pickle os",
        "policypress.agents.pickles.inert Record",
        "numpy.core._core. x",
    ],
)
def test_names_near_the_allowed_ones(name: str) -> None:
    module, _, attribute = name.partition(" ")
    with pytest.raises(AgentError):
        read_pickle(f"c{module}\n{attribute}\n.".encode(), "x")
    by_stack = b"\x80\x04" + b"".join(b"\x8c" + bytes([len(t)]) + t.encode() for t in (module, attribute)) + b"\x93."
    with pytest.raises(UnsafeAgentError):
        read_pickle(by_stack, "x")


def test_allowed_names_do_nothing_when_called() -> None:
    """Records take any argument; the functions of ours take numbers only."""
    assert read_pickle(b"cgym.spaces.box\nBox\n(S'rm -rf'\ntR.", "x").arguments == ("rm -rf",)
    for function in ("numpy.core.multiarray\nscalar", "numpy.core.numeric\n_frombuffer", "_codecs\nencode"):
        with pytest.raises(DamagedAgentError):
            read_pickle(f"c{function}\n(S'x'\nS'y'\ntR.".encode(), "x")


@pytest.mark.parametrize(
    "array", [np.array([{}, 1], dtype=object), np.array(["a"]), np.zeros(1, "f4,f8"), np.zeros(1, "M8[s]")]
)
def test_arrays_that_are_not_numbers(array: Any) -> None:
    with pytest.raises(AgentError):
        read_pickle(pickle.dumps(array), "x")


def test_size_that_the_bytes_do_not_hold() -> None:
    honest = pickle.dumps(np.zeros(3), 2)
    with pytest.raises(DamagedAgentError, match="24 bytes"):
        read_pickle(honest.replace(b"K\x03\x85", b"J\xff\xff\xff\x7f\x85"), "x")


def test_memo_index_that_would_fill_the_memory() -> None:
    with pytest.raises(DamagedAgentError, match="memo"):
        read_pickle(b"\x80\x02]r\xff\xff\xff\x7f.", "x")


def test_too_many_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted_pickle, "MAX_OPCODES", 10)
    with pytest.raises(DamagedAgentError, match="too many"):
        read_pickle(pickle.dumps(list(range(20))), "x")


def test_persistent_ids_and_extensions() -> None:
    with pytest.raises(UnsafeAgentError):
        read_pickle(b"Pabc\n.", "x")
    with pytest.raises(AgentError):
        read_pickle(b"\x80\x02\x82\x01.", "x")


CONTENT = pickle.dumps({"a": np.arange(4.0), "b": [1, "x", None], "c": collections.OrderedDict(k=np.float32(1))})


@given(st.integers(0, len(CONTENT) - 1))
def test_truncated(length: int) -> None:
    with pytest.raises(AgentError):
        read_pickle(CONTENT[:length], "x")


@given(st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(1, 255)), min_size=1, max_size=4))
def test_flipped_bytes(flips: list[tuple[int, int]]) -> None:
    content = bytearray(CONTENT)
    for position, mask in flips:
        content[position] ^= mask
    assert _inert_or_refused(bytes(content))


@given(st.binary(max_size=100))
def test_any_bytes(content: bytes) -> None:
    assert _inert_or_refused(content)


def _inert_or_refused(content: bytes) -> bool:
    """Whether reading is refused, or gives plain values and objects of our own inert classes, no others."""
    try:
        value = read_pickle(content, "x")
    except AgentError:
        return True
    return value is None or type(value).__module__ in ("builtins", "numpy", "policypress.agents.pickles.inert")
