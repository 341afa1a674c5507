"""Simplifications of a traced network that leave its function as it is.

A constant factor or offset behind a linear layer or convolution goes into its weights (this is also where
batch normalisation ends up), and what nothing reads is dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from policypress.policy import layers
from policypress.policy.layers import Affine, Conv2d, Linear, Weighted

W = TypeVar("W", Linear, Conv2d)


@dataclass(frozen=True, eq=False)
class Step:
    """One layer, the values it reads, and what to call it."""

    hint: str
    layer: nn.Module
    inputs: tuple[str, ...]


def fuse(steps: Mapping[str, Step], outputs: tuple[str, ...]) -> dict[str, Step]:
    """The steps that ``outputs`` need, simplified, in an order in which they can run.

    Args:
        steps: by the name of their value, in an order in which they can run.
        outputs: names of values that must exist in the result.
    """
    result = _live(steps, outputs)
    # Kept up to date: a merge takes one step away, and what that read is read by the merged one in its place.
    readers = Counter([*outputs, *(read for step in result.values() for read in step.inputs)])
    for name in list(result):
        step = result[name]
        if not isinstance(step.layer, Affine) or len(step.inputs) != 1:
            continue
        (source,) = step.inputs
        if (before := result.get(source)) is None:
            continue
        merged = _merged(before.layer, step.layer) if readers[source] == 1 else None
        if merged is not None:
            result[name] = Step(before.hint, merged, before.inputs)
            del result[source]
    return _live(result, outputs)


def _live(steps: Mapping[str, Step], outputs: tuple[str, ...]) -> dict[str, Step]:
    needed = set(outputs)
    for name in reversed(list(steps)):
        if name in needed:
            needed.update(steps[name].inputs)
    return {name: step for name, step in steps.items() if name in needed}


def _merged(before: nn.Module, affine: Affine) -> nn.Module | None:
    """One layer for ``affine`` after ``before``, or None where that is not exact up to rounding."""
    if affine.role or getattr(before, "role", ""):
        return None
    scale, shift = cast(Tensor | None, affine.scale), cast(Tensor | None, affine.shift)
    if isinstance(before, Affine):
        # Two offsets, or two factors, may be apart for the sake of precision: only scale, then shift, is exact.
        factor, offset = cast(Tensor | None, before.scale), cast(Tensor | None, before.shift)
        if offset is None and scale is None and factor is not None and shift is not None:
            return Affine(factor.numpy(), shift.numpy())
        return None
    if not isinstance(before, Linear | Conv2d):
        return None
    channels = before.weight.shape[0]
    axes = 1 if isinstance(before, Linear) else 3
    scale_row, shift_row = _per_channel(scale, channels, axes), _per_channel(shift, channels, axes)
    if (scale is not None and scale_row is None) or (shift is not None and shift_row is None):
        return None
    return _folded(before, scale_row, shift_row)


def _per_channel(constant: Tensor | None, channels: int, axes: int) -> Tensor | None:
    """``constant`` as one number per output channel, float64; None where it varies otherwise."""
    if constant is None or constant.dim() > axes:
        return None
    if constant.numel() == 1:
        return constant.double().reshape(1).expand(channels)
    if constant.dim() != axes or constant.shape[0] != channels or constant.numel() != channels:
        return None
    return constant.double().reshape(channels)


def _folded(layer: Weighted, scale: Tensor | None, shift: Tensor | None) -> Weighted:
    weight = layer.weight.detach().double()
    bias = torch.zeros(len(weight), dtype=torch.float64) if layer.bias is None else layer.bias.detach().double()
    if scale is not None:
        weight = weight * scale.reshape(-1, *[1] * (weight.dim() - 1))
        bias = bias * scale
    if shift is not None:
        bias = bias + shift
    keep_bias = layer.bias is not None or shift is not None
    if isinstance(layer, Linear):
        return new_linear(weight, bias if keep_bias else None)
    return new_conv(
        weight,
        bias if keep_bias else None,
        stride=cast(tuple[int, int], layer.stride),
        padding=cast(tuple[int, int], layer.padding),
        dilation=cast(tuple[int, int], layer.dilation),
        groups=layer.groups,
    )


def new_linear(weight: Tensor, bias: Tensor | None) -> layers.Linear:
    """Linear layer with copies of these parameters; weight ``(out, in)``."""
    # On the meta device nothing is initialised at random, so the caller's random stream is left alone.
    layer = Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    return _filled(layer, weight, bias)


def new_conv(
    weight: Tensor,
    bias: Tensor | None,
    *,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> layers.Conv2d:
    """Convolution with copies of these parameters; weight ``(out, in / groups, height, width)``."""
    layer = Conv2d(
        weight.shape[1] * groups,
        weight.shape[0],
        (int(weight.shape[2]), int(weight.shape[3])),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=bias is not None,
        device="meta",
    )
    return _filled(layer, weight, bias)


def _filled(layer: W, weight: Tensor, bias: Tensor | None) -> W:
    layer.weight = _parameter(weight)
    if bias is not None:
        layer.bias = _parameter(bias)
    return layer


def _parameter(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach().to(torch.float32).clone(memory_format=torch.contiguous_format))
