"""Fast in-place rounding of tensors to a quantization grid.

Divide, round half to even, multiply: the arithmetic of :mod:`policypress.policy.quantization`, in single precision and
correctly rounded everywhere, so that torch and NumPy give the same bits. On a CPU a NumPy operation on a small array
costs a third of torch's, and layers of deep RL are small.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

# The grid of a layer's input: its scale, and its smallest and largest value.
Grid = tuple[float, float, float]

_TINY = torch.finfo(torch.float32).tiny
_INT32 = 2.0**31
# Up to this size the call overhead dominates.
SMALL = 10_000


def on_host(tensor: Tensor) -> bool:
    """Whether NumPy can work on the tensor in place."""
    return tensor.is_cpu and tensor.dtype is torch.float32


def round_to(values: Float[Tensor, "*shape"], scale: float) -> None:
    """Round finite ``values``, a detached tensor, in place to multiples of ``scale``."""
    if on_host(values):
        array = values.numpy()
        np.divide(array, scale, out=array)
        np.rint(array, out=array)
        np.multiply(array, scale, out=array)
    else:
        values.div_(scale).round_().mul_(scale)


def rounded_weight(weight: Float[Tensor, "*shape"], steps: int, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """A detached weight, fake-quantized in new memory, and its scale.

    The largest magnitude, of each channel or of all, is the largest integer; a channel of zeros gets 1.

    Args:
        weight: any numbers.
        steps: the largest integer.
        axes: those that share a scale; none for a single scale.

    Returns:
        The rounded weight, and the scale, shaped to broadcast over it.
    """
    scale = weight.abs().amax(axes, keepdim=bool(axes))
    if on_host(scale):
        by = scale.numpy()
        np.divide(by, steps, out=by)
        np.add(by, by < _TINY, out=by)
    else:
        scale = scale / steps
        scale = scale + (scale < _TINY)
    return torch.div(weight, scale).round_().mul_(scale), scale


def round_bias(values: Float[Tensor, "*channels"], weight_scale: Tensor, input_scale: float) -> None:
    """Round a bias, a detached tensor, in place to int32 multiples of its input's scale times its weight's."""
    # The nearest that float32 comes to the largest int32 is 2³¹, in ``quantize`` too.
    if on_host(values):
        array: Any = values.numpy()
        by = weight_scale.numpy().reshape(-1) * np.float32(input_scale)
        with np.errstate(all="ignore"):
            np.divide(array, by, out=array)
            np.rint(array, out=array)
            np.minimum(array, _INT32, out=array)
            np.maximum(array, -_INT32, out=array)
            np.multiply(array, by, out=array)
    else:
        device_scale = weight_scale.reshape(-1) * input_scale
        values.div_(device_scale).round_().clamp_(-_INT32, _INT32).mul_(device_scale)


def clamped_and_rounded(x: Float[Tensor, "*shape"], grid: Grid) -> Tensor:
    """``x`` between floor and ceiling, in multiples of a scale; without gradients, in new memory.

    Args:
        x: any numbers.
        grid: scale, floor, ceiling.
    """
    scale, floor, ceiling = grid
    if on_host(x) and x.numel() <= SMALL:
        array = np.maximum(x.detach().numpy(), floor)
        np.minimum(array, ceiling, out=array)
        np.divide(array, scale, out=array)
        np.rint(array, out=array)
        np.multiply(array, scale, out=array)
        return torch.from_numpy(array)
    rounded = F.hardtanh(x, floor, ceiling)
    round_to(rounded, scale)
    return rounded


def value_range(values: Float[Tensor, "*shape"]) -> tuple[float, float]:
    """Minimum and maximum of ``values``, a detached tensor."""
    if on_host(values):
        array = values.numpy()
        return float(array.min()), float(array.max())
    low, high = torch.aminmax(values)
    return low.item(), high.item()


def largest(values: Float[Tensor, "*shape"]) -> float:
    """Maximum of ``values``, a detached tensor."""
    return float(values.numpy().max()) if on_host(values) else values.amax().item()


def feature_ranges(values: Float[Tensor, "batch features"]) -> tuple[Tensor, Tensor]:
    """Minimum and maximum of each column of ``values``, a detached tensor."""
    if on_host(values):
        array = values.numpy()
        return torch.from_numpy(array.min(0)), torch.from_numpy(array.max(0))
    low, high = torch.aminmax(values, dim=0)
    return low, high


def within(inner: tuple[Tensor, Tensor], outer: tuple[Tensor, Tensor]) -> bool:
    """Whether lower and upper bounds, element by element, are within others."""
    if on_host(inner[0]):
        low, high = (inner[0].numpy() >= outer[0].numpy()), (inner[1].numpy() <= outer[1].numpy())
        return bool(low.all() and high.all())
    return bool(((inner[0] >= outer[0]) & (inner[1] <= outer[1])).all())


def same(left: Tensor, right: Tensor) -> bool:
    """Whether two tensors hold the same numbers on the same device."""
    if left.device != right.device:
        return False
    if left.numel() > SMALL and on_host(left):
        # Six times as fast as torch.equal for large tensors.
        return bool((left.detach().numpy() == right.numpy()).all())
    return torch.equal(left, right)
