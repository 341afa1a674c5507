"""What an ONNX file says of itself, read without the onnx package: its metadata, inputs and outputs.

An ONNX file is one protocol buffer message. Only the few fields that are wanted are looked at, past the weights.
Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from policypress_runtime.contract import TensorSpec, stated
from policypress_runtime.errors import ArtifactError
from policypress_runtime.regular_file import read_regular

_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_GRAPH_INPUT, _GRAPH_OUTPUT = 11, 12
_DTYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 11: "float64"}
MAX_BYTES = 1024**3
"""The largest artifact that is read."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class Described:
    """Metadata by key, and the graph's inputs and outputs; shapes are without the batch axis, -1 where unknown."""

    metadata: dict[str, str]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def content_of(model: Path | bytes) -> bytes:
    """The bytes of an artifact, or of its regular file.

    Raises:
        ArtifactError: it cannot be read, or is larger than :data:`MAX_BYTES`.
    """
    return model if isinstance(model, bytes) else read_regular(model, limit_bytes=MAX_BYTES, error=ArtifactError)


def described(model: bytes, label: str) -> Described:
    """Look into the serialised ``model``.

    Raises:
        ArtifactError: it is not ONNX, or holds several contracts.
    """
    try:
        content = memoryview(model)
        graphs = list(_members(content, _MODEL_GRAPH))
        entries = [(_text(entry, 1), _text(entry, 2)) for entry in _members(content, _MODEL_METADATA)]
        stated(entries)
        # The last of several wins, as in every protocol buffer.
        graph = graphs[-1]
        return Described(
            dict(entries),
            tuple(_tensor(value) for value in _members(graph, _GRAPH_INPUT)),
            tuple(_tensor(value) for value in _members(graph, _GRAPH_OUTPUT)),
        )
    except (ValueError, IndexError) as error:
        raise ArtifactError(
            "The file is not ONNX.",
            got=f"{label}: {error}",
            expected="an ONNX artifact written by `policypress export` or `compress`",
        ) from error


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of every field; integers of fixed width are stepped over."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield tag >> 3, value
        elif kind == _BYTES:
            length, place = _varint(message, place)
            if place + length > len(message):
                raise ValueError("a field is longer than the file")
            yield tag >> 3, message[place : place + length]
            place += length
        elif kind in (_FIXED64, _FIXED32):
            place += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field of unknown kind {kind}")


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            raise ValueError("it ends in the middle of a number")
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError("a number is too long")


def _members(message: memoryview, number: int) -> Iterator[memoryview]:
    return (value for field, value in _fields(message) if field == number and isinstance(value, memoryview))


def _text(message: memoryview, number: int) -> str:
    return next((bytes(value).decode() for value in _members(message, number)), "")


def _number(message: memoryview, number: int, default: int) -> int:
    return next((value for field, value in _fields(message) if field == number and isinstance(value, int)), default)


def _tensor(value: memoryview) -> TensorSpec:
    """ValueInfoProto: name = 1, type = 2 { tensor_type = 1 { elem_type = 1, shape = 2 { dim = 1 { value = 1 }}}}."""
    tensor = next((t for kind in _members(value, 2) for t in _members(kind, 1)), memoryview(b""))
    shape = next(_members(tensor, 2), memoryview(b""))
    sizes = tuple(_number(dim, 1, -1) for dim in _members(shape, 1))
    kind = _number(tensor, 1, 0)
    return TensorSpec(_text(value, 1), _DTYPES.get(kind, f"element type {kind}"), sizes[1:])
