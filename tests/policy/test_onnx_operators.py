"""Operators of ONNX as the importer reads them: each gives what ONNX Runtime gives, or is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx_models import (
    ANY_ACTION,
    GEMM,
    RANDOM,
    TOLERANCE,
    VECTOR,
    B,
    W,
    bundle_of,
    model_of,
    node,
    observe,
    run_file,
    run_policy,
)

from policypress.policy.importers.from_onnx import from_onnx
from policypress_runtime.contract import box

# What stands between `obs` (n, 6) and `y` (n, 4), the opset, and further constants.
OPERATORS: dict[str, tuple[list[onnx.NodeProto], int, dict[str, Any]]] = {
    "gemm": ([node("Gemm", "obs v b", "y", transB=1, alpha=0.5, beta=2.0)], 9, {"v": W.T.copy()}),
    "matmul": ([node("MatMul", "obs w", "h"), node("Add", "b h", "y")], 13, {}),
    "einsum": ([node("Einsum", "obs w", "y", equation="bi,ij->bj")], 13, {}),
    "elu": ([GEMM, node("Elu", "h", "y", alpha=0.3)], 17, {}),
    "selu": ([GEMM, node("Selu", "h", "y")], 17, {}),
    "selu_other": ([GEMM, node("Selu", "h", "y", alpha=1.2, gamma=0.9)], 17, {}),
    "celu": ([GEMM, node("Celu", "h", "y", alpha=0.5)], 17, {}),
    "leaky_relu": ([GEMM, node("LeakyRelu", "h", "y", alpha=0.2)], 9, {}),
    "prelu": ([GEMM, node("PRelu", "h s", "y")], 17, {"s": np.float32([0.1, 0.2, 0.3, 0.4])}),
    "hard_sigmoid": ([GEMM, node("HardSigmoid", "h", "y", alpha=0.3, beta=0.4)], 17, {}),
    "hard_swish": ([GEMM, node("HardSwish", "h", "y")], 17, {}),
    "gelu": ([GEMM, node("Gelu", "h", "y", approximate="tanh")], 20, {}),
    "mish": ([GEMM, node("Mish", "h", "y")], 18, {}),
    "softsign": ([GEMM, node("Softsign", "h", "y")], 17, {}),
    "clip_attributes": ([GEMM, node("Clip", "h", "y", min=-0.5, max=0.5)], 9, {}),
    "clip": ([GEMM, node("Clip", "h - top", "y")], 17, {"top": np.float32(0.5)}),
    "relu6": ([GEMM, node("Clip", "h low top", "y")], 17, {"low": np.float32(0), "top": np.float32(6)}),
    "pow": ([GEMM, node("Pow", "h two", "y")], 17, {"two": np.float32(2)}),
    "variadic": (
        [GEMM, node("Max", "b h", "p"), node("Min", "h p b", "q"), node("Sum", "p q b", "y")],
        17,
        {},
    ),
    "elementary": (
        [GEMM, node("Abs", "h", "p"), node("Sqrt", "p", "q"), node("Neg", "q", "r"), node("Exp", "r", "y")],
        17,
        {},
    ),
    "division": ([GEMM, node("Sigmoid", "h", "p"), node("Div", "b p", "q"), node("Reciprocal", "q", "y")], 17, {}),
    "batch_norm_old": ([GEMM, node("BatchNormalization", "h b b b v", "y")], 9, {"v": np.abs(B) + 0.5}),
    "batch_norm": ([GEMM, node("BatchNormalization", "h b b b v", "y")], 17, {"v": np.abs(B) + 0.5}),
    "layer_norm": ([GEMM, node("LayerNormalization", "h b b", "y", epsilon=1e-3)], 17, {}),
    "lp_norm": ([GEMM, node("LpNormalization", "h", "y", axis=-1, p=2)], 17, {}),
    "softmax": ([GEMM, node("Softmax", "h", "y")], 17, {}),
    "softmax_old": ([GEMM, node("Softmax", "h", "y", axis=1)], 11, {}),
    "log_softmax": ([GEMM, node("LogSoftmax", "h", "y")], 13, {}),
    "reductions": (
        [
            GEMM,
            node("ReduceMean", "h", "p", axes=[1]),
            node("ReduceL2", "h", "q", axes=[-1]),
            node("ReduceLogSumExp", "h", "r", axes=[1]),
            node("ReduceSum", "h one", "s"),
            node("ReduceMin", "h", "t", axes=[1]),
            node("Concat", "p q r s", "u", axis=1),
            node("Mul", "u t", "y"),
        ],
        17,
        {"one": np.int64([1])},
    ),
    "split_old": ([node("Split", "obs", "p q", axis=1, split=[4, 2]), node("Identity", "p", "y")], 9, {}),
    "split": ([node("Split", "obs sizes", "p q", axis=1), node("Identity", "q", "y")], 13, {"sizes": np.int64([2, 4])}),
    "slice_old": ([node("Slice", "obs", "y", starts=[-4], ends=[1000], axes=[1])], 9, {}),
    "slice": (
        [node("Slice", "obs from to axis step", "p"), node("Gemm", "p v b", "y")],
        17,
        {"from": [5], "to": [-1000], "axis": [1], "step": [-2], "v": W[:3]},
    ),
    "gather": ([node("Gather", "obs order", "y", axis=1)], 17, {"order": np.int64([[-1, 0, 2, 1]])[0]}),
    "gather_one": (
        [node("Gather", "obs one", "p", axis=1), node("Unsqueeze", "p axis", "q"), node("Mul", "q b", "y")],
        17,
        {"one": np.int64(3), "axis": np.int64([1])},
    ),
    "squeeze_old": (
        [GEMM, node("Unsqueeze", "h", "p", axes=[1, 3]), node("Squeeze", "p", "y", axes=[1, 3])],
        11,
        {},
    ),
    "transpose": (
        [
            node("Reshape", "obs shape", "p"),
            node("Transpose", "p", "q", perm=[0, 2, 1]),
            node("Flatten", "q", "r"),
            node("Gemm", "r w b", "y"),
        ],
        13,
        {"shape": np.int64([0, 2, -1])},
    ),
    "batch_of_shape": (
        [
            node("Shape", "obs", "s"),
            node("Gather", "s zero", "n", axis=0),
            node("Unsqueeze", "n axis", "m"),
            node("Concat", "m rest", "target", axis=0),
            node("Reshape", "obs target", "p"),
            node("ReduceMax", "p", "q", axes=[2], keepdims=0),
            node("ConstantOfShape", "target", "zeros"),
            node("ReduceSum", "zeros two", "z", keepdims=0),
            node("Add", "q z", "t"),
            node("Concat", "t t", "y", axis=-1),
        ],
        13,
        {"zero": np.int64(0), "axis": np.int64([0]), "rest": np.int64([2, 3]), "two": np.int64([2])},
    ),
    "expand": (
        [GEMM, node("ReduceSum", "h one", "p"), node("Expand", "p shape", "q"), node("Sub", "q h", "y")],
        13,
        {"one": np.int64([1]), "shape": np.int64([1, 4])},
    ),
    "pad": (
        [node("Pad", "obs pads", "p"), node("Gemm", "p v b", "y")],
        13,
        {"pads": [0, 1, 0, 0], "v": np.vstack([B, W])},
    ),
    "dropout": ([GEMM, node("Dropout", "h", "y mask")], 13, {}),
    "constant": (
        [
            GEMM,
            node("Constant", "", "c", value=numpy_helper.from_array(B)),
            node("Tanh", "c", "d"),
            node("Mul", "d h", "y"),
        ],
        13,
        {},
    ),
    "swish": ([GEMM, node("Sigmoid", "h", "p"), node("Mul", "h p", "y")], 13, {}),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name: str) -> None:
    nodes, opset, constants = OPERATORS[name]
    typed = {key: np.int64(v) if isinstance(v, list) else v for key, v in constants.items()}
    model = model_of(nodes, typed, opset=opset)
    policy = from_onnx(bundle_of(model, VECTOR, ANY_ACTION))
    observation = observe(VECTOR)[""]
    expected, got = run_file(model, observation, "y"), run_policy(policy, {"": observation})
    assert np.all(np.abs(got - expected) <= TOLERANCE * (1 + np.abs(expected)))


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("Conv", {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
        ("Conv", {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        ("Conv", {"auto_pad": "SAME_LOWER"}),
        ("Conv", {"auto_pad": "VALID", "dilations": [2, 1]}),
        ("MaxPool", {"kernel_shape": [2, 3], "strides": [1, 2], "pads": [1, 1, 1, 1]}),
        ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
        ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
        ("GlobalAveragePool", {}),
        ("GlobalMaxPool", {}),
    ],
)
def test_windows(kind: str, attributes: dict[str, Any]) -> None:
    space = box((3, 7, 8), "float32", -np.inf, np.inf)
    kernel = RANDOM.normal(size=(2, 3, 3, 2)).astype(np.float32)
    inputs = "obs k bias" if kind == "Conv" else "obs"
    nodes = [node(kind, inputs, "p", **attributes), node("Flatten", "p", "y")]
    model = model_of(nodes, {"k": kernel, "bias": B[:2]}, shape=("n", 3, 7, 8))
    image = observe(space)[""]
    expected = run_file(model, image, "y")
    actions = box((expected.shape[1],), "float32", -np.inf, np.inf)
    got = run_policy(from_onnx(bundle_of(model, space, actions)), {"": image})
    assert np.all(np.abs(got - expected) <= TOLERANCE * (1 + np.abs(expected)))
