"""Arrays of numpy's files: what numpy wrote comes back, what a header claims does not."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as npst

from policypress.agents import archive, array_file
from policypress.agents.array_file import array_of, read_arrays
from policypress_runtime.errors import DamagedAgentError


def saved(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


@given(npst.arrays(npst.scalar_dtypes(), npst.array_shapes(min_dims=0, max_side=4)))
def test_what_numpy_writes_comes_back(array: np.ndarray) -> None:
    for given_array in (array, np.asfortranarray(array)):
        read = array_of(saved(given_array))
        assert (read.dtype, read.shape, read.tobytes()) == (array.dtype, given_array.shape, array.tobytes())


def test_both_kinds_of_file(tmp_path: Path) -> None:
    zeros = np.zeros((4096, 4096), np.float32)
    np.savez_compressed(tmp_path / "a.npz", x=zeros, y=[1, 2])
    np.save(tmp_path / "b.npy", [3])
    read = read_arrays(tmp_path / "a.npz")
    assert np.array_equal(read["x"], zeros)
    assert list(read["y"]) == [1, 2]
    assert list(read_arrays(tmp_path / "b.npy", "only")["only"]) == [3]


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "content",
    [
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }") + b"\0" * 64,
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (2, -1), }") + b"\0" * 64,
        header("{'descr': '|V0', 'fortran_order': False, 'shape': (1099511627776,), }"),
        header("{'descr': '<U1000000000', 'fortran_order': False, 'shape': (1,), }"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': " + "(" * 5000 + ")" * 5000 + ", }"),
        header("{'descr': '<i8', 'fortran_order': False, 'shape': (12"),
        header("{'descr': '<i8, 'fortran_order': False, 'shape': (12,)}"),
        header("{'descr': '<i8', \0: False, 'shape': (12,)}"),
        header(""),
        saved(np.array([{}], dtype=object), allow_pickle=True),
        saved(np.zeros(3))[:-1],
        b"\x93NUMPY\x09\x00",
    ],
)
def test_headers_that_lie(content: bytes) -> None:
    with pytest.raises((ValueError, EOFError)):
        array_of(content)


def test_too_much_in_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "a.npz", **dict.fromkeys("abcde", np.zeros(2**18)))
    monkeypatch.setattr(archive, "MAX_CONTENT_BYTES", 2**23)
    with pytest.raises(DamagedAgentError, match="too much content"):
        read_arrays(tmp_path / "a.npz")
    monkeypatch.setattr(array_file, "MAX_BYTES", 10)
    with pytest.raises(DamagedAgentError, match="too large"):
        read_arrays(tmp_path / "a.npz")
