"""Operators that move, join, cut, compare and cast values, and what is done to windows of images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto

from policypress_runtime.onnx_files.node import attributes_of

if TYPE_CHECKING:
    from policypress_runtime.tflite.graph import Graph, Value
    from policypress_runtime.tflite.operators import Operator


_CAST: dict[int, str] = {TensorProto.FLOAT: "float32", TensorProto.INT8: "int8", TensorProto.INT64: "int64"}


def transpose(file: Graph, node: onnx.NodeProto) -> Value:
    """To channels first: an image that lies channel-last stays as it lies."""
    x, order = file.given(node), list(attributes_of(node).get("perm", []))
    if order != [0, 3, 1, 2] or len(x.shape) != 3 or x.image is not None:
        raise file.refused(node, "only an image is moved, from channels last to channels first")
    height, width, channels = x.shape
    return replace(x, shape=(channels, height, width), image=(channels, height, width))


def reshape(file: Graph, node: onnx.NodeProto) -> Value:
    """Flatten and Reshape, of values as ONNX has them."""
    x = file.channels_first(file.real(file.given(node)))
    if node.op_type == "Flatten":
        return file.reshaped(x, (int(np.prod(x.shape)),))
    shape = [int(n) for n in file.constants[node.input[1]].reshape(-1)[1:]]
    if any(n < 1 for n in shape):
        raise file.refused(node, "its shape is not fixed")
    return file.reshaped(x, tuple(shape))


def flatten(file: Graph, node: onnx.NodeProto) -> Value:
    """An image stays channel-last: the columns of the layer behind it are reordered for it."""
    x = file.real(file.given(node))
    return replace(file.reshaped(replace(x, image=None), (int(np.prod(x.shape)),)), image=x.image)


def concat(file: Graph, node: onnx.NodeProto) -> Value:
    """Vectors, one behind the other."""
    parts = [file.channels_first(file.real(file.given(node, index))) for index in range(len(node.input))]
    if any(len(part.shape) != 1 for part in parts) or attributes_of(node).get("axis") not in (1, -1):
        raise file.refused(node, "only vectors are joined")
    result = file.value(parts[0].dtype, (sum(part.shape[0] for part in parts),))
    file.file.emit("CONCATENATION", [p.tensor for p in parts], [result.tensor], "ConcatenationOptions", axis=1)
    return result


def cut(file: Graph, node: onnx.NodeProto) -> Value:
    """A stretch of a vector."""
    x = file.channels_first(file.real(file.given(node)))
    start, stop, axis = (int(file.constants[name].reshape(-1)[0]) for name in node.input[1:4])
    if len(x.shape) != 1 or axis != 1:
        raise file.refused(node, "only a vector is cut")
    size = len(range(x.shape[0])[start:stop])
    result = file.value(x.dtype, (size,))
    bounds = [file.file.constant(np.array(v, np.int32)) for v in ([0, start], [file.rows, start + size], [1, 1])]
    file.file.emit("STRIDED_SLICE", [x.tensor, *bounds], [result.tensor], "StridedSliceOptions", beginMask=1, endMask=1)
    return result


def gather(file: Graph, node: onnx.NodeProto) -> Value:
    """Elements of a vector, by constant positions."""
    x = file.channels_first(file.real(file.given(node)))
    index = file.constants.get(node.input[1])
    if index is None or len(x.shape) != 1 or index.ndim != 1:
        raise file.refused(node, "only a vector's elements are chosen, by positions that are known")
    result = file.value(x.dtype, (index.size,))
    positions = file.file.constant(index.astype(np.int32))
    file.file.emit("GATHER", [x.tensor, positions], [result.tensor], "GatherOptions", axis=1)
    return result


def compare(file: Graph, node: onnx.NodeProto) -> Value:
    """Equal and Greater, with constants."""
    x, other = file.given(node), file.constants[node.input[1]]
    x = file.real(x)
    kind = node.op_type.upper()
    return file.pair(kind, x, other.astype(x.dtype), dtype="bool", options=f"{node.op_type}Options")


def cast(file: Graph, node: onnx.NodeProto) -> Value:
    """To float, or to bytes."""
    x, to = file.given(node), attributes_of(node).get("to")
    dtype = _CAST.get(int(to or 0))
    if dtype is None or x.pending is not None:
        raise file.refused(node, "only casts to float32, int8 and int64 are written")
    if x.dtype == dtype:
        return x
    result = file.like(x, dtype)
    file.file.emit("CAST", [x.tensor], [result.tensor], "CastOptions")
    return result


def argmax(file: Graph, node: onnx.NodeProto) -> Value:
    """The position of the largest of a vector."""
    x = file.channels_first(file.real(file.given(node)))
    if len(x.shape) != 1:
        raise file.refused(node, "its input is no vector")
    result = file.value("int64", ())
    axis = file.file.constant(np.array([-1], np.int32))
    kind = file.format.TensorType.INT64
    file.file.emit("ARG_MAX", [x.tensor, axis], [result.tensor], "ArgMaxOptions", outputType=kind)
    return file.reshaped(result, (1,)) if attributes_of(node).get("keepdims", 1) else result


def mean(file: Graph, node: onnx.NodeProto) -> Value:
    """The mean over height and width of an image, or over a vector."""
    x = file.real(file.given(node))
    found = attributes_of(node)
    listed = found.get("axes") or file.constants[node.input[1]].reshape(-1).tolist()
    axes, keep = sorted(int(axis) for axis in listed), bool(found.get("keepdims", 1))
    if x.image is not None and len(x.shape) == 3 and axes in ([2, 3], [-2, -1]) and not keep:
        return file.mean(x, (1, 2), (x.image[0],))
    if len(x.shape) == 1 and axes in ([1], [-1]) and keep:
        return file.mean(x)
    raise file.refused(node, "only the mean of an image's pixels or of a vector is written")


def pool(file: Graph, node: onnx.NodeProto) -> Value:
    """MaxPool and AveragePool without padding."""
    x, found = file.channels_last(file.real(file.given(node))), attributes_of(node)
    if any(found.get("pads", [0])) or found.get("ceil_mode", 0) or x.image is None:
        raise file.refused(node, "only windows without padding are written")
    (high, wide), strides = found["kernel_shape"], found.get("strides", [1, 1])
    channels, height, width = x.image
    image = (channels, (height - high) // strides[0] + 1, (width - wide) // strides[1] + 1)
    result = replace(file.value("float32", (image[1], image[2], channels)), shape=image, image=image)
    fields = {"filterHeight": high, "filterWidth": wide, "strideH": strides[0], "strideW": strides[1]}
    kind = "MAX_POOL_2D" if node.op_type == "MaxPool" else "AVERAGE_POOL_2D"
    valid = file.format.Padding.VALID
    file.file.emit(kind, [x.tensor], [result.tensor], "Pool2DOptions", padding=valid, **fields)
    return result


SHAPES: dict[str, Operator] = {
    "Transpose": transpose,
    "Flatten": flatten,
    "Reshape": reshape,
    "Concat": concat,
    "Slice": cut,
    "Gather": gather,
    "Equal": compare,
    "Greater": compare,
    "Cast": cast,
    "ArgMax": argmax,
    "ReduceMean": mean,
    "MaxPool": pool,
    "AveragePool": pool,
}
"""By ONNX's names."""
