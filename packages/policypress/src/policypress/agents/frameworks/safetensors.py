"""safetensors files: a JSON header with names, types, shapes and places, then the numbers themselves."""

from __future__ import annotations

import json
import math
from typing import Any

from policypress.agents.pickles.tensors import Checkpoint, Tensor, storage_of
from policypress_runtime.errors import DamagedAgentError

MAX_HEADER_BYTES = 2**20
_CODES = {
    "F64": "f8",
    "F32": "f4",
    "F16": "f2",
    "BF16": "bfloat16",
    "I64": "i8",
    "I32": "i4",
    "I16": "i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


def is_safetensors(content: bytes) -> bool:
    """Whether the file begins as one: the header's length, then a brace."""
    length = int.from_bytes(content[:8], "little")
    return content[8:9] == b"{" and 0 < length <= len(content) - 8


def read_safetensors(content: bytes, label: str) -> Checkpoint:
    """The file's tensors by name, views of its bytes.

    Raises:
        DamagedAgentError: its header is too long, no JSON, or does not fit the file.
    """
    length = int.from_bytes(content[:8], "little")
    try:
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"a header of {length} bytes, more than {MAX_HEADER_BYTES}")
        header = json.loads(content[8 : 8 + length])
        if not isinstance(header, dict):
            raise ValueError("a header that is no mapping")
        rest = memoryview(content)[8 + length :]
        places = {name: _place(entry, len(rest)) for name, entry in header.items() if name != "__metadata__"}
    # json raises RecursionError for what is nested too deeply.
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedAgentError(
            f"{label} is not a readable safetensors file.",
            got=f"{type(error).__name__}: {str(error)[:200]}",
            expected="a header whose types, shapes and places fit the file",
            hint="Download or copy the file again.",
        ) from error
    tensors = {name: tensor for name, (tensor, _, _) in places.items()}
    spans = {tensor.storage.key: (begin, end) for tensor, begin, end in places.values()}

    def storage(key: str) -> bytes:
        begin, end = spans[key]
        return bytes(rest[begin:end])

    return Checkpoint(tensors, storage)


def _place(entry: Any, available: int) -> tuple[Tensor, int, int]:
    code, shape, (begin, end) = _CODES[entry["dtype"]], tuple(entry["shape"]), entry["data_offsets"]
    if not all(type(n) is int and 0 <= n < 2**48 for n in (begin, end, *shape)) or len(shape) > 32:
        raise ValueError("sizes that are no sizes")
    width = 2 if code == "bfloat16" else int(code[1:]) if code != "?" else 1
    if not begin <= end <= available or math.prod(shape) * width != end - begin:
        raise ValueError(f"shape {shape} in bytes {begin} to {end} of {available}")
    strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    return Tensor(storage_of(f"{begin}-{end}", code), 0, shape, strides), begin, end
