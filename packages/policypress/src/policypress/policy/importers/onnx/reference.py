"""onnx's reference evaluator: of whole networks after training, and of single nodes whose operands are known."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
import onnx.shape_inference
import torch
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx.reference.ops import load_op
from torch import Tensor

from policypress.policy.importers.assembly import Refused
from policypress_runtime.errors import NetworkError
from policypress_runtime.onnx_files.node import opset_of

Array = npt.NDArray[np.float32]
# From this opset on the node itself says whether it trains; the evaluator takes older ones to be training.
FIRST_WITH_TRAINING_MODE = 14
# Constants of an honest network stand in its file; one that grows beyond this was made to exhaust the memory.
LARGEST_CONSTANT = 2**24
LARGEST_CONSTANTS_BYTES = 256 * 1024**2
# Products of constants: more multiplications than these take minutes, which no export leaves to its reader.
MOST_PRODUCTS = 2**34
_PRODUCTS = {"MatMul", "Gemm", "Einsum", "Conv", "ConvTranspose", "MatMulInteger", "ConvInteger", "LSTM", "GRU", "RNN"}
# Their results are no larger than their operands, whatever inference makes of them.
_NOT_INFERRED = {"NonZero", "Compress", "Unique"}
# Far beyond the range of every integer that is quantized to, and within int32.
MOST_STEPS = np.float32(2**30)


class BatchNormalization(OpRun):
    """Batch normalisation with the statistics it was given."""

    op_domain = ""

    def _run(
        self, x: Array, scale: Array, bias: Array, mean: Array, var: Array, epsilon: Any = 1e-5, **_: Any
    ) -> tuple[Array]:
        shape = (-1, *[1] * (x.ndim - 2))
        scale, bias, mean, var = (values.reshape(shape) for values in (scale, bias, mean, var))
        result: Array = scale * (x - mean) / np.sqrt(var + epsilon) + bias
        return (result.astype(x.dtype),)


def _saturating(opset: int) -> type[OpRun]:
    """QuantizeLinear that saturates before it rounds to int32, where the evaluator's own overflows."""
    own: Any = load_op("", "QuantizeLinear", opset)
    # A replaced operator is given the attributes of the newest opset.
    known = inspect.signature(own._run).parameters

    def run(self: Any, x: Array, scale: Array, *rest: Any, **named: Any) -> tuple[Any]:
        # The smallest of several scales: the limit is beyond every integer all the same.
        limit = MOST_STEPS * np.min(scale)
        given = {name: value for name, value in named.items() if name in known}
        result: tuple[Any] = own._run(self, np.clip(x, -limit, limit), scale, *rest, **given)
        return result

    return type("QuantizeLinear", (own,), {"op_domain": "", "_run": run})


def _rectifying(opset: int) -> type[OpRun]:
    """RNN with the activation Relu too, which the evaluator's own lacks."""
    own: Any = load_op("", "RNN", opset)

    def choose_act(self: Any, name: Any, alpha: Any, beta: Any) -> Any:
        if str(name).lower() == "relu":
            return lambda x: np.maximum(x, 0)
        return own.choose_act(self, name, alpha, beta)

    return type("RNN", (own,), {"op_domain": "", "choose_act": choose_act})


def evaluator(model: onnx.ModelProto) -> ReferenceEvaluator:
    """Evaluator of ``model`` as it acts after training."""
    opset = opset_of(model)
    replaced: list[type[OpRun]] = [BatchNormalization] if opset < FIRST_WITH_TRAINING_MODE else []
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        replaced.append(_saturating(opset))
    if any(node.op_type == "RNN" for node in model.graph.node):
        replaced.append(_rectifying(opset))
    return ReferenceEvaluator(model, new_ops=replaced)


def compute(node: onnx.NodeProto, operands: Mapping[str, npt.NDArray[Any]], opset: int) -> list[npt.NDArray[Any]]:
    """Outputs of one node with constant operands.

    Raises:
        Refused: it holds a graph of its own (a loop, a condition), or its result would be huge.
    """
    if any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in node.attribute):
        raise Refused("control flow")
    if node.op_type in _PRODUCTS and math.prod(sorted(v.size for v in operands.values())[-2:]) > MOST_PRODUCTS:
        raise Refused("a product of constants that are too large")
    graph = helper.make_graph(
        [node],
        "constant",
        [helper.make_tensor_value_info(n, _type(v), v.shape) for n, v in operands.items()],
        [helper.make_tensor_value_info(n, onnx.TensorProto.UNDEFINED, None) for n in node.output if n],
        # The values too, so that shapes which depend on them can be told before anything is computed.
        [numpy_helper.from_array(np.ascontiguousarray(v).reshape(v.shape), n) for n, v in operands.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        for value in inferred.graph.output:
            sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            if math.prod(sizes) > LARGEST_CONSTANT:
                raise Refused(f"a constant of shape {sizes}")
            kind = value.type.tensor_type
            known = kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim)
            if not known and node.op_type not in _NOT_INFERRED:
                raise Refused("a constant whose size cannot be told before it is computed")
        return [np.asarray(v) for v in cast(list[Any], ReferenceEvaluator(model).run(None, dict(operands)))]
    except (onnx.shape_inference.InferenceError, NotImplementedError, RuntimeError, ValueError, TypeError) as error:
        raise Refused(f"it cannot be computed: {error}") from error


def constant_of(values: npt.NDArray[Any]) -> Tensor:
    """A constant as a tensor; bfloat16 as the same numbers in float32.

    Raises:
        NetworkError: its elements are no numbers that torch has.
    """
    array = np.array(values)
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    try:
        return torch.from_numpy(array)
    except TypeError as error:
        raise NetworkError(
            "The ONNX file holds constants of a type that is not supported.",
            got=str(array.dtype)[:80],
            expected="float32, float64, float16, bfloat16, integers or truth values",
            hint="Export the network in float32.",
        ) from error


def _type(values: npt.NDArray[Any]) -> int:
    return int(helper.np_dtype_to_tensor_dtype(values.dtype))
