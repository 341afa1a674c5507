"""Weights that an ONNX file keeps beside itself, as ``torch.onnx`` does now: ``policy.onnx`` and ``policy.onnx.data``.

The file names the other one, so the name is not trusted: a plain name in the same folder, a regular file, no way out
by a link, sizes within the file and within one budget. What was read becomes part of the model.
"""

from __future__ import annotations

import math
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
from onnx import helper

from policypress.agents.archive import listing, read_bytes
from policypress.agents.onnx_reading.interface import quoted
from policypress_runtime.errors import DamagedAgentError, UnsafeAgentError

# As it is stored: these take less than a byte each.
_BITS = {name: 4 for name in ("UINT4", "INT4", "FLOAT4E2M1")} | {"UINT2": 2, "INT2": 2}
_LFS = b"version https://git-lfs"


def take_in(model: onnx.ModelProto, path: Path, limit_bytes: int) -> dict[str, bytes]:
    """Read every tensor of ``model`` that lies in another file into the model itself.

    Args:
        model: of the file ``path``; is changed.
        path: of the ONNX file.
        limit_bytes: what all of these files, and all of these tensors, may have together.

    Returns:
        The files that were read, by name, in alphabetical order.

    Raises:
        UnsafeAgentError: a name that is not that of a file in the same folder.
        DamagedAgentError: no such file, or one that does not hold what the tensors need.
    """
    outside = [t for t in _tensors(model) if t.external_data or t.data_location == onnx.TensorProto.EXTERNAL]
    places = [_place(tensor, path.name) for tensor in outside]
    files: dict[str, bytes] = {}
    left = limit_bytes
    for name in sorted({name for name, _, _ in places}):
        files[name] = _content(path, name, left)
        left -= len(files[name])
    left = limit_bytes
    for tensor, (name, offset, length) in zip(outside, places, strict=True):
        size_bytes = _size_bytes(tensor)
        left -= size_bytes
        content = files[name]
        if left < 0 or length not in (None, size_bytes) or offset + size_bytes > len(content):
            raise _does_not_hold(tensor, name, content, offset, size_bytes, limit_bytes if left < 0 else None)
        tensor.raw_data = content[offset : offset + size_bytes]
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT
    return files


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from _of_graph(model.graph)
    for training in model.training_info:
        yield from (*_of_graph(training.initialization), *_of_graph(training.algorithm))
    for function in model.functions:
        yield from _of_nodes(function.node)
        yield from _of_attributes(function.attribute_proto)


def _of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        yield from _of_attributes(node.attribute)


def _of_attributes(attributes: Iterable[onnx.AttributeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in attributes:
        yield from ([attribute.t] if attribute.HasField("t") else [])
        yield from attribute.tensors
        for sparse in ([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []) + list(
            attribute.sparse_tensors
        ):
            yield from (sparse.values, sparse.indices)
        for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
            yield from _of_graph(inner)


def _place(tensor: onnx.TensorProto, label: str) -> tuple[str, int, int | None]:
    """File, offset and length in bytes that a tensor names; the length may be left out."""
    metadata = {entry.key: entry.value for entry in tensor.external_data}
    name = metadata.get("location", "")
    if not name or name in (".", "..") or not name.isprintable() or set(name) & set('/\\:*?"<>|') or len(name) > 255:
        raise UnsafeAgentError(
            f"{label} keeps weights in another file, and its name is not a plain file name.",
            got=f"tensor {quoted(tensor.name)} in {quoted(name)}",
            expected="the plain name of a file in the same folder",
            hint="Save it with internal weights: onnx.save_model(model, path, save_as_external_data=False).",
        )
    offset, length = (_number(metadata.get(key)) for key in ("offset", "length"))
    if len(metadata) < len(tensor.external_data) or -1 in (offset, length):
        raise DamagedAgentError(
            f"{label} does not state where the weights in {quoted(name)} are.",
            got=f"tensor {quoted(tensor.name)} at offset {quoted(metadata.get('offset', ''))}, "
            f"length {quoted(metadata.get('length', ''))}",
            expected="whole numbers of bytes, each once",
        )
    return name, offset or 0, length


def _number(text: str | None) -> int | None:
    """None where it is left out, -1 where it is none."""
    if text is None:
        return None
    return int(text) if len(text) < 20 and text.isascii() and text.isdigit() else -1


def _content(path: Path, name: str, limit_bytes: int) -> bytes:
    beside = path.with_name(name)
    try:
        real = beside.resolve(strict=True)
        # A cache of downloads may link both files into one other folder.
        inside = real.parent in (path.parent.resolve(), path.resolve().parent)
        regular = stat.S_ISREG(real.stat().st_mode)
    except FileNotFoundError as error:
        raise _missing(path, name) from error
    except (OSError, RuntimeError, ValueError) as error:
        raise DamagedAgentError(
            f"The weights next to {path.name} cannot be read.",
            got=f"{quoted(name)}: {error}",
            expected="a regular file",
        ) from error
    if not (inside and regular):
        raise UnsafeAgentError(
            f"{path.name} keeps weights in {quoted(name)}, which is not a file of the same folder.",
            got="a link to another folder" if regular else "no regular file",
            expected="a regular file next to it",
            hint="Copy the file with the weights itself into the folder.",
        )
    content = read_bytes(real, limit_bytes=limit_bytes)
    if content.startswith(_LFS):
        raise DamagedAgentError(
            f"{quoted(name)} beside {path.name} is a Git LFS pointer, not the weights.",
            got=f"{len(content)} bytes of text",
            expected="the file that it points to",
            hint="Fetch it: git lfs pull.",
        )
    return content


def _missing(path: Path, name: str) -> DamagedAgentError:
    near = sorted(other.name for other in path.parent.glob("*.data"))
    renamed = f" Is it {listing(near, 3)}? Rename it to {quoted(name)}." if near else ""
    return DamagedAgentError(
        f"{path.name} keeps its weights in {quoted(name)}, which is missing.",
        got=f"no {quoted(name)} in {path.parent}",
        expected="both files in one folder, under the names that they were saved with",
        hint=f"Copy {quoted(name)} into the folder.{renamed} Or export again with internal weights: "
        "torch.onnx.export(..., external_data=False).",
    )


def _size_bytes(tensor: onnx.TensorProto) -> int:
    try:
        kind = onnx.TensorProto.DataType.Name(tensor.data_type)
        bits = _BITS.get(kind) or 8 * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, ValueError, TypeError):
        bits = 0
    if bits == 0 or tensor.data_type == onnx.TensorProto.STRING or min(tensor.dims, default=1) < 0:
        raise DamagedAgentError(
            f"The tensor {quoted(tensor.name)} in another file has a type without a fixed size.",
            got=f"element type {tensor.data_type}, shape {list(tensor.dims)[:8]}",
            expected="numbers, and sizes that are not negative",
        )
    return int(-(-math.prod(tensor.dims) * bits // 8))


def _does_not_hold(
    tensor: onnx.TensorProto, name: str, content: bytes, offset: int, size_bytes: int, limit_bytes: int | None
) -> DamagedAgentError:
    return DamagedAgentError(
        f"{quoted(name)} does not contain the expected weights."
        if limit_bytes is None
        else f"The weights in {quoted(name)} are too large.",
        got=f"a file of {len(content)} bytes, and tensor {quoted(tensor.name)} of {size_bytes} bytes at {offset}",
        expected="both files from the same export" if limit_bytes is None else f"at most {limit_bytes} bytes together",
        hint="Copy both files again, or export again.",
    )
