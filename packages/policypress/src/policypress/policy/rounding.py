"""How far float32 may be from the exact value of a policy: a bound for every observation and component.

Two right evaluations of one network in float32 differ, by little where its values are small and by much where they are
large or the network is steep. The bound is a first-order analysis of every rounding there is:

- A sum of n products w·x has an error of mean 0 and variance u²/3 · ((1 + n/6) · Σ(w·x)² + (1 + n/3) · (Σ w·x)²), with
  u = 2⁻²⁴: the roundings of the products and of the partial sums, whose squares have that mean over all orders of
  summation (a probabilistic analysis in the sense of Higham and Mary 2019, SIAM J. Sci. Comput. 41(5)).
- Libraries' tanh, exp and the like differ by some units in the last place, everywhere to the same side. These errors
  are therefore added up, not their squares.
- Each error reaches the output by the derivative of the output with respect to the value that has it. Where rounding
  may carry a value across a kink of its activation, the steeper side counts.

The bound is ``DEVIATIONS`` standard deviations of the first kind of error, plus the sum of the second. A value that is
quantized stops what comes before it: rounding changes an integer only where there is a tie, and
:mod:`policypress.export.tolerance` sees to ties.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from policypress.policy import layers
from policypress.policy.activations import ACTIVATIONS
from policypress.policy.policy import Observation, Policy
from policypress.policy.quantization import FLOAT, LayerQuant, apply, apply_to_parameter

UNIT = 2.0**-24
# Beyond six standard deviations lies one of a billion.
DEVIATIONS = 6.0
# Units in the last place by which libraries' tanh, exp, ... differ; ONNX Runtime's sigmoid is off by four.
FUNCTION_UNITS = 8.0
# Observations that are analysed together: what is kept of one is every value of the network and its derivative.
ROWS = 64

_EXACT = ("identity", "relu", "abs", "relu6", "hardtanh")
# x times something between 0 and 1, which itself is off by units of 1: an error in units of x.
_GATED = ("silu", "gelu", "gelu_tanh", "mish", "hardswish")
_ELEMENTWISE = (layers.Activation, layers.PRelu, layers.Clip, layers.Normalise, layers.Affine, layers.Unscale)
_STILL = (layers.Flatten, layers.Reshape, layers.Transpose, layers.Concat, layers.Slice, layers.ToFloat, layers.OneHot)


@dataclass
class _Value:
    """One value of the network: exact, how far float32 may be off by itself and with all that came before it.

    ``spread`` is a standard deviation, ``off`` a bound; both are of this value's own roundings. ``far`` bounds all;
    ``before`` did so before the value was quantized.
    """

    exact: Tensor
    spread: Tensor | None = None
    off: Tensor | None = None
    far: Tensor | None = None
    before: Tensor | None = None

    @property
    def distance(self) -> Tensor:
        return torch.zeros_like(self.exact) if self.far is None else self.far


def rounding_bound(policy: Policy, observations: Observation, output: str | None = None) -> Tensor:
    """How far a float32 evaluation may be from the exact value of what decides (action or scores).

    Args:
        policy: in whatever precision; it is evaluated in float64.
        observations: batch first.
        output: of another value than the one that decides: name of its node.

    Returns:
        float64, shaped as the scores, or the action where it is none of several.
    """
    name = output or policy.scores_node or policy.nodes[-1].name
    exact = policy.clone().double()
    for parameter in exact.parameters():
        parameter.requires_grad_(False)
    parts = [_bound(exact, _rows(observations, start), name) for start in range(0, _count(observations), ROWS)]
    return torch.cat(parts) if parts else torch.zeros(0)


def reaches(policy: Policy, observations: Observation) -> dict[str, Tensor]:
    """How far float32 may be off at every value, since the last quantizer before it; before its own, if it has one.

    Args:
        policy: in float64.
        observations: batch first.
    """
    parts = []
    for start in range(0, _count(observations), ROWS):
        with torch.enable_grad():
            values = _analysed(policy, _rows(observations, start), policy.nodes[-1].name)
        parts.append({name: v.distance if v.before is None else v.before for name, v in values.items()})
    return {name: torch.cat([part[name] for part in parts]).detach() for name in parts[0]} if parts else {}


def _count(observations: Observation) -> int:
    return len(observations if isinstance(observations, Tensor) else next(iter(observations.values())))


def _rows(observations: Observation, start: int) -> Observation:
    if isinstance(observations, Tensor):
        return observations[start : start + ROWS]
    return {key: value[start : start + ROWS] for key, value in observations.items()}


def _bound(policy: Policy, observations: Observation, output: str) -> Tensor:
    with torch.enable_grad():
        values = _analysed(policy, observations, output)
        result = values[output].exact
        places = [value for value in values.values() if value.spread is not None or value.off is not None]
        squares, rest = torch.zeros_like(result), torch.zeros_like(result)
        flat, flat_squares, flat_rest = (t.flatten(1) for t in (result, squares, rest))
        # What only moves numbers has no error of its own.
        for component in range(flat.shape[1] if places and result.requires_grad else 0):
            slopes: tuple[Tensor | None, ...] = torch.autograd.grad(
                flat[:, component].sum(), [value.exact for value in places], retain_graph=True, allow_unused=True
            )
            for value, slope in zip(places, slopes, strict=True):
                if slope is None:
                    continue
                if value.spread is not None:
                    flat_squares[:, component] += (slope * value.spread).square().flatten(1).sum(1)
                if value.off is not None:
                    flat_rest[:, component] += (slope * value.off).abs().flatten(1).sum(1)
    return (DEVIATIONS * squares.sqrt() + rest).detach()


def _analysed(policy: Policy, observations: Observation, output: str) -> dict[str, _Value]:
    """Every value up to ``output``; each that rounds is a place of its own in autograd's graph."""
    values = {name: _Value(tensor) for name, tensor in policy.bind(observations).items()}
    for node in policy.nodes:
        layer = policy.layers[node.name]
        value = _through(layer, [values[name] for name in node.inputs])
        if value.exact.is_floating_point() and not value.exact.requires_grad:
            value.exact.requires_grad_(True)
        values[node.name] = value
        if node.name == output:
            break
    return values


