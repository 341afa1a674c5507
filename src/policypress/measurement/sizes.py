"""How much memory an artifact's numbers take: the file, and packed as a device would hold them."""

from __future__ import annotations

import json
import math

import onnx
from onnx import TensorProto, helper

from policypress.contract import INTEGER_BITS_KEY

# Shapes, axes and bounds of slices steer the graph; a device compiles them in and stores nothing.
_STEERING = frozenset({"Reshape", "Slice", "Gather", "ReduceMean", "Squeeze", "Unsqueeze"})


# What a device keeps integers in: two of them to a byte, or one.
_HALF_BYTE = 4


def integer_bits(model: onnx.ModelProto) -> dict[str, int]:
    """Bits of every weight that is stored in integers of one byte or less, by its initializer.

    They are what the metadata say, or else those of the type.
    """
    stated = next((entry.value for entry in model.metadata_props if entry.key == INTEGER_BITS_KEY), "{}")
    narrow: dict[str, int] = json.loads(stated)
    types = {TensorProto.INT8: 8, TensorProto.UINT8: 8, TensorProto.INT4: 4, TensorProto.UINT4: 4}
    return {
        tensor.name: int(narrow.get(tensor.name, types[tensor.data_type]))
        for tensor in model.graph.initializer
        if tensor.data_type in types and len(tensor.dims) > 1
    }


def packed_bytes(model: onnx.ModelProto) -> int:
    """Bytes of weights, biases, scales, zero points and normaliser, without names, structure or steering integers.

    Weights of 4 bits or fewer take half a byte each, whatever the file holds them in. Zero points of int32 biases are
    always 0 and take nothing.
    """
    bits = integer_bits(model)
    steering = {name for node in model.graph.node if node.op_type in _STEERING for name in node.input[1:]}
    zero_biases = {
        node.input[2]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and len(node.input) > 2 and _is_int32(model, node.input[2])
    }
    left_out = steering | zero_biases
    return sum(
        _bytes(tensor, bits.get(tensor.name)) for tensor in model.graph.initializer if tensor.name not in left_out
    )


def _is_int32(model: onnx.ModelProto, name: str) -> bool:
    return any(t.name == name and t.data_type == TensorProto.INT32 for t in model.graph.initializer)


def _bytes(tensor: onnx.TensorProto, bits: int | None) -> int:
    elements = int(math.prod(tensor.dims))
    packed = tensor.data_type in (TensorProto.INT4, TensorProto.UINT4)
    if packed or (bits is not None and bits <= _HALF_BYTE):
        return (elements + 1) // 2
    return elements * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
