"""Quantizers that learn their scale while a network is trained, and become ``QuantSpec``s afterwards.

Learned step size quantization (LSQ, Esser et al. 2020, arXiv:1902.08153): the scale S is a parameter, and what is
rounded tells it how to change. Here its logarithm is learned, so that one learning rate suits scales of any size and
S stays positive; the zero point keeps the value it had when the quantizer was put in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from policypress.policy.layers import Conv2d, Weighted
from policypress.policy.policy import Policy
from policypress.policy.quantization import LayerQuant, QuantSpec, affine_spec, bias_spec, fake_quantize, symmetric_spec

# Shares of the range seen that are tried for the first scale: few bits say more of the bulk when outliers saturate.
SHARES = tuple(share / 20 for share in range(20, 4, -1))
# Elements that the errors are told by.
_SAMPLE = 2**18


Limits = tuple[int, int]


def _rounded(x: Tensor, scale: Tensor | float, limits: Limits) -> tuple[Tensor, Tensor]:
    """S · clamp(round(x / S), lowest, highest), and the integers before the clamp."""
    integers = torch.div(x, scale).round_()
    return torch.clamp(integers, *limits).mul_(scale), integers


def _gradients(
    g: Tensor, x: Tensor, y: Tensor, integers: Tensor, limits: Limits, per_channel: bool
) -> tuple[Tensor, Tensor]:
    """Gradients for x and for log S: S · ∂y/∂S is y − x (what rounding added), and y where it saturates."""
    # Passes what lies between its limits, which are no integers here; one pass, where a mask takes three.
    passed = torch.ops.aten.hardtanh_backward(g, integers, limits[0] - 0.5, limits[1] + 0.5)
    if per_channel:
        slopes = (g * y).sub_(passed * x).flatten(1).sum(1)
        return passed, slopes.reshape(-1, *[1] * (x.dim() - 1))
    return passed, torch.dot(g.reshape(-1), y.view(-1)) - torch.dot(passed.reshape(-1), x.reshape(-1))


def _rounded_bias(bias: Tensor, scale: Tensor) -> Tensor:
    """The bias as int32 says it, of scale s_x · s_w; few bits make that a coarse number."""
    scale = scale.flatten()
    return torch.div(bias, scale).round_().mul_(scale)


class _LearnedRounding(torch.autograd.Function):
    """:func:`_rounded` with gradients for x (straight through) and for log S, one S or one per index of axis 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, log_scale: Tensor, limits: Limits) -> Tensor:
        y, integers = _rounded(x, log_scale.exp(), limits)
        ctx.save_for_backward(x, y, integers)
        ctx.limits, ctx.per_channel = limits, log_scale.dim() > 0
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, Tensor, None]:
        x, y, integers = ctx.saved_tensors
        return *_gradients(gradients[0], x, y, integers, ctx.limits, ctx.per_channel), None


