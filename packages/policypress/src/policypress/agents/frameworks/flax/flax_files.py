"""Files of ``flax.serialization.to_bytes``: nested dicts in msgpack, with arrays of numpy in a form of flax's own.

Read by the rules of both formats, without either library: nothing is executed, and nothing is larger than the file.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from policypress.agents.bundle import Array
from policypress_runtime.errors import DamagedAgentError, UnsupportedAgentError

_ARRAY, _SCALAR = 1, 3
"""Codes of flax's extensions; 2 is a complex number."""
_CHUNKED = "__msgpack_chunked_array__"
_TYPES = frozenset(["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32", "bool"])
_MOST_DEPTH, _MOST_ITEMS = 32, 200_000
_HEAD_BYTES = 512
# First byte → (letter of the number's form, its bytes).
_NUMBERS = {
    0xCA: (">f", 4),
    0xCB: (">d", 8),
    0xCC: (">B", 1),
    0xCD: (">H", 2),
    0xCE: (">I", 4),
    0xCF: (">Q", 8),
    0xD0: (">b", 1),
    0xD1: (">h", 2),
    0xD2: (">i", 4),
    0xD3: (">q", 8),
}
# First byte → bytes of the length that follows.
_BINARY, _TEXT = {0xC4: 1, 0xC5: 2, 0xC6: 4}, {0xD9: 1, 0xDA: 2, 0xDB: 4}
_EXTENSION, _FIXED_EXTENSION = {0xC7: 1, 0xC8: 2, 0xC9: 4}, {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_LIST, _DICT = {0xDC: 2, 0xDD: 4}, {0xDE: 2, 0xDF: 4}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


def is_flax(content: bytes) -> bool:
    """Whether a file begins as a dict of names with flax's layers among the first of them."""
    head = content[:_HEAD_BYTES]
    named = head[1:2] and (0xA1 <= head[1] <= 0xBF or head[1] == 0xD9)
    return 0x81 <= (head[0] if head else 0) <= 0x8F and bool(named) and b"params" in head and b"_0" in head


def read_flax(content: bytes, label: str) -> Any:
    """Everything in the file: nested dicts and lists, numbers, texts, bytes, and arrays of numpy.

    Raises:
        DamagedAgentError: it is truncated, or not as flax writes it.
        UnsupportedAgentError: an array of a type that is not read, or in several pieces.
    """
    reader = _Reader(memoryview(content), label)
    found = reader.value(0)
    if reader.at != len(content):
        raise reader.damaged(f"{len(content) - reader.at} bytes after its end")
    return found


class _Reader:
    def __init__(self, content: memoryview, label: str) -> None:
        self.at = 0
        self._content, self._label, self._items = content, label, 0

    def damaged(self, got: str) -> DamagedAgentError:
        return DamagedAgentError(
            f"{self._label} is truncated, or not as flax writes parameters.",
            got=got,
            expected="a complete file of flax.serialization.to_bytes",
            hint="Copy the file again from where it was trained.",
        )

    def value(self, depth: int) -> Any:
        self._items += 1
        if depth > _MOST_DEPTH or self._items > _MOST_ITEMS:
            raise self.damaged("more nesting, or more values, than parameters have")
        first = self._bytes(1)[0]
        if first <= 0x7F or first >= 0xE0:
            return first if first <= 0x7F else first - 256
        if first in _CONSTANTS:
            return _CONSTANTS[first]
        if first in _NUMBERS:
            form, size = _NUMBERS[first]
            return struct.unpack(form, self._bytes(size))[0]
        return self._sized(first, depth)

    def _sized(self, first: int, depth: int) -> Any:
        if first <= 0x8F or first in _DICT:
            return self._dict(first & 0x0F if first <= 0x8F else self._length(_DICT[first]), depth)
        if first <= 0x9F or first in _LIST:
            count = first & 0x0F if first <= 0x9F else self._length(_LIST[first])
            return [self.value(depth + 1) for _ in range(count)]
        if first <= 0xBF or first in _TEXT:
            return self._text(first & 0x1F if first <= 0xBF else self._length(_TEXT[first]))
        if first in _BINARY:
            return bytes(self._bytes(self._length(_BINARY[first])))
        size = _FIXED_EXTENSION.get(first)
        if size is None and first in _EXTENSION:
            size = self._length(_EXTENSION[first])
        if size is None:
            raise self.damaged(f"the byte {first:#x} where a value begins")
        code, held = self._bytes(1)[0], self._bytes(size)
        return self._extension(code, _Reader(held, self._label), depth)

    def _dict(self, count: int, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in range(count):
            name = self.value(depth + 1)
            if not isinstance(name, str) or name in found:
                raise self.damaged("a dict with something else than a name for each value")
            found[name] = self.value(depth + 1)
        if _CHUNKED in found:
            raise UnsupportedAgentError(
                f"{self._label} holds an array of more than 1 GB, in pieces.",
                got=_CHUNKED,
                expected="arrays in one piece",
                hint="Give the network's own parameters, without what does not act.",
            )
        return found

    def _extension(self, code: int, held: _Reader, depth: int) -> Any:
        if code not in (_ARRAY, _SCALAR):
            raise self.damaged(f"a value of kind {code}")
        parts = held.value(depth + 1)
        shape, name, numbers = parts if isinstance(parts, list) and len(parts) == 3 else (None, None, None)
        sizes = shape if isinstance(shape, list) else [-1]
        if not (all(type(size) is int and size >= 0 for size in sizes) and isinstance(numbers, bytes)):
            raise self.damaged("an array without a shape, a type and numbers")
        if name not in _TYPES:
            raise UnsupportedAgentError(
                f"{self._label} holds numbers of a type that is not read.",
                got=str(name)[:40],
                expected="float16, float32, float64, or whole numbers",
                hint="Save the parameters as float32.",
            )
        kind = np.dtype(str(name))
        if math.prod(sizes) * kind.itemsize != len(numbers):
            raise self.damaged(f"{len(numbers)} bytes for an array of shape {tuple(sizes)[:8]}")
        return _array(numbers, kind, sizes)

    def _text(self, size: int) -> str:
        try:
            return str(self._bytes(size), "utf-8")
        except UnicodeDecodeError as error:
            raise self.damaged("a name that is no text") from error

    def _length(self, size: int) -> int:
        return int.from_bytes(self._bytes(size), "big")

    def _bytes(self, count: int) -> memoryview:
        if count > len(self._content) - self.at:
            raise self.damaged(f"{count} bytes more than it has")
        self.at += count
        return self._content[self.at - count : self.at]


def _array(numbers: bytes, kind: np.dtype[Any], sizes: list[int]) -> Array:
    found: Array = np.frombuffer(numbers, kind).reshape(sizes)
    return found
