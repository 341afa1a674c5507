"""How much memory an artifact's numbers take: the file, and packed as a device would hold them."""

from __future__ import annotations

import math

import onnx
from onnx import TensorProto, helper

# Shapes, axes and bounds of slices steer the graph; a device compiles them in and stores nothing.
_STEERING = frozenset({"Reshape", "Slice", "Gather", "ReduceMean", "Squeeze", "Unsqueeze"})


def packed_bytes(model: onnx.ModelProto) -> int:
    """Bytes of weights, biases, scales, zero points and normaliser, without names, structure or steering integers.

    Zero points of int32 biases are always 0 and take nothing.
    """
    steering = {name for node in model.graph.node if node.op_type in _STEERING for name in node.input[1:]}
    zero_biases = {
        node.input[2]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and len(node.input) > 2 and _is_int32(model, node.input[2])
    }
    left_out = steering | zero_biases
    return sum(_bytes(tensor) for tensor in model.graph.initializer if tensor.name not in left_out)


def _is_int32(model: onnx.ModelProto, name: str) -> bool:
    return any(t.name == name and t.data_type == TensorProto.INT32 for t in model.graph.initializer)


def _bytes(tensor: onnx.TensorProto) -> int:
    elements = int(math.prod(tensor.dims))
    if tensor.data_type in (TensorProto.INT4, TensorProto.UINT4):
        return (elements + 1) // 2
    return elements * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
