"""How each layer of a policy is written to ONNX: one function per layer class."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from onnx import TensorProto
from torch import Tensor, nn

from policypress.policy import layers
from policypress.policy.quantization import LayerQuant
from policypress.writers.onnx_graph import OnnxGraph
from policypress_runtime.errors import NetworkError

Writer = Callable[[OnnxGraph, Any, list[str], str], None]
WRITERS: dict[type[nn.Module], Writer] = {}
W = TypeVar("W", bound=Writer)


def writes(kind: type[nn.Module]) -> Callable[[W], W]:
    """Register the writer of a layer class: ``writer(graph, layer, inputs, output_name)``."""

    def register(writer: W) -> W:
        WRITERS[kind] = writer
        return writer

    return register


def write_layer(graph: OnnxGraph, layer: nn.Module, inputs: list[str], out: str) -> None:
    """Write one layer.

    Raises:
        NetworkError: no writer is registered for its class.
    """
    writer = WRITERS.get(type(layer))
    if writer is None:
        raise NetworkError(
            "A layer cannot be written to ONNX.",
            got=type(layer).__name__,
            expected=", ".join(sorted(kind.__name__ for kind in WRITERS)),
        )
    writer(graph, layer, inputs, out)


def _rounder(g: OnnxGraph, quant: LayerQuant) -> Callable[..., str]:
    """QuantizeLinear pairs around integer weights, float rounding around float weights."""
    return g.rounding if quant.weight is None else g.activation


@writes(layers.Linear)
def _linear(g: OnnxGraph, layer: layers.Linear, inputs: list[str], out: str) -> None:
    q = layer.quant
    rounded = _rounder(g, q)
    operands = [rounded(inputs[0], q.input), g.parameter(layer.weight, q.weight, f"{out}.weight")]
    if layer.bias is not None:
        operands.append(g.parameter(layer.bias, q.bias, f"{out}.bias"))
    value = g.op("Gemm", operands, out if q.output is None else None, transB=1)
    if q.output is not None:
        rounded(value, q.output, out)


@writes(layers.Conv2d)
def _conv2d(g: OnnxGraph, layer: layers.Conv2d, inputs: list[str], out: str) -> None:
    q = layer.quant
    rounded = _rounder(g, q)
    operands = [rounded(inputs[0], q.input), g.parameter(layer.weight, q.weight, f"{out}.weight")]
    if layer.bias is not None:
        operands.append(g.parameter(layer.bias, q.bias, f"{out}.bias"))
    padding = cast(tuple[int, int], layer.padding)
    value = g.op(
        "Conv",
        operands,
        out if q.output is None else None,
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.stride),
        dilations=list(layer.dilation),
        group=layer.groups,
        pads=[*padding, *padding],
    )
    if q.output is not None:
        rounded(value, q.output, out)


SIMPLE = {
    "relu": "Relu",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "hardswish": "HardSwish",
    "identity": "Identity",
    **{name: name.capitalize() for name in ("exp", "log", "sin", "cos", "abs", "sqrt", "reciprocal", "erf")},
}


@writes(layers.Activation)
def _activation(g: OnnxGraph, layer: layers.Activation, inputs: list[str], out: str) -> None:
    target = out if layer.quant.output is None else None
    value = _activate(g, layer.name, layer.parameters_by_name, inputs[0], target)
    if layer.quant.output is not None:
        g.activation(value, layer.quant.output, out)


def _activate(g: OnnxGraph, name: str, p: dict[str, float], x: str, out: str | None) -> str:
    if name in SIMPLE:
        return g.op(SIMPLE[name], [x], out)
    if name == "silu":
        return g.op("Mul", [x, g.op("Sigmoid", [x])], out)
    if name == "mish":
        return g.op("Mul", [x, g.op("Tanh", [g.op("Softplus", [x])])], out)
    if name == "gelu":
        inner = g.op("Erf", [g.op("Mul", [x, g.scalar(float(np.sqrt(0.5)))])])
        return _half_times_one_plus(g, x, inner, out)
    if name == "gelu_tanh":
        cubed = g.op("Mul", [g.op("Mul", [g.op("Mul", [x, x]), x]), g.scalar(0.044715)])
        inner = g.op("Mul", [g.op("Add", [x, cubed]), g.scalar(float(np.sqrt(2 / np.pi)))])
        return _half_times_one_plus(g, x, g.op("Tanh", [inner]), out)
    if name in ("hardtanh", "relu6"):
        low, high = (0.0, 6.0) if name == "relu6" else (p["min_val"], p["max_val"])
        return g.op("Clip", [x, g.scalar(low), g.scalar(high)], out)
    attributes: dict[str, tuple[str, dict[str, Any]]] = {
        "elu": ("Elu", {"alpha": p.get("alpha")}),
        "celu": ("Celu", {"alpha": p.get("alpha")}),
        "selu": ("Selu", {}),
        "leaky_relu": ("LeakyRelu", {"alpha": p.get("negative_slope")}),
        "hardsigmoid": ("HardSigmoid", {"alpha": 1.0 / 6.0, "beta": 0.5}),
    }
    kind, values = attributes[name]
    return g.op(kind, [x], out, **values)


def _half_times_one_plus(g: OnnxGraph, x: str, inner: str, out: str | None) -> str:
    half = g.op("Mul", [x, g.scalar(0.5)])
    return g.op("Mul", [half, g.op("Add", [inner, g.scalar(1.0)])], out)


@writes(layers.PRelu)
def _prelu(g: OnnxGraph, layer: layers.PRelu, inputs: list[str], out: str) -> None:
    g.op("PRelu", [inputs[0], g.constant(layer.slope, f"{out}.slope")], out)


@writes(layers.Normalise)
def _normalise(g: OnnxGraph, layer: layers.Normalise, inputs: list[str], out: str) -> None:
    high, low = cast(Tensor, layer.mean_high), cast(Tensor, layer.mean_low)
    value = g.op("Sub", [inputs[0], g.constant(high, "normaliser.mean")])
    if bool((low * cast(Tensor, layer.inverse_std)).abs().max() > 0):
        value = g.op("Sub", [value, g.constant(low, "normaliser.mean_low")])
    scale = g.constant(cast(Tensor, layer.inverse_std), "normaliser.inverse_std")
    if math.isinf(layer.clip):
        g.op("Mul", [value, scale], out)
        return
    value = g.op("Mul", [value, scale])
    g.op("Clip", [value, g.scalar(-layer.clip), g.scalar(layer.clip)], out)


@writes(layers.Affine)
def _affine(g: OnnxGraph, layer: layers.Affine, inputs: list[str], out: str) -> None:
    value = inputs[0]
    scale = cast(Tensor | None, layer.scale)
    shift = cast(Tensor | None, layer.shift)
    if scale is None and shift is None:
        g.op("Identity", [value], out)
    if scale is not None:
        value = g.op("Mul", [value, g.constant(scale, f"{out}.scale")], out if shift is None else None)
    if shift is not None:
        g.op("Add", [value, g.constant(shift, f"{out}.shift")], out)


@writes(layers.Unscale)
def _unscale(g: OnnxGraph, layer: layers.Unscale, inputs: list[str], out: str) -> None:
    value = g.op("Mul", [g.op("Add", [inputs[0], g.scalar(1.0)]), g.scalar(0.5)])
    value = g.op("Mul", [value, g.constant(cast(Tensor, layer.span), "action.span")])
    g.op("Add", [value, g.constant(cast(Tensor, layer.low), "action.low")], out)


@writes(layers.Clip)
def _clip(g: OnnxGraph, layer: layers.Clip, inputs: list[str], out: str) -> None:
    low, high = cast(Tensor, layer.low), cast(Tensor, layer.high)
    if low.numel() == 1 or (bool((low == low.flatten()[0]).all()) and bool((high == high.flatten()[0]).all())):
        limits = [g.scalar(float(low.flatten()[0]), "action.low"), g.scalar(float(high.flatten()[0]), "action.high")]
        g.op("Clip", [inputs[0], *limits], out)
        return
    value = g.op("Max", [inputs[0], g.constant(low, "action.low")])
    g.op("Min", [value, g.constant(high, "action.high")], out)


@writes(layers.ToFloat)
def _to_float(g: OnnxGraph, layer: layers.ToFloat, inputs: list[str], out: str) -> None:
    g.op("Cast", inputs, out, to=TensorProto.FLOAT)


@writes(layers.OneHot)
def _one_hot(g: OnnxGraph, layer: layers.OneHot, inputs: list[str], out: str) -> None:
    shape = g.constant(np.array([-1, len(layer.counts)], dtype=np.int64), "one_hot.shape")
    spread = g.op("Reshape", [inputs[0], shape])
    if len(layer.counts) > 1:
        columns = g.constant(cast(Tensor, layer.columns), "one_hot.columns")
        spread = g.op("Gather", [spread, columns], axis=1)
    equal = g.op("Equal", [spread, g.constant(cast(Tensor, layer.values), "one_hot.values")])
    g.op("Cast", [equal], out, to=TensorProto.FLOAT)


@writes(layers.Flatten)
def _flatten(g: OnnxGraph, layer: layers.Flatten, inputs: list[str], out: str) -> None:
    g.op("Flatten", inputs, out, axis=1)


@writes(layers.Reshape)
def _reshape(g: OnnxGraph, layer: layers.Reshape, inputs: list[str], out: str) -> None:
    shape = g.constant(np.array([-1, *layer.shape], dtype=np.int64), "shape")
    g.op("Reshape", [inputs[0], shape], out)


@writes(layers.Transpose)
def _transpose(g: OnnxGraph, layer: layers.Transpose, inputs: list[str], out: str) -> None:
    g.op("Transpose", inputs, out, perm=list(layer.order))


@writes(layers.Concat)
def _concat(g: OnnxGraph, layer: layers.Concat, inputs: list[str], out: str) -> None:
    g.op("Concat", inputs, out, axis=layer.axis)


@writes(layers.Slice)
def _slice(g: OnnxGraph, layer: layers.Slice, inputs: list[str], out: str) -> None:
    bounds = [g.constant(np.array([v], dtype=np.int64), "slice") for v in (layer.start, layer.stop, layer.axis)]
    g.op("Slice", [inputs[0], *bounds], out)


@writes(layers.Binary)
def _binary(g: OnnxGraph, layer: layers.Binary, inputs: list[str], out: str) -> None:
    g.op(layer.operation.capitalize(), inputs, out)


@writes(layers.LayerNorm)
def _layer_norm(g: OnnxGraph, layer: layers.LayerNorm, inputs: list[str], out: str) -> None:
    operands = [inputs[0], g.constant(layer.weight, f"{out}.weight")]
    if layer.bias is not None:
        operands.append(g.constant(layer.bias, f"{out}.bias"))
    g.op("LayerNormalization", operands, out, axis=-len(layer.normalized_shape), epsilon=layer.eps)


@writes(layers.Pool2d)
def _pool2d(g: OnnxGraph, layer: layers.Pool2d, inputs: list[str], out: str) -> None:
    kind = "MaxPool" if layer.kind == "max" else "AveragePool"
    padding = [*layer.padding, *layer.padding]
    g.op(kind, inputs, out, kernel_shape=list(layer.kernel), strides=list(layer.stride), pads=padding)


@writes(layers.Mean)
def _mean(g: OnnxGraph, layer: layers.Mean, inputs: list[str], out: str) -> None:
    axes = g.constant(np.array(layer.axes, dtype=np.int64), "axes")
    g.op("ReduceMean", [inputs[0], axes], out, keepdims=int(layer.keep))


@writes(layers.Softmax)
def _softmax(g: OnnxGraph, layer: layers.Softmax, inputs: list[str], out: str) -> None:
    g.op("Softmax", inputs, out, axis=layer.axis)


@writes(layers.ArgMax)
def _argmax(g: OnnxGraph, layer: layers.ArgMax, inputs: list[str], out: str) -> None:
    parts: list[str] = []
    position = 0
    for count in layer.counts:
        part = inputs[0]
        if len(layer.counts) > 1:
            part = g.fresh("scores")
            _slice(g, layers.Slice(1, position, position + count), inputs, part)
        position += count
        parts.append(g.op("ArgMax", [part], axis=1, keepdims=int(not layer.single)))
    best = parts[0] if len(parts) == 1 else g.op("Concat", parts, axis=1)
    if layer.start:
        g.op("Add", [best, g.constant(np.array(layer.start, dtype=np.int64), "action.start")], out)
    else:
        g.op("Identity", [best], out)


@writes(layers.Threshold)
def _threshold(g: OnnxGraph, layer: layers.Threshold, inputs: list[str], out: str) -> None:
    g.op("Cast", [g.op("Greater", [inputs[0], g.scalar(0.0)])], out, to=TensorProto.INT8)