def _through(layer: nn.Module, inputs: list[_Value]) -> _Value:
    if isinstance(layer, layers.Linear | layers.Conv2d):
        value = _product(layer, inputs[0])
    elif isinstance(layer, _ELEMENTWISE):
        value = _elementwise(layer, inputs[0])
    else:
        value = _joined(layer, inputs)
    quant = getattr(layer, "quant", FLOAT)
    if isinstance(quant, LayerQuant) and quant.output is not None:
        # An integer, whatever rounding did before.
        return _Value(apply(value.exact.detach(), quant.output), before=value.distance)
    return value


def _product(layer: layers.Weighted, x: _Value) -> _Value:
    quant = layer.quant
    read = x if quant.input is None else _Value(apply(x.exact.detach(), quant.input))
    weight = apply_to_parameter(layer.weight, quant.weight)
    bias = None if layer.bias is None else apply_to_parameter(layer.bias, quant.bias)

    def times(values: Tensor, factors: Tensor, added: Tensor | None) -> Tensor:
        if isinstance(layer, layers.Linear):
            return F.linear(values, factors, added)
        return F.conv2d(values, factors, added, layer.stride, layer.padding, layer.dilation, layer.groups)

    exact = times(read.exact, weight, bias)
    terms = weight[0].numel() + (bias is not None)
    squares = times(read.exact.detach().square(), weight.square(), None if bias is None else bias.square())
    total = exact.detach().square()
    spread = UNIT / 3**0.5 * ((1 + terms / 6) * squares + (1 + terms / 3) * total).sqrt()
    return _Value(exact, spread=spread, far=times(read.distance, weight.abs(), None) + DEVIATIONS * spread)


def _elementwise(layer: nn.Module, x: _Value) -> _Value:
    """A function of each number alone; its derivative is the steepest within reach of rounding."""
    here = x.exact.detach()
    value = _bare(layer, here)
    slope = torch.zeros_like(value)
    for side in (0.0, -1.0, 1.0):
        point = (here + side * x.distance).requires_grad_(True)
        (found,) = torch.autograd.grad(_bare(layer, point).sum(), point)
        found = torch.nan_to_num(found)
        slope = torch.where(found.abs() > slope.abs(), found, slope)
    off = _own_error(layer, here, value.abs())
    return _Value(value + slope * (x.exact - here), off=off, far=slope.abs() * x.distance + off)


