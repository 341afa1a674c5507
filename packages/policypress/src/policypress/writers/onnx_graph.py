"""A small builder of ONNX graphs: nodes, initializers, and QuantizeLinear/DequantizeLinear from a QuantSpec."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from policypress.policy.quantization import BIAS_BITS, QuantSpec, quantize
from policypress_runtime.errors import NetworkError

# ONNX Runtime 1.17 and everything newer reads opset 19 and IR 9; older opsets lack a reference DequantizeLinear.
OPSET = 19
IR_VERSION = 9
# INT4 came with opset 21; ONNX Runtime runs it from 1.19 on.
PACKED_OPSET = 21
PACKED_IR_VERSION = 10

# ONNX Runtime's optimiser moves a DequantizeLinear through these, or drops them in front of a QuantizeLinear.
_SEEN_THROUGH = frozenset({"Identity", "Flatten", "Reshape", "Transpose", "Slice", "Concat", "MaxPool", "Relu", "Clip"})


class OnnxGraph:
    """Collects what becomes one ONNX graph. Equal constants are stored once.

    ``scope`` is the policy layer being written; node names start with it. ``widths`` holds the bits of integer
    weights that are narrower than the 8 that hold them, by initializer.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._quantized: dict[tuple[str, int], str] = {}
        self._dequantized: set[str] = set()
        self._counter = 0
        self.scope = ""
        self.widths: dict[str, int] = {}
        self._packed = False

    @property
    def opset(self) -> int:
        """The operator set that the graph needs."""
        return PACKED_OPSET if self._packed else OPSET

    @property
    def ir_version(self) -> int:
        """The version of the format that the graph needs."""
        return PACKED_IR_VERSION if self._packed else IR_VERSION

    def fresh(self, hint: str) -> str:
        """A value name that is not used yet."""
        self._counter += 1
        return f"{hint}.{self._counter}"

    def constant(self, values: npt.NDArray[Any] | Tensor, hint: str, *, shared: bool = True) -> str:
        """Name of an initializer with these values, which others may read too unless ``shared`` is False."""
        array = values.detach().numpy() if isinstance(values, Tensor) else values
        array = np.asarray(array, order="C")
        key = (str(array.dtype), array.shape, array.tobytes())
        if shared and key in self._constants:
            return self._constants[key]
        # Values are named after layers, which have no dot in their names: so the two cannot meet.
        hint = hint if "." in hint else f"{hint}.value"
        name = hint if hint not in self.initializers else self.fresh(hint)
        self.initializers[name] = numpy_helper.from_array(array, name)
        if shared:
            self._constants[key] = name
        return name

    def scalar(self, value: float, hint: str = "constant") -> str:
        """Name of a float32 scalar initializer."""
        return self.constant(np.array(value, dtype=np.float32), hint)

    def op(self, kind: str, inputs: list[str], out: str | None = None, **attributes: Any) -> str:
        """Append a node with one output; returns the output's name."""
        out = out or self.fresh(kind)
        if kind in _SEEN_THROUGH and self._dequantized & set(inputs):
            self._dequantized.add(out)
        self.nodes.append(
            helper.make_node(kind, inputs, [out], name=f"{self.scope}/{kind}_{len(self.nodes)}", **attributes)
        )
        return out

    def activation(self, value: str, spec: QuantSpec | None, out: str | None = None) -> str:
        """``value`` through QuantizeLinear and DequantizeLinear; the same pair is written once.

        Widths below 8 bits live in 8-bit integers: a Clip in front saturates where the narrower integer would.
        A value that comes from a DequantizeLinear is rounded in float: ONNX Runtime would merge the two pairs into
        one of another scale, and leave the bias that follows at the old one.
        """
        if spec is None:
            return value if out is None else self.op("Identity", [value], out)
        key = (value, id(spec))
        if key in self._quantized and out is None:
            return self._quantized[key]
        if value in self._dequantized and spec.axis is None:
            return self.rounding(value, spec, out)
        source = value
        if spec.bits < 8 or spec.narrow:
            if spec.axis is not None:
                raise NetworkError(
                    "An activation narrower than 8 bits has one scale per channel, which no QDQ pair can say.",
                    got=f"{spec.bits} bits along axis {spec.axis}",
                    expected="one scale per tensor, or 8 bits",
                )
            scale, zero = float(spec.scale), int(spec.zero_point)
            low, high = self.scalar((spec.lowest - zero) * scale), self.scalar((spec.highest - zero) * scale)
            source = self.op("Clip", [source, low, high])
        scale_name, zero_name = self._parameters(spec, value)
        attributes: dict[str, Any] = {} if spec.axis is None else {"axis": spec.axis}
        quantized = self.op("QuantizeLinear", [source, scale_name, zero_name], **attributes)
        result = self.op("DequantizeLinear", [quantized, scale_name, zero_name], out, **attributes)
        self._quantized[key] = result
        self._dequantized.add(result)
        return result

    def rounding(self, value: str, spec: QuantSpec | None, out: str | None = None) -> str:
        """``value`` rounded by ``spec`` in float arithmetic: Clip, Div, Round, Mul.

        For layers whose weights stay float: between a DequantizeLinear and a QuantizeLinear, ONNX Runtime's
        optimiser would quantize their weights too.
        """
        if spec is None:
            return value if out is None else self.op("Identity", [value], out)
        if spec.axis is not None:
            return self.activation(value, spec, out)
        scale, zero = float(spec.scale), int(spec.zero_point)
        limits = [self.scalar((spec.lowest - zero) * scale), self.scalar((spec.highest - zero) * scale)]
        clipped = self.op("Clip", [value, *limits])
        step = self.constant(spec.scale, f"{value}.scale")
        return self.op("Mul", [self.op("Round", [self.op("Div", [clipped, step])]), step], out)

    def parameter(self, values: Tensor, spec: QuantSpec | None, hint: str) -> str:
        """A weight or bias: a float initializer, or integers with a DequantizeLinear behind them."""
        if spec is None:
            return self.constant(values, hint)
        integers = quantize(values.detach(), spec).numpy()
        stored = self._integers(integers, spec, f"{hint}.quantized")
        # ONNX Runtime turns signed weights into unsigned ones where the processor's signed product saturates
        # (session.x64quantprecision), each with its zero point: one that another weight reads as well it refuses.
        scale_name, zero_name = self._parameters(spec, hint, shared=spec.bits > 8)
        if spec.bits < 8 and not spec.packed:
            self.widths[stored] = spec.bits
        attributes: dict[str, Any] = {} if spec.axis is None else {"axis": spec.axis}
        return self.op("DequantizeLinear", [stored, scale_name, zero_name], self.fresh(hint), **attributes)

    def _parameters(self, spec: QuantSpec, hint: str, *, shared: bool = True) -> tuple[str, str]:
        zero = self._integers(spec.zero_point.detach().numpy(), spec, f"{hint}.zero_point", shared=shared)
        return self.constant(spec.scale, f"{hint}.scale"), zero

    def _integers(self, integers: npt.NDArray[Any], spec: QuantSpec, hint: str, *, shared: bool = True) -> str:
        """Name of an initializer with these integers, in the type that holds them."""
        if not spec.packed:
            dtype: type[np.generic] = np.int32 if spec.bits == BIAS_BITS else (np.int8 if spec.signed else np.uint8)
            return self.constant(integers.astype(dtype), hint, shared=shared)
        self._packed = True
        kind = TensorProto.INT4 if spec.signed else TensorProto.UINT4
        halves = np.append(integers.astype(np.uint8).flatten() & 0xF, np.uint8(0))[: (integers.size + 1) // 2 * 2]
        # The earlier of two integers is the lower half of the byte.
        content = (halves[0::2] | (halves[1::2] << 4)).tobytes()
        key = (str(kind), integers.shape, content)
        if key not in self._constants:
            name = hint if hint not in self.initializers else self.fresh(hint)
            self.initializers[name] = helper.make_tensor(name, kind, integers.shape, content, raw=True)
            self._constants[key] = name
        return self._constants[key]
