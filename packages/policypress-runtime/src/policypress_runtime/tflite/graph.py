"""A LiteRT graph in the making: its values, and what is done to them element by element or moves them."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from policypress_runtime.errors import NetworkError
from policypress_runtime.tflite.file import LiteRtFile

Array = npt.NDArray[Any]
SIGNED = 128
"""Zero points move by it: LiteRT's integers are signed."""


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


class Graph:
    """Values by ONNX's names, and the operators that make new ones.

    Args:
        model: the ONNX file.
        static: tensors are for one observation.
    """

    def __init__(self, model: onnx.ModelProto, static: bool) -> None:
        self.file = LiteRtFile(static)
        self.rows = 1
        self.format = self.file.format
        self.graph = model.graph
        self.constants = {t.name: _plain(np.asarray(numpy_helper.to_array(t))) for t in self.graph.initializer}
        self.scaled: dict[str, tuple[Array, Array]] = {}
        self.values: dict[str, Value] = {}

    def value(self, dtype: str, shape: tuple[int, ...]) -> Value:
        """A new tensor, laid out as it is shaped."""
        return Value(self.file.tensor(f"value_{len(self.file.tensors)}", dtype, shape), shape, dtype)

    def like(self, x: Value, dtype: str = "float32") -> Value:
        """A new tensor, laid out as ``x`` is."""
        return self.result(f"value_{len(self.file.tensors)}", replace(x, quantized=None), dtype)

    def apply(self, kind: str, x: Value, options: str = "", **fields: Any) -> Value:
        """A function of each element of a float value."""
        result = self.like(x)
        self.file.emit(kind, [x.tensor], [result.tensor], options, **fields)
        return result

    def pair(
        self, kind: str, x: Value, y: Value | Array | float, *, dtype: str | None = None, options: str | None = None
    ) -> Value:
        """A function of two values, or of a value and a constant, element by element."""
        result = self.like(x, x.dtype if dtype is None else dtype)
        other = y.tensor if isinstance(y, Value) else self.file.constant(self.laid(np.asarray(y, x.dtype), x))
        named = "MaximumMinimumOptions" if kind in ("MAXIMUM", "MINIMUM") else f"{kind.capitalize()}Options"
        self.file.emit(kind, [x.tensor, other], [result.tensor], named if options is None else options)
        return result

    def laid(self, constant: Array, x: Value) -> Array:
        """A constant as it must lie beside ``x``: that of an image channel-last, too."""
        if x.image is None or constant.size == 1:
            return constant
        if len(x.shape) == 1:
            return constant.reshape(x.image).transpose(1, 2, 0).reshape(-1)
        full = constant.reshape((1,) * (3 - constant.ndim) + constant.shape) if constant.ndim < 3 else constant
        return np.ascontiguousarray(full.reshape(full.shape[-3:]).transpose(1, 2, 0))

    def mean(self, x: Value, axes: tuple[int, ...] = (1,), shape: tuple[int, ...] = (1,)) -> Value:
        """The mean over ``axes`` of the tensor as it lies, which leaves ``shape``."""
        result = self.value("float32", shape)
        listed = self.file.constant(np.array(axes, np.int32))
        self.file.emit("MEAN", [x.tensor, listed], [result.tensor], "ReducerOptions", keepDims=len(axes) == 1)
        return result

    def reshaped(self, x: Value, shape: tuple[int, ...]) -> Value:
        """The same elements in another shape."""
        result = self.value(x.dtype, shape)
        target = self.file.constant(np.array([-1, *shape], np.int32))
        self.file.emit("RESHAPE", [x.tensor, target], [result.tensor], "ReshapeOptions", newShape=[-1, *shape])
        return result

    def channels_first(self, x: Value) -> Value:
        """``x`` as ONNX has it, where it is or was an image."""
        if x.image is None:
            return x
        channels, height, width = x.image
        spatial = self.reshaped(replace(x, image=None), (height, width, channels)) if len(x.shape) == 1 else x
        moved = self.value(x.dtype, (channels, height, width))
        order = self.file.constant(np.array([0, 3, 1, 2], np.int32))
        self.file.emit("TRANSPOSE", [spatial.tensor, order], [moved.tensor], "TransposeOptions")
        return moved if len(x.shape) == 3 else self.reshaped(moved, x.shape)

    def result(self, name: str, like: Value, dtype: str = "float32", shape: tuple[int, ...] | None = None) -> Value:
        """A new float tensor laid out as ``like``."""
        real = like.shape if shape is None else shape
        channels = like.image if shape is None else None
        laid = (channels[1], channels[2], channels[0]) if channels is not None and len(real) == 3 else real
        return Value(self.file.tensor(name, dtype, laid), real, dtype, None, like.image if shape is None else None)

    def refused(self, node: onnx.NodeProto, why: str) -> NetworkError:
        """An error that names ``node``."""
        got = f"{node.op_type} ({node.output[0]}): {why}"
        return NetworkError(
            "No LiteRT form of this network.", got=got, hint="Write ONNX (-o NAME.onnx) or C (-o NAME.c)."
        )

    def given(self, node: onnx.NodeProto, index: int = 0) -> Value:
        """The value that ``node`` reads."""
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

    def channels_last(self, value: Value) -> Value:
        """``value`` as LiteRT has images."""
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
            self.file.quantize(result.tensor, np.array(value.quantized.scale), np.array(value.quantized.zero - SIGNED))
        order = self.file.constant(np.array([0, 2, 3, 1], np.int32))
        self.file.emit("TRANSPOSE", [value.tensor, order], [result.tensor], "TransposeOptions")
        return result

    def padded(self, x: Value, pads: list[int]) -> Value:
        """An image with a border of zeros: ``pads`` are top, left, bottom and right."""
        if not any(pads) or x.image is None:
            return x
        (top, left, bottom, right), (channels, height, width) = pads, x.image
        shape = (channels, height + top + bottom, width + left + right)
        result = replace(self.value(x.dtype, (*shape[1:], channels)), shape=shape, image=shape, quantized=x.quantized)
        if x.quantized is not None:
            self.file.quantize(result.tensor, np.array(x.quantized.scale), np.array(x.quantized.zero - SIGNED))
        border = self.file.constant(np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32))
        self.file.emit("PAD", [x.tensor, border], [result.tensor], "PadOptions")
        return result

    @abstractmethod
    def float_layer(self, layer: Pending) -> Value:
        """An integer layer whose output is float."""


def _plain(values: Array) -> Array:
    """Integers of 4 bits as bytes."""
    return values if values.dtype.kind != "V" and "int4" not in str(values.dtype) else values.astype(np.int8)