class _LearnedLinear(torch.autograd.Function):
    """A linear layer that rounds what it reads and its weight: three functions in one, which halves the time."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        input_log_scale: Tensor,
        weight_log_scale: Tensor,
        input_limits: Limits,
        weight_limits: Limits,
    ) -> Tensor:
        input_scale, weight_scale = float(input_log_scale.exp()), weight_log_scale.exp()
        rounded_x, integers_x = _rounded(x, input_scale, input_limits)
        rounded_weight, integers_weight = _rounded(weight, weight_scale, weight_limits)
        ctx.save_for_backward(x, rounded_x, integers_x, weight, rounded_weight, integers_weight)
        ctx.limits = input_limits, weight_limits
        return torch.addmm(_rounded_bias(bias, input_scale * weight_scale), rounded_x, rounded_weight.t())

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, None, None]:
        (g,) = gradients
        x, rounded_x, integers_x, weight, rounded_weight, integers_weight = ctx.saved_tensors
        of_x, of_input_scale = _gradients(g @ rounded_weight, x, rounded_x, integers_x, ctx.limits[0], False)
        of_weight, of_weight_scale = _gradients(
            g.t() @ rounded_x, weight, rounded_weight, integers_weight, ctx.limits[1], True
        )
        return of_x, of_weight, g.sum(0), of_input_scale, of_weight_scale, None, None


class LearnedQuantizer:
    """One tensor's quantizer: what is fixed of its spec, and the logarithm of its scale.

    Args:
        spec: where it starts.
        dimensions: number of axes of the tensor it is for.
    """

    def __init__(self, spec: QuantSpec, dimensions: int) -> None:
        self._start = spec
        scale, zero = spec.spread(dimensions)
        self.log_scale = scale.log().clone().requires_grad_()
        shift = int(zero.flatten()[0])
        self.limits = (spec.lowest - shift, spec.highest - shift)

    def __call__(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """``x`` as its integers say it."""
        y: Tensor = _LearnedRounding.apply(x, self.log_scale, self.limits)  # type: ignore[no-untyped-call]
        return y

    def spec(self) -> QuantSpec:
        """The quantizer as it is now."""
        start = self._start
        scale = self.log_scale.detach().exp().reshape(start.scale.shape).to(torch.float32)
        return QuantSpec(start.bits, start.signed, scale, start.zero_point, start.axis, start.narrow)


class LearnedQuantizers:
    """The quantizers of a policy's weighted layers: one for every value they read, one for every weight.

    Args:
        policy: the network to quantize, in float.
        values: what its weighted layers read, by value name, on observations that show the ranges.
        weight_bits: width of the weights, one scale per output channel.
        activation_bits: width of what the layers read, one scale per tensor.
    """

    def __init__(self, policy: Policy, values: Mapping[str, Tensor], weight_bits: int, activation_bits: int) -> None:
        self._reads = {name: policy.node(name).inputs[0] for name, _ in policy.weighted_layers()}
        self.inputs = {
            value: LearnedQuantizer(best_affine_spec(values[value], activation_bits), values[value].dim())
            for value in dict.fromkeys(self._reads.values())
        }
        self.weights = {
            name: LearnedQuantizer(best_symmetric_spec(layer.weight, weight_bits), layer.weight.dim())
            for name, layer in policy.weighted_layers()
        }

    def run(self, name: str, layer: Weighted, x: Tensor) -> Tensor:
        """The layer ``name`` of what it reads, both rounded."""
        read, weight = self.inputs[self._reads[name]], self.weights[name]
        bias = layer.bias
        if isinstance(layer, Conv2d):
            if bias is not None:
                unit = (read.log_scale + weight.log_scale).detach().exp()
                bias = bias + (_rounded_bias(bias.detach(), unit) - bias.detach())
            return nn.functional.conv2d(
                read(x), weight(layer.weight), bias, layer.stride, layer.padding, layer.dilation, layer.groups
            )
        if bias is None:
            return nn.functional.linear(read(x), weight(layer.weight))
        scales, limits = (read.log_scale, weight.log_scale), (read.limits, weight.limits)
        y: Tensor = _LearnedLinear.apply(x, layer.weight, bias, *scales, *limits)  # type: ignore[no-untyped-call]
        return y

    def scales(self) -> list[Tensor]:
        """What is learned."""
        return [quantizer.log_scale for quantizer in (*self.inputs.values(), *self.weights.values())]

    def set_specs(self, policy: Policy) -> None:
        """Give ``policy``'s layers the quantizers as they are now, with int32 biases of scale s_x · s_w."""
        inputs = {value: quantizer.spec() for value, quantizer in self.inputs.items()}
        for name, layer in policy.weighted_layers():
            layer.quant = layer_quant(layer, inputs[self._reads[name]], self.weights[name].spec())


def layer_quant(layer: Weighted, activation: QuantSpec, weight: QuantSpec) -> LayerQuant:
    """All that is quantized around a layer, its bias included; the output stays float."""
    bias = None if layer.bias is None else bias_spec(activation, weight)
    return LayerQuant(input=activation, weight=weight, bias=bias)


def best_affine_spec(values: Float[Tensor, "batch *shape"], bits: int) -> QuantSpec:
    """Of the min-max range and shares of it, the one that rounds ``values`` with the least squared error."""
    flat = values.detach().flatten()
    sample = flat[:: max(1, len(flat) // _SAMPLE)]
    low, high = float(flat.min()), float(flat.max())
    specs = [affine_spec(low * share, high * share, bits) for share in SHARES]
    errors = [float((fake_quantize(sample, spec) - sample).square().mean()) for spec in specs]
    return specs[errors.index(min(errors))]


def best_symmetric_spec(weight: Float[Tensor, "out *rest"], bits: int) -> QuantSpec:
    """As :func:`best_affine_spec`, for a weight: signed, symmetric, one scale per output channel."""
    widest = symmetric_spec(weight, bits)
    weight = weight.detach()
    best, least = widest.scale.clone(), torch.full_like(widest.scale, torch.inf)
    for share in SHARES:
        spec = QuantSpec(bits, True, widest.scale * share, widest.zero_point, 0, narrow=True)
        error = (fake_quantize(weight, spec) - weight).square().flatten(1).sum(1)
        best, least = torch.where(error < least, spec.scale, best), torch.minimum(error, least)
    return QuantSpec(bits, True, best, widest.zero_point, 0, narrow=True)