def _own_error(layer: nn.Module, x: Tensor, size: Tensor) -> Tensor:
    """How far an element-wise layer may be off by itself; ``size`` is the magnitude of its values."""
    match layer:
        case layers.Normalise():
            return 3 * UNIT * size
        case layers.Affine():
            scaled = x if layer.scale is None else x * cast(Tensor, layer.scale)
            return UNIT * (size + scaled.abs())
        case layers.Unscale():
            return UNIT * (size + 1.5 * ((x + 1.0) * cast(Tensor, layer.span)).abs())
        case layers.PRelu():
            return UNIT * size
        case layers.Activation():
            return _of_activation(layer, x.abs(), size)
    return torch.zeros_like(size)


def _of_activation(layer: layers.Activation, inside: Tensor, size: Tensor) -> Tensor:
    if layer.name in _EXACT:
        return torch.zeros_like(size)
    if layer.name == "leaky_relu":
        return UNIT * size
    if layer.name == "exp":
        return FUNCTION_UNITS * UNIT * size * (1 + inside)
    reach = inside if layer.name in _GATED else torch.ones_like(inside)
    scale = max([1.0, *(abs(value) for value in layer.parameters_by_name.values())])
    return FUNCTION_UNITS * UNIT * (size + scale * reach)


def _bare(layer: nn.Module, x: Tensor) -> Tensor:
    """The layer before its value is quantized."""
    if isinstance(layer, layers.Activation):
        return ACTIVATIONS[layer.name](x, **layer.parameters_by_name)
    value: Tensor = layer(x)
    return value


def _joined(layer: nn.Module, inputs: list[_Value]) -> _Value:
    """What mixes numbers or only moves them."""
    exact: Tensor = layer(*(value.exact for value in inputs))
    if not exact.is_floating_point():
        return _Value(exact)
    far = torch.zeros_like(exact).detach()
    here = [value.exact.detach() for value in inputs]
    for index, value in enumerate(inputs):
        for side in (1.0, -1.0):
            if value.exact.is_floating_point():
                there = [*here[:index], here[index] + side * value.distance, *here[index + 1 :]]
                far = torch.maximum(far, torch.nan_to_num((layer(*there) - exact).abs().detach()))
    off = None if isinstance(layer, _STILL) else _of_mixture(layer, here[0], exact.detach().abs())
    return _Value(exact, off=off, far=far if off is None else len(inputs) * far + off)


def _of_mixture(layer: nn.Module, x: Tensor, size: Tensor) -> Tensor | None:
    match layer:
        case layers.LayerNorm():
            return _of_layer_norm(layer, x, size)
        case layers.Softmax():
            return FUNCTION_UNITS * UNIT * size * (1 + (x - x.amax(layer.axis, keepdim=True)).abs())
        case layers.Mean() | layers.Pool2d(kind="average"):
            average: Tensor = layer(x.abs())
            terms = x.numel() / max(size.numel(), 1)
            return (size + average) * (UNIT * (1 + math.sqrt(terms)))
        case layers.Pool2d():
            return None
    return UNIT * size


def _of_layer_norm(layer: layers.LayerNorm, x: Tensor, size: Tensor) -> Tensor:
    """Mean and variance are sums, and E[x²] − E[x]² cancels where the mean is large."""
    axes = tuple(range(x.dim() - len(layer.normalized_shape), x.dim()))
    variance = x.var(axes, unbiased=False, keepdim=True) + layer.eps
    lost = x.square().mean(axes, keepdim=True) / variance
    gain = torch.ones_like(size) if layer.weight is None else layer.weight.abs()
    hat = ((x - x.mean(axes, keepdim=True)) / variance.sqrt()).abs()
    return FUNCTION_UNITS * UNIT * (size + gain * (hat * (1 + lost) + (1 + lost).sqrt()))
