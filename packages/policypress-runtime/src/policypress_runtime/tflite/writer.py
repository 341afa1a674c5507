"""An artifact as a LiteRT (TensorFlow Lite) file, to compare runtimes with.

``python -m policypress_runtime.tflite.writer`` writes one. Chains of dense layers, convolutions and what stands around
them, from one input: the networks that are compared.
Integer layers become integer layers with the same scales, where an integer follows; LiteRT's integers are signed, so
zero points move by 128. A last layer whose output is float is computed in float, from the same values. Images lie
channel-last in LiteRT; the columns of the first layer behind the last convolution are reordered for it.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from policypress_runtime.atomic_write import write_atomic
from policypress_runtime.errors import ArtifactError, NetworkError, PolicypressError
from policypress_runtime.onnx_files.node import attributes_of
from policypress_runtime.tflite.file import LiteRtFile

Array = npt.NDArray[Any]
_SIGNED = 128
_OUTPUTS = ("action", "scores")


@dataclass(frozen=True)
class Quantized:
    """Scale and zero point of an unsigned 8-bit tensor in ONNX."""

    scale: float
    zero: int


@dataclass(frozen=True)
class Pending:
    """An integer layer that is not written yet: what follows decides its output."""

    node: onnx.NodeProto
    x: Value
    weight: Array
    weight_scale: Array
    bias: Array
    relu: bool = False


@dataclass(frozen=True)
class Value:
    """A value of the graph: its tensor in the file, and its shape as ONNX has it, without the batch.

    ``quantized`` where the tensor holds integers; ``image`` is the (channels, height, width) of a value that lies
    channel-last, and stays set where such a value has been flattened; ``pending`` in place of a tensor.
    """

    tensor: int
    shape: tuple[int, ...]
    dtype: str = "float32"
    quantized: Quantized | None = None
    image: tuple[int, int, int] | None = None
    pending: Pending | None = None


def to_tflite(content: bytes) -> bytes:
    """The artifact ``content`` (ONNX) as a LiteRT file.

    Raises:
        NetworkError: an operator, or a form of it, outside the networks that are compared.
        MissingDependencyError: ai-edge-litert is not installed.
    """
    return _Converter(onnx.load_model_from_string(content)).convert()


class _Converter:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.file = LiteRtFile()
        self.format = self.file.format
        self.graph = model.graph
        self.constants = {t.name: np.asarray(numpy_helper.to_array(t)) for t in self.graph.initializer}
        self.scaled: dict[str, tuple[Array, Array]] = {}
        self.values: dict[str, Value] = {}

    def convert(self) -> bytes:
        inputs = [value for value in self.graph.input if value.name not in self.constants]
        if len(inputs) != 1:
            raise NetworkError("LiteRT files are written for one input.", got=", ".join(v.name for v in inputs))
        for value in inputs:
            dtype = str(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
            shape = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)[1:]
            self.values[value.name] = Value(self.file.tensor(value.name, dtype, shape), shape, dtype)
        for node in self.graph.node:
            self.values[node.output[0]] = self.node(node)
        names = [name for name in _OUTPUTS if name in {v.name for v in self.graph.output}]
        results = [self.real(self.values[name]).tensor for name in names]
        for name, tensor in zip(names, results, strict=True):
            self.file.tensors[tensor].name = name
        return self.file.content([self.values[inputs[0].name].tensor], results)

    def result(self, name: str, like: Value, dtype: str = "float32", shape: tuple[int, ...] | None = None) -> Value:
        """A new float tensor laid out as ``like``."""
        real = like.shape if shape is None else shape
        channels = like.image if shape is None else None
        laid = (channels[1], channels[2], channels[0]) if channels is not None and len(real) == 3 else real
        return Value(self.file.tensor(name, dtype, laid), real, dtype, None, like.image if shape is None else None)

    def node(self, node: onnx.NodeProto) -> Value:
        handler = getattr(self, f"on_{node.op_type.lower()}", None)
        if handler is None:
            raise self.refused(node, "nothing in the conversion does what it does")
        value: Value = handler(node)
        return value

    def refused(self, node: onnx.NodeProto, why: str) -> NetworkError:
        return NetworkError("No LiteRT form of this network.", got=f"{node.op_type} ({node.output[0]}): {why}")

    def given(self, node: onnx.NodeProto, index: int = 0) -> Value:
        name = node.input[index]
        if name not in self.values:
            raise self.refused(node, f"its input {name!r} is no value of the graph")
        return self.values[name]

    def real(self, value: Value) -> Value:
        """``value`` in float."""
        if value.pending is not None:
            return self.float_layer(value.pending)
        if value.quantized is None:
            return value
        result = self.result(f"real_{len(self.file.tensors)}", replace(value, quantized=None))
        self.file.emit("DEQUANTIZE", [value.tensor], [result.tensor], "DequantizeOptions")
        return result

    def on_identity(self, node: onnx.NodeProto) -> Value:
        return self.given(node)

    def on_cast(self, node: onnx.NodeProto) -> Value:
        value = self.given(node)
        if value.dtype == "float32":
            return value
        result = self.result(node.output[0], value)
        self.file.emit("CAST", [value.tensor], [result.tensor], "CastOptions")
        return result

    def binary(self, node: onnx.NodeProto, kind: str, options: str) -> Value:
        value, other = self.real(self.given(node)), self.constants.get(node.input[1])
        if other is None or other.dtype != np.float32 or (value.image and other.size > 1):
            raise self.refused(node, "its second operand is no constant that can be laid out")
        result = self.result(node.output[0], value)
        self.file.emit(kind, [value.tensor, self.file.constant(other)], [result.tensor], options)
        return result

    def on_mul(self, node: onnx.NodeProto) -> Value:
        return self.binary(node, "MUL", "MulOptions")

    def on_add(self, node: onnx.NodeProto) -> Value:
        return self.binary(node, "ADD", "AddOptions")

    def on_sub(self, node: onnx.NodeProto) -> Value:
        return self.binary(node, "SUB", "SubOptions")

    def on_div(self, node: onnx.NodeProto) -> Value:
        return self.binary(node, "DIV", "DivOptions")

    def on_clip(self, node: onnx.NodeProto) -> Value:
        value = self.real(self.given(node))
        for name, kind in zip(node.input[1:], ("MAXIMUM", "MINIMUM"), strict=False):
            if name:
                result = self.result(f"{node.output[0]}_{kind}", value)
                limits = [value.tensor, self.file.constant(self.constants[name])]
                self.file.emit(kind, limits, [result.tensor], "MaximumMinimumOptions")
                value = result
        return value

    def on_relu(self, node: onnx.NodeProto) -> Value:
        value = self.given(node)
        if value.pending is not None:
            return replace(value, pending=replace(value.pending, relu=True))
        value = self.real(value)
        last = self.file.operators[-1]
        if last.outputs == [value.tensor] and hasattr(last.builtinOptions, "fusedActivationFunction"):
            last.builtinOptions.fusedActivationFunction = self.format.ActivationFunctionType.RELU
            return value
        return self.unary(node, "RELU")

    def unary(self, node: onnx.NodeProto, kind: str) -> Value:
        value = self.real(self.given(node))
        result = self.result(node.output[0], value)
        self.file.emit(kind, [value.tensor], [result.tensor])
        return result

    def on_tanh(self, node: onnx.NodeProto) -> Value:
        return self.unary(node, "TANH")

    def on_sigmoid(self, node: onnx.NodeProto) -> Value:
        return self.unary(node, "LOGISTIC")

    def on_elu(self, node: onnx.NodeProto) -> Value:
        return self.unary(node, "ELU")

    def on_flatten(self, node: onnx.NodeProto) -> Value:
        value = self.real(self.given(node))
        shape = (int(np.prod(value.shape)),)
        result = replace(self.result(node.output[0], value, shape=shape), image=value.image)
        target = self.file.constant(np.array([-1, *shape], np.int32))
        self.file.emit("RESHAPE", [value.tensor, target], [result.tensor], "ReshapeOptions", newShape=[-1, *shape])
        return result

    def on_argmax(self, node: onnx.NodeProto) -> Value:
        value = self.real(self.given(node))
        if len(value.shape) != 1:
            raise self.refused(node, "its input is no vector")
        result = Value(self.file.tensor(node.output[0], "int64", ()), (), "int64")
        axis = self.file.constant(np.array([-1], np.int32))
        kind = self.format.TensorType.INT64
        self.file.emit("ARG_MAX", [value.tensor, axis], [result.tensor], "ArgMaxOptions", outputType=kind)
        return result

    def on_quantizelinear(self, node: onnx.NodeProto) -> Value:
        value, scale, zero = self.given(node), self.constants[node.input[1]], self.constants[node.input[2]]
        if scale.size != 1 or zero.dtype != np.uint8:
            raise self.refused(node, "only one scale for unsigned bytes can be written")
        into = Quantized(float(scale.reshape(())), int(zero.reshape(())))
        if value.pending is not None:
            return self.integer_layer(value.pending, into)
        value = self.real(value)
        result = replace(self.result(node.output[0], value, "int8"), quantized=into, dtype="int8")
        self.file.quantize(result.tensor, np.array(into.scale), np.array(into.zero - _SIGNED))
        self.file.emit("QUANTIZE", [value.tensor], [result.tensor], "QuantizeOptions")
        return result

    def on_dequantizelinear(self, node: onnx.NodeProto) -> Value:
        values = self.constants.get(node.input[0])
        if values is not None:
            self.scaled[node.output[0]] = (values, np.asarray(self.constants[node.input[1]]))
            return Value(-1, ())
        return self.given(node)

    def on_gemm(self, node: onnx.NodeProto) -> Value:
        attributes = attributes_of(node)
        if attributes.get("transB", 0) != 1 or attributes.get("alpha", 1.0) != 1.0:
            raise self.refused(node, "only transB=1 without factors is written")
        return self.layer(node)

    def on_conv(self, node: onnx.NodeProto) -> Value:
        attributes = attributes_of(node)
        plain = not any(attributes.get("pads", [0])) and attributes.get("group", 1) == 1
        if not plain or set(attributes.get("dilations", [1])) != {1}:
            raise self.refused(node, "only convolutions without padding, groups and dilations are written")
        return self.layer(node)

    def layer(self, node: onnx.NodeProto) -> Value:
        x = self.channels_last(self.given(node)) if node.op_type == "Conv" else self.given(node)
        if node.input[1] in self.scaled and x.quantized is not None:
            weight, scale = self.scaled[node.input[1]]
            bias = self.scaled[node.input[2]][0] if len(node.input) > 2 else np.zeros(len(weight), np.int32)
            pending = Pending(node, x, self.arranged(weight, x), scale, bias)
            return Value(-1, self.shape_after(pending), pending=pending, image=self.image_after(pending))
        x = self.real(x)
        weight = self.real_constant(node.input[1])
        bias = self.real_constant(node.input[2]) if len(node.input) > 2 else np.zeros(len(weight), np.float32)
        return self.write_layer(Pending(node, x, self.arranged(weight, x), np.ones(1), bias), x, None)

    def real_constant(self, name: str) -> Array:
        if name in self.constants:
            return self.constants[name]
        values, scale = self.scaled[name]
        return (values * scale.reshape(-1, *[1] * (values.ndim - 1))).astype(np.float32)

    def arranged(self, weight: Array, x: Value) -> Array:
        """Weights as LiteRT reads them: outputs, height, width, channels; or columns in that order."""
        if weight.ndim == 4:
            return np.ascontiguousarray(weight.transpose(0, 2, 3, 1))
        if x.image is not None:
            return np.ascontiguousarray(
                weight.reshape(len(weight), *x.image).transpose(0, 2, 3, 1).reshape(len(weight), -1)
            )
        return weight

    def channels_last(self, value: Value) -> Value:
        if value.image is not None:
            return value
        channels, height, width = value.shape
        dtype = "int8" if value.quantized else value.dtype
        result = replace(
            value,
            tensor=self.file.tensor(f"last_{len(self.file.tensors)}", dtype, (height, width, channels)),
            image=(channels, height, width),
        )
        if value.quantized is not None:
            self.file.quantize(result.tensor, np.array(value.quantized.scale), np.array(value.quantized.zero - _SIGNED))
        order = self.file.constant(np.array([0, 2, 3, 1], np.int32))
        self.file.emit("TRANSPOSE", [value.tensor, order], [result.tensor], "TransposeOptions")
        return result

    def shape_after(self, layer: Pending) -> tuple[int, ...]:
        if layer.node.op_type == "Gemm":
            return (len(layer.weight),)
        _, height, width = layer.x.image or (0, 0, 0)
        strides = self.strides(layer.node)
        rows = (height - layer.weight.shape[1]) // strides[0] + 1
        return (len(layer.weight), rows, (width - layer.weight.shape[2]) // strides[1] + 1)

    def image_after(self, layer: Pending) -> tuple[int, int, int] | None:
        shape = self.shape_after(layer)
        return (shape[0], shape[1], shape[2]) if len(shape) == 3 else None

    def strides(self, node: onnx.NodeProto) -> list[int]:
        found = attributes_of(node)
        return list(found.get("strides", [1, 1]))

    def float_layer(self, layer: Pending) -> Value:
        """An integer layer whose output is float, in float."""
        x = self.real(layer.x)
        scale = layer.weight_scale.reshape(-1, *[1] * (layer.weight.ndim - 1))
        weight = (layer.weight * scale).astype(np.float32)
        step = 1.0 if layer.x.quantized is None else layer.x.quantized.scale
        bias = (layer.bias * (layer.weight_scale.reshape(-1) * step)).astype(np.float32)
        return self.write_layer(replace(layer, weight=weight, bias=bias), x, None)

    def integer_layer(self, layer: Pending, into: Quantized) -> Value:
        return self.write_layer(layer, layer.x, into)

    def write_layer(self, layer: Pending, x: Value, into: Quantized | None) -> Value:
        node, shape, image = layer.node, self.shape_after(layer), self.image_after(layer)
        laid = shape if image is None else (image[1], image[2], image[0])
        dtype = "float32" if into is None else "int8"
        result = Value(self.file.tensor(node.output[0], dtype, laid), shape, dtype, into, image)
        weight, bias = self.file.constant(layer.weight, "weight"), self.file.constant(layer.bias, "bias")
        if into is not None and x.quantized is not None:
            scale = layer.weight_scale.reshape(-1)
            self.file.quantize(result.tensor, np.array(into.scale), np.array(into.zero - _SIGNED))
            self.file.quantize(weight, scale, np.zeros(len(scale)))
            self.file.quantize(bias, scale * x.quantized.scale, np.zeros(len(scale)))
        activation = self.format.ActivationFunctionType
        fused = activation.RELU if layer.relu else activation.NONE
        inputs, outputs = [x.tensor, weight, bias], [result.tensor]
        if node.op_type == "Gemm":
            self.file.emit("FULLY_CONNECTED", inputs, outputs, "FullyConnectedOptions", fusedActivationFunction=fused)
            return result
        high, wide = self.strides(node)
        valid = self.format.Padding.VALID
        fields = {"strideH": high, "strideW": wide, "padding": valid, "fusedActivationFunction": fused}
        self.file.emit("CONV_2D", inputs, outputs, "Conv2DOptions", **fields)
        return result


def main(arguments: list[str] | None = None) -> int:
    """Write the file; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m policypress_runtime.tflite.writer", description=__doc__)
    parser.add_argument("model", type=Path, help="an ONNX artifact")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .tflite file")
    given = parser.parse_args(arguments)
    try:
        try:
            content = given.model.read_bytes()
        except OSError as error:
            raise ArtifactError("The file cannot be read.", got=f"{given.model}: {error.strerror}") from error
        write_atomic(given.output, to_tflite(content))
    except PolicypressError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
