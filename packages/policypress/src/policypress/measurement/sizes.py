"""How much memory an artifact's numbers take: the file, and packed as a device would hold them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from policypress_runtime import contract_schema
from policypress_runtime.contract import INTEGER_BITS_KEY

# Shapes, axes and bounds of slices steer the graph; a device compiles them in and stores nothing.
_STEERING = frozenset({"Reshape", "Slice", "Gather", "ReduceMean", "Squeeze", "Unsqueeze"})


# What a device keeps integers in: two of them to a byte, or one.
_HALF_BYTE = 4
# Share of a bias's scale that rounding the product of two float32 scales may make.
_ROUNDING = 1e-6


def integer_bits(model: onnx.ModelProto) -> dict[str, int]:
    """Bits of every weight that is stored in integers of one byte or less, by its initializer.

    They are what the metadata say, or else those of the type.
    """
    stated = next((entry.value for entry in model.metadata_props if entry.key == INTEGER_BITS_KEY), "{}")
    narrow = contract_schema.parsed(stated)
    types = {TensorProto.INT8: 8, TensorProto.UINT8: 8, TensorProto.INT4: 4, TensorProto.UINT4: 4}
    return {
        tensor.name: _width(narrow.get(tensor.name, types[tensor.data_type]), types[tensor.data_type])
        for tensor in model.graph.initializer
        if tensor.data_type in types and len(tensor.dims) > 1
    }


def _width(bits: object, most: int) -> int:
    return contract_schema.integer(bits, INTEGER_BITS_KEY, 1, most)


def packed_bytes(model: onnx.ModelProto) -> int:
    """Bytes of weights, biases, scales, zero points and normaliser, without names, structure or steering integers.

    Weights of 4 bits or fewer take half a byte each, whatever the file holds them in. What is known without being
    stored takes nothing: the scale of an int32 bias, where it is its layer's input scale times its weight scale, and
    zero points of constants, where all are 0. So each output of an integer layer takes its weights, 4 bytes of bias
    and 4 of scale; generated C stores the same, with the multiplier of the integer sum in the scale's place.
    """
    bits = integer_bits(model)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    read = {name for node in model.graph.node for name in node.input}
    stored = {name for node in model.graph.node for name in _stored(node, model.graph, tensors)} | (set(tensors) - read)
    return sum(_bytes(tensor, bits.get(name)) for name, tensor in tensors.items() if name in stored)


def _stored(node: NodeProto, graph: onnx.GraphProto, tensors: Mapping[str, TensorProto]) -> Iterator[str]:
    """Inputs of ``node`` that have to be stored for its sake, if they are initializers."""
    if node.op_type in _STEERING:
        yield node.input[0]
    elif node.op_type == "DequantizeLinear" and node.input[0] in tensors:
        yield node.input[0]
        if not _is_product(node, graph, tensors):
            yield node.input[1]
        yield from (name for name in node.input[2:] if name in tensors and numpy_helper.to_array(tensors[name]).any())
    else:
        yield from node.input


def _is_product(node: NodeProto, graph: onnx.GraphProto, tensors: Mapping[str, TensorProto]) -> bool:
    """Whether ``node`` dequantizes biases whose scale is that of their layer's input times that of its weight."""
    readers = [reader for reader in graph.node if node.output[0] in reader.input]
    made_by = {name: maker for maker in graph.node for name in maker.output}
    for reader in readers:
        if reader.op_type not in ("Gemm", "Conv") or list(reader.input).index(node.output[0]) != 2:
            return False
        makers = [made_by.get(name) for name in reader.input[:2]]
        scales = [tensors.get(maker.input[1]) for maker in makers if maker and maker.op_type == "DequantizeLinear"]
        factors = [numpy_helper.to_array(scale) for scale in scales if scale is not None]
        if len(factors) != 2 or factors[0].size != 1:
            return False
        own, product = numpy_helper.to_array(tensors[node.input[1]]).reshape(-1), (factors[0] * factors[1]).reshape(-1)
        if own.shape != product.shape or not np.allclose(own, product, rtol=_ROUNDING, atol=0.0):
            return False
    return bool(readers)


def _bytes(tensor: onnx.TensorProto, bits: int | None) -> int:
    elements = int(math.prod(tensor.dims))
    packed = tensor.data_type in (TensorProto.INT4, TensorProto.UINT4)
    if packed or (bits is not None and bits <= _HALF_BYTE):
        return (elements + 1) // 2
    return elements * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
