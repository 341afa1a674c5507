"""What ONNX Runtime really runs: the model after its own optimiser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, numpy_helper

from policypress_runtime.runtimes.onnx_runtime import session_options

INTEGER_KERNELS = ("MatMulInteger", "ConvInteger", "QLinearMatMul", "QLinearConv", "QGemm", "DynamicQuantizeMatMul")


def optimised(model: bytes, folder: Path) -> onnx.ModelProto:
    """The graph as the session executes it."""
    options = session_options()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return onnx.load(options.optimized_model_filepath)


def integer_weights(model: onnx.ModelProto) -> list[str]:
    """Names of 8-bit tensors with more than one axis."""
    kinds = (TensorProto.INT8, TensorProto.UINT8)
    return [t.name for t in model.graph.initializer if t.data_type in kinds and len(t.dims) > 1]


def float_weights(model: onnx.ModelProto) -> list[npt.NDArray[np.float32]]:
    """Every float32 tensor with more than one axis."""
    floats = (t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT and len(t.dims) > 1)
    return [numpy_helper.to_array(tensor) for tensor in floats]


def operators(model: onnx.ModelProto) -> list[str]:
    """Kinds of all nodes, in order."""
    return [node.op_type for node in model.graph.node]
