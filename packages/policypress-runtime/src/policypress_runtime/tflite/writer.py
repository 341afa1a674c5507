"""An artifact as a LiteRT (TensorFlow Lite) file: what ``policypress export -o NAME.tflite`` writes.

``python -m policypress_runtime.tflite.writer`` writes one. Feed-forward policies, as policypress writes them to ONNX.
Integer layers become integer layers with the same scales, where an integer follows; LiteRT's integers are signed, so
zero points move by 128. A last layer whose output is float is computed in float, from the same values. Images lie
channel-last in LiteRT; the columns of the first layer behind the last convolution are reordered for it.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from policypress_runtime.atomic_write import write_atomic
from policypress_runtime.errors import ArtifactError, NetworkError, PolicypressError
from policypress_runtime.onnx_files.node import attributes_of
from policypress_runtime.tflite.graph import SIGNED, Array, Graph, Pending, Quantized, Value
from policypress_runtime.tflite.operators import OPERATORS
from policypress_runtime.tflite.shapes import SHAPES

_OUTPUTS = ("action", "scores")


def to_tflite(content: bytes, *, static: bool = False) -> bytes:
    """The artifact ``content`` (ONNX) as a LiteRT file.

    Args:
        content: the ONNX file.
        static: for one observation alone, as microcontrollers want it; else for any number.

    Raises:
        NetworkError: an operator, or a form of it, that has no LiteRT form here.
        MissingDependencyError: ai-edge-litert is not installed.
    """
    return Converter(onnx.load_model_from_string(content), static).convert()


class Converter(Graph):
    """Writes one graph, node by node; what nodes do stands in ``operators``, ``shapes`` and, for layers, here."""

    def convert(self) -> bytes:
        """The file."""
        inputs = [value for value in self.graph.input if value.name not in self.constants]
        for value in inputs:
            dtype = str(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
            shape = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)[1:]
            self.values[value.name] = Value(self.file.tensor(value.name, dtype, shape), shape, dtype)
        for node in self.graph.node:
            self.values[node.output[0]] = self.node(node)
        names = [name for name in _OUTPUTS if name in {v.name for v in self.graph.output}]
        results = [self.real(self.values[name]).tensor for name in names]
        if len(results) < len(self.graph.output):
            raise NetworkError(
                "No LiteRT form of this network.",
                got=", ".join(v.name for v in self.graph.output if v.name not in names),
                expected="a policy without memory",
                hint="Write ONNX (-o NAME.onnx) or C (-o NAME.c).",
            )
        for name, tensor in zip(names, results, strict=True):
            self.file.tensors[tensor].name = name
        return self.file.content([self.values[value.name].tensor for value in inputs], results)

    def node(self, node: onnx.NodeProto) -> Value:
        """The value that ``node`` gives."""
        handler = OPERATORS.get(node.op_type) or SHAPES.get(node.op_type)
        if handler is not None:
            return handler(self, node)
        own = getattr(self, f"_on_{node.op_type.lower()}", None)
        if own is None:
            raise self.refused(node, "nothing in the conversion does what it does")
        value: Value = own(node)
        return value

    def _on_identity(self, node: onnx.NodeProto) -> Value:
        return self.given(node)

    def _binary(self, node: onnx.NodeProto, kind: str) -> Value:
        """Two values, or a value and a constant; for what is not commutative, in that order."""
        x, other = self.real(self.given(node)), self.constants.get(node.input[1])
        if other is not None:
            return self.pair(kind, x, other)
        y = self.real(self.given(node, 1))
        if (x.image, x.shape) != (y.image, y.shape):
            x, y = self.channels_first(x), self.channels_first(y)
        if x.shape != y.shape:
            raise self.refused(node, "its operands have different shapes")
        return self.pair(kind, x, y)

    def _on_max(self, node: onnx.NodeProto) -> Value:
        return self._binary(node, "MAXIMUM")

    def _on_min(self, node: onnx.NodeProto) -> Value:
        return self._binary(node, "MINIMUM")

    def _on_mul(self, node: onnx.NodeProto) -> Value:
        return self._binary(node, "MUL")

    def _on_add(self, node: onnx.NodeProto) -> Value:
        return self._binary(node, "ADD")

    def _on_sub(self, node: onnx.NodeProto) -> Value:
        return self._binary(node, "SUB")

    def _on_div(self, node: onnx.NodeProto) -> Value:
        return self._binary(node, "DIV")

    def _on_clip(self, node: onnx.NodeProto) -> Value:
        value = self.real(self.given(node))
        for name, kind in zip(node.input[1:], ("MAXIMUM", "MINIMUM"), strict=False):
            if name:
                result = self.result(f"{node.output[0]}_{kind}", value)
                limits = [value.tensor, self.file.constant(self.constants[name])]
                self.file.emit(kind, limits, [result.tensor], "MaximumMinimumOptions")
                value = result
        return value

    def _on_relu(self, node: onnx.NodeProto) -> Value:
        value = self.given(node)
        if value.pending is not None:
            return replace(value, pending=replace(value.pending, relu=True))
        value = self.real(value)
        last = self.file.operators[-1]
        if last.outputs == [value.tensor] and hasattr(last.builtinOptions, "fusedActivationFunction"):
            last.builtinOptions.fusedActivationFunction = self.format.ActivationFunctionType.RELU
            return value
        return self.apply("RELU", value)

    def _on_quantizelinear(self, node: onnx.NodeProto) -> Value:
        value, scale, zero = self.given(node), self.constants[node.input[1]], self.constants[node.input[2]]
        if scale.size != 1 or zero.dtype != np.uint8:
            raise self.refused(node, "only one scale for unsigned bytes can be written")
        into = Quantized(float(scale.reshape(())), int(zero.reshape(())))
        if value.pending is not None:
            return self._integer_layer(value.pending, into)
        value = self.real(value)
        result = replace(self.result(node.output[0], value, "int8"), quantized=into, dtype="int8")
        self.file.quantize(result.tensor, np.array(into.scale), np.array(into.zero - SIGNED))
        self.file.emit("QUANTIZE", [value.tensor], [result.tensor], "QuantizeOptions")
        return result

    def _on_dequantizelinear(self, node: onnx.NodeProto) -> Value:
        values = self.constants.get(node.input[0])
        if values is not None:
            self.scaled[node.output[0]] = (values, np.asarray(self.constants[node.input[1]]))
            return Value(-1, ())
        return self.given(node)

    def _on_gemm(self, node: onnx.NodeProto) -> Value:
        attributes = attributes_of(node)
        if attributes.get("transB", 0) != 1 or attributes.get("alpha", 1.0) != 1.0:
            raise self.refused(node, "only transB=1 without factors is written")
        return self._layer(node)

    def _on_conv(self, node: onnx.NodeProto) -> Value:
        attributes = attributes_of(node)
        if attributes.get("group", 1) != 1 or set(attributes.get("dilations", [1])) != {1}:
            raise self.refused(node, "only convolutions without groups and dilations are written")
        return self._layer(node)

    def _layer(self, node: onnx.NodeProto) -> Value:
        x = self.given(node)
        if node.op_type == "Conv":
            x = self.padded(self.channels_last(x), attributes_of(node).get("pads", [0] * 4))
        if node.input[1] in self.scaled and x.quantized is not None:
            weight, scale = self.scaled[node.input[1]]
            bias = self.scaled[node.input[2]][0] if len(node.input) > 2 else np.zeros(len(weight), np.int32)
            pending = Pending(node, x, self._arranged(weight, x), scale, bias)
            return Value(-1, self._shape_after(pending), pending=pending, image=self._image_after(pending))
        x = self.real(x)
        weight = self._real_constant(node.input[1])
        bias = self._real_constant(node.input[2]) if len(node.input) > 2 else np.zeros(len(weight), np.float32)
        return self._write_layer(Pending(node, x, self._arranged(weight, x), np.ones(1), bias), x, None)

    def _real_constant(self, name: str) -> Array:
        if name in self.constants:
            return self.constants[name]
        values, scale = self.scaled[name]
        return (values * scale.reshape(-1, *[1] * (values.ndim - 1))).astype(np.float32)

    def _arranged(self, weight: Array, x: Value) -> Array:
        """Weights as LiteRT reads them: outputs, height, width, channels; or columns in that order."""
        if weight.ndim == 4:
            return np.ascontiguousarray(weight.transpose(0, 2, 3, 1))
        if x.image is not None:
            return np.ascontiguousarray(
                weight.reshape(len(weight), *x.image).transpose(0, 2, 3, 1).reshape(len(weight), -1)
            )
        return weight

    def _shape_after(self, layer: Pending) -> tuple[int, ...]:
        if layer.node.op_type == "Gemm":
            return (len(layer.weight),)
        _, height, width = layer.x.image or (0, 0, 0)
        strides = self._strides(layer.node)
        rows = (height - layer.weight.shape[1]) // strides[0] + 1
        return (len(layer.weight), rows, (width - layer.weight.shape[2]) // strides[1] + 1)

    def _image_after(self, layer: Pending) -> tuple[int, int, int] | None:
        shape = self._shape_after(layer)
        return (shape[0], shape[1], shape[2]) if len(shape) == 3 else None

    def _strides(self, node: onnx.NodeProto) -> list[int]:
        found = attributes_of(node)
        return list(found.get("strides", [1, 1]))

    def float_layer(self, layer: Pending) -> Value:
        """An integer layer whose output is float, in float."""
        x = self.real(layer.x)
        scale = layer.weight_scale.reshape(-1, *[1] * (layer.weight.ndim - 1))
        weight = (layer.weight * scale).astype(np.float32)
        step = 1.0 if layer.x.quantized is None else layer.x.quantized.scale
        bias = (layer.bias * (layer.weight_scale.reshape(-1) * step)).astype(np.float32)
        return self._write_layer(replace(layer, weight=weight, bias=bias), x, None)

    def _integer_layer(self, layer: Pending, into: Quantized) -> Value:
        return self._write_layer(layer, layer.x, into)

    def _write_layer(self, layer: Pending, x: Value, into: Quantized | None) -> Value:
        node, shape, image = layer.node, self._shape_after(layer), self._image_after(layer)
        laid = shape if image is None else (image[1], image[2], image[0])
        dtype = "float32" if into is None else "int8"
        result = Value(self.file.tensor(node.output[0], dtype, laid), shape, dtype, into, image)
        weight, bias = self.file.constant(layer.weight, "weight"), self.file.constant(layer.bias, "bias")
        if into is not None and x.quantized is not None:
            scale = layer.weight_scale.reshape(-1)
            self.file.quantize(result.tensor, np.array(into.scale), np.array(into.zero - SIGNED))
            self.file.quantize(weight, scale, np.zeros(len(scale)))
            self.file.quantize(bias, scale * x.quantized.scale, np.zeros(len(scale)))
        activation = self.format.ActivationFunctionType
        fused = activation.RELU if layer.relu else activation.NONE
        inputs, outputs = [x.tensor, weight, bias], [result.tensor]
        if node.op_type == "Gemm":
            self.file.emit("FULLY_CONNECTED", inputs, outputs, "FullyConnectedOptions", fusedActivationFunction=fused)
            return result
        high, wide = self._strides(node)
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
