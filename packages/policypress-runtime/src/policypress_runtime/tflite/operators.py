"""Float operators of ONNX that LiteRT has under another name, or that a few of its own make up.

Every function takes the converter and a node and gives the node's value. What is compared and cast, joined and cut
stands in ``shapes``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import onnx

from policypress_runtime.onnx_files.node import attributes_of

if TYPE_CHECKING:
    from policypress_runtime.tflite.graph import Graph, Value

Operator = Callable[["Graph", onnx.NodeProto], "Value"]
# One operator of LiteRT for one of ONNX.
NAMES = {
    "Tanh": "TANH",
    "Sigmoid": "LOGISTIC",
    "HardSwish": "HARD_SWISH",
    "Exp": "EXP",
    "Log": "LOG",
    "Sin": "SIN",
    "Cos": "COS",
    "Abs": "ABS",
    "Sqrt": "SQRT",
    "Round": "ROUND",
}
_SELU_ALPHA, _SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875


def simple(file: Graph, node: onnx.NodeProto) -> Value:
    """An operator that LiteRT has as it is."""
    return file.apply(NAMES[node.op_type], file.real(file.given(node)))


def softplus(file: Graph, node: onnx.NodeProto) -> Value:
    """max(x, 0) + log(1 + exp(-|x|)), which overflows nowhere."""
    x = file.real(file.given(node))
    small = file.apply("EXP", file.apply("NEG", file.apply("ABS", x)))
    return file.pair("ADD", file.apply("RELU", x), file.apply("LOG", file.pair("ADD", small, 1.0)))


def softsign(file: Graph, node: onnx.NodeProto) -> Value:
    """x / (1 + |x|)."""
    x = file.real(file.given(node))
    return file.pair("DIV", x, file.pair("ADD", file.apply("ABS", x), 1.0))


def reciprocal(file: Graph, node: onnx.NodeProto) -> Value:
    """1 / x, as x⁻¹ has no operator: x / x²."""
    x = file.real(file.given(node))
    return file.pair("DIV", x, file.pair("MUL", x, x))


def exponential(file: Graph, node: onnx.NodeProto) -> Value:
    """Elu, Celu and Selu: x above 0, and below it α·(exp(x / β) - 1); LiteRT's own has α = β = 1."""
    found, x = attributes_of(node), file.real(file.given(node))
    alpha = float(found.get("alpha", _SELU_ALPHA if node.op_type == "Selu" else 1.0))
    beta = alpha if node.op_type == "Celu" else 1.0
    if alpha == 1.0 and node.op_type != "Selu":
        return file.apply("ELU", x)
    below = file.pair("MINIMUM", x, 0.0)
    if beta != 1.0:
        below = file.pair("MUL", below, 1.0 / beta)
    value = file.pair("ADD", file.apply("RELU", x), file.pair("MUL", file.apply("ELU", below), alpha))
    gamma = float(found.get("gamma", _SELU_GAMMA))
    return file.pair("MUL", value, gamma) if node.op_type == "Selu" else value


def leaky_relu(file: Graph, node: onnx.NodeProto) -> Value:
    """LeakyRelu; PRelu too, where its slope is constant."""
    x = file.real(file.given(node))
    slope: float | np.ndarray = float(attributes_of(node).get("alpha", 0.01))
    if node.op_type == "PRelu":
        slope = file.constants[node.input[1]].astype(np.float32)
    return file.pair("ADD", file.apply("RELU", x), file.pair("MUL", file.pair("MINIMUM", x, 0.0), slope))


def hard_sigmoid(file: Graph, node: onnx.NodeProto) -> Value:
    """αx + β, within 0 and 1."""
    found = attributes_of(node)
    value = file.pair("MUL", file.real(file.given(node)), float(found.get("alpha", 0.2)))
    value = file.pair("ADD", value, float(found.get("beta", 0.5)))
    return file.pair("MINIMUM", file.pair("MAXIMUM", value, 0.0), 1.0)


# Abramowitz and Stegun 7.1.26: |error| ≤ 1.5e-7, below what a float of this size resolves.
_ERF_P = 0.3275911
_ERF = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


def erf(file: Graph, node: onnx.NodeProto) -> Value:
    """The error function, which LiteRT has only inside its GELU: sign(x)·(1 - t·(a1 + t·(…))·exp(-x²))."""
    x = file.real(file.given(node))
    size = file.apply("ABS", x)
    t = file.pair("ADD", file.pair("MUL", size, _ERF_P), 1.0)
    t = reciprocal_of(file, t)
    value = file.pair("MUL", t, _ERF[0])
    for number in _ERF[1:]:
        value = file.pair("MUL", file.pair("ADD", value, number), t)
    fall = file.apply("EXP", file.apply("NEG", file.pair("MUL", x, x)))
    rest = file.pair("MUL", file.pair("ADD", file.pair("MUL", value, fall), -1.0), -1.0)
    return file.pair("MUL", file.apply("SIGN", x), rest)


def reciprocal_of(file: Graph, x: Value) -> Value:
    """1 / x for a value."""
    return file.pair("DIV", x, file.pair("MUL", x, x))


def softmax(file: Graph, node: onnx.NodeProto) -> Value:
    """Softmax over the last axis of a vector."""
    x = file.real(file.given(node))
    if len(x.shape) != 1:
        raise file.refused(node, "its input is no vector")
    return file.apply("SOFTMAX", x, "SoftmaxOptions", beta=1.0)


def layer_norm(file: Graph, node: onnx.NodeProto) -> Value:
    """(x - mean) / sqrt(variance + ε) · weight + bias over a vector."""
    x = file.real(file.given(node))
    if len(x.shape) != 1:
        raise file.refused(node, "its input is no vector")
    centred = file.pair("SUB", x, file.mean(x))
    variance = file.mean(file.pair("MUL", centred, centred))
    epsilon = float(attributes_of(node).get("epsilon", 1e-5))
    value = file.pair("MUL", centred, file.apply("RSQRT", file.pair("ADD", variance, epsilon)))
    value = file.pair("MUL", value, file.constants[node.input[1]])
    return file.pair("ADD", value, file.constants[node.input[2]]) if len(node.input) > 2 else value


OPERATORS: dict[str, Operator] = {
    **dict.fromkeys(NAMES, simple),
    **dict.fromkeys(("Elu", "Celu", "Selu"), exponential),
    **dict.fromkeys(("LeakyRelu", "PRelu"), leaky_relu),
    "Softplus": softplus,
    "Softsign": softsign,
    "Reciprocal": reciprocal,
    "HardSigmoid": hard_sigmoid,
    "Erf": erf,
    "Softmax": softmax,
    "LayerNormalization": layer_norm,
}
"""By ONNX's names."""
