"""The one quantization truth: what is quantized, how, and the arithmetic that executes it.

Linear quantization, r = S(q − Z), with q an integer of ``bits`` bits. Calibration, equalization, GPTQ,
learned scales and quantization-aware training only *set* a :class:`QuantSpec`; :func:`fake_quantize`
executes it in floating point, and the ONNX writer writes QuantizeLinear/DequantizeLinear from it.

Sources: Jacob et al. 2018 (arXiv:1712.05877); Li 2023, section 3.3 (affine min→0, max→255).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

BIAS_BITS = 32
OBSERVATION_ALPHA = 0.7
_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True, eq=False)
class QuantSpec:
    """How one tensor is quantized.

    Args:
        bits: width of the integer, 2 to 8, or 32 for biases.
        signed: integers from −2^(b−1) to 2^(b−1) − 1, else from 0 to 2^b − 1.
        scale: S > 0, float32; a scalar, or one per index along ``axis``.
        zero_point: Z, int32, same shape as ``scale``.
        axis: the channel axis, or None for one scale per tensor.
        narrow: leaves out the lowest signed integer, so that the range is symmetric.
        packed: a weight of 4 bits or fewer is stored two to a byte (ONNX's INT4), not one to a byte; same numbers.
    """

    bits: int
    signed: bool
    scale: Float[Tensor, "*channels"]
    zero_point: Int[Tensor, "*channels"]
    axis: int | None = None
    narrow: bool = False
    packed: bool = False

    @property
    def lowest(self) -> int:
        """Smallest integer."""
        if not self.signed:
            return 0
        return -(1 << (self.bits - 1)) + int(self.narrow)

    @property
    def highest(self) -> int:
        """Largest integer."""
        return (1 << (self.bits - int(self.signed))) - 1

    def spread(self, dimensions: int) -> tuple[Tensor, Tensor]:
        """Scale and zero point (as float), shaped to broadcast over a tensor with ``dimensions`` axes."""
        scale, zero = self.scale, self.zero_point.to(self.scale.dtype)
        if self.axis is None:
            return scale, zero
        shape = [1] * dimensions
        shape[self.axis] = -1
        return scale.reshape(shape), zero.reshape(shape)


def quantize(x: Float[Tensor, "*shape"], spec: QuantSpec) -> Int[Tensor, "*shape"]:
    """Integers q = clamp(round(x / S) + Z), halves rounded to even, as ONNX's QuantizeLinear."""
    scale, zero = spec.spread(x.dim())
    if spec.bits == BIAS_BITS:
        # float32 cannot hold every int32; the division stays in float32 as the reference does it.
        q = torch.round(x / scale).to(torch.float64)
        return q.clamp(-(2.0**31), 2.0**31 - 1).to(torch.int32)
    return torch.clamp(torch.round(x / scale) + zero, spec.lowest, spec.highest).to(torch.int32)


def dequantize(
    q: Int[Tensor, "*shape"], spec: QuantSpec, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "*shape"]:
    """Real numbers r = S(q − Z), in ``dtype``."""
    scale, zero = spec.spread(q.dim())
    return (q.to(dtype) - zero) * scale.to(dtype)


def fake_quantize(x: Float[Tensor, "*shape"], spec: QuantSpec) -> Float[Tensor, "*shape"]:
    """Round ``x`` to what the integers can say; the gradient passes where nothing saturates.

    The value is exactly ``dequantize(quantize(x))``. The gradient is that of the clamp (straight-through
    estimator): the rounding edits the clamped tensor in place behind autograd, which costs one pass
    less than ``x + (y − x).detach()`` and keeps second derivatives.

    >>> s = QuantSpec(8, False, torch.tensor(0.5), torch.tensor(0, dtype=torch.int32))
    >>> fake_quantize(torch.tensor([0.2, 0.3, 1000.0]), s)
    tensor([  0.0000,   0.5000, 127.5000])
    """
    if spec.bits == BIAS_BITS:
        return dequantize(quantize(x, spec), spec)
    scale, zero = spec.spread(x.dim())
    y = torch.clamp(x, (spec.lowest - zero) * scale, (spec.highest - zero) * scale)
    y.detach().div_(scale).round_().mul_(scale)
    return y


def affine_grid(low: float, high: float, bits: int = 8) -> tuple[float, int]:
    """Scale (a float32 number) and zero point of unsigned integers for values between ``low`` and ``high``.

    The range is widened to contain 0, which then is an integer exactly (needed for zero padding and ReLU).

    >>> affine_grid(-10.0, 41.0)
    (0.20000000298023224, 50)
    """
    low, high = min(low, 0.0), max(high, 0.0)
    steps = 2**bits - 1
    scale = (high - low) / steps
    if scale < _TINY:
        scale = 1.0
    zero_point = min(max(round(-low / scale), 0), steps)
    return float(np.float32(scale)), zero_point


def affine_spec(low: float, high: float, bits: int = 8) -> QuantSpec:
    """Unsigned affine spec of :func:`affine_grid`, one scale per tensor."""
    scale, zero_point = affine_grid(low, high, bits)
    return QuantSpec(bits, False, torch.tensor(scale, dtype=torch.float32), torch.tensor(zero_point, dtype=torch.int32))


def symmetric_spec(weight: Float[Tensor, "out *rest"], bits: int = 8, *, per_channel: bool = True) -> QuantSpec:
    """Signed symmetric spec for a weight; one scale per output channel (axis 0), or one in all.

    The lowest integer is left out, so that −max and max are treated alike. A channel of zeros gets scale 1.
    """
    magnitude = weight.detach().abs()
    peak = magnitude.flatten(1).amax(1) if per_channel else magnitude.amax()
    scale = peak.to(torch.float32) / (2 ** (bits - 1) - 1)
    scale = torch.where(scale < _TINY, torch.ones_like(scale), scale)
    return QuantSpec(
        bits, True, scale, torch.zeros_like(scale, dtype=torch.int32), 0 if per_channel else None, narrow=True
    )


def observation_scale(peak: Float[Tensor, "features"]) -> Float[Tensor, "features"]:
    """What an observation is divided by before its first quantizer, and that layer's columns multiplied by.

    s = peak^α, with the largest magnitude seen of each feature and α = 0.7 as in ``equalize``: with α = 1 one
    feature that is seldom large would take the range of the weights, with 0 that of the observations. 1 where a
    feature was always 0.
    """
    return peak**OBSERVATION_ALPHA + (peak == 0)


def bias_spec(input_spec: QuantSpec, weight_spec: QuantSpec) -> QuantSpec:
    """int32 spec of a bias: scale s_x · s_w, zero point 0, so that it adds to the integer accumulator."""
    scale = (input_spec.scale * weight_spec.scale).to(torch.float32)
    axis = None if weight_spec.axis is None else 0
    return QuantSpec(BIAS_BITS, True, scale, torch.zeros_like(scale, dtype=torch.int32), axis)


@dataclass(frozen=True, eq=False)
class LayerQuant:
    """What is quantized around one layer: its input, weight, bias and output; None stays float."""

    input: QuantSpec | None = None
    weight: QuantSpec | None = None
    bias: QuantSpec | None = None
    output: QuantSpec | None = None

    @property
    def active(self) -> bool:
        """Whether anything is quantized."""
        return any(spec is not None for spec in (self.input, self.weight, self.bias, self.output))


FLOAT = LayerQuant()


def apply(x: Float[Tensor, "*shape"], spec: QuantSpec | None) -> Float[Tensor, "*shape"]:
    """Fake-quantize by ``spec``, or return ``x`` unchanged where it is None."""
    return x if spec is None else fake_quantize(x, spec)


def apply_to_parameter(x: Float[Tensor, "*shape"], spec: QuantSpec | None) -> Float[Tensor, "*shape"]:
    """As :func:`apply`, for a weight or bias: in a policy made ``double()`` the integers are those of float32."""
    if spec is None or x.dtype == torch.float32:
        return apply(x, spec)
    return dequantize(quantize(x.float(), spec), spec, x.dtype)
