"""The layers a policy is made of: each knows its arithmetic, and what about it is quantized.

The set is closed on purpose: whatever is in it can be exported, equalised, pruned and turned into C.
Shapes leave out nothing: every tensor has the batch first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from policypress.agents.bundle import LearnedQuantizer
from policypress.policy.activations import ACTIVATIONS, PARAMETERS
from policypress.policy.quantization import FLOAT, LayerQuant, apply, apply_to_parameter
from policypress_runtime.contract import Bound
from policypress_runtime.errors import NetworkError

Doubles = npt.NDArray[np.float64]
Pair = tuple[int, int]


class Layer(nn.Module):
    """One node of a policy. ``role`` names what it folds in (``normalise``, ``squash``, ...), or is empty."""

    role: str = ""


class Linear(nn.Linear):
    """y = x Wᵀ + b, quantized by ``quant``; weight ``(out, in)``, per-channel axis 0."""

    role = ""
    quant: LayerQuant = FLOAT
    learned: LearnedQuantizer | None = None  # data for the recipe step ``qat``, without effect

    def forward(self, input: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        """``(batch, in)`` → ``(batch, out)``."""
        q = self.quant
        if not q.active:
            return F.linear(input, self.weight, self.bias)
        x, weight = apply(input, q.input), apply_to_parameter(self.weight, q.weight)
        bias = None if self.bias is None else apply_to_parameter(self.bias, q.bias)
        return apply(F.linear(x, weight, bias), q.output)


class Conv2d(nn.Conv2d):
    """2-D convolution, zero padding, quantized by ``quant``; weight ``(out, in / groups, height, width)``."""

    role = ""
    quant: LayerQuant = FLOAT
    learned: LearnedQuantizer | None = None

    def forward(self, input: Float[Tensor, "batch inputs height width"]) -> Float[Tensor, "batch outputs rows columns"]:
        """``(batch, in, height, width)`` → ``(batch, out, height', width')``."""
        q = self.quant
        x, weight = apply(input, q.input), apply_to_parameter(self.weight, q.weight)
        bias = None if self.bias is None else apply_to_parameter(self.bias, q.bias)
        return apply(F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups), q.output)


Weighted = Linear | Conv2d


class Activation(Layer):
    """Element-wise activation by the field's name, e.g. ``relu`` or ``leaky_relu`` with its parameters.

    Raises:
        NetworkError: the name is not one of ``ACTIVATIONS``.
    """

    quant: LayerQuant = FLOAT

    def __init__(self, name: str, **parameters: float) -> None:
        super().__init__()
        if name not in ACTIVATIONS:
            raise NetworkError(
                "An activation is not supported.",
                got=name,
                expected=", ".join(sorted(ACTIVATIONS)),
                hint="Open an issue with the network, or replace the activation.",
            )
        self.name = name
        self.parameters_by_name = {**PARAMETERS.get(name, {}), **parameters}

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Any shape, unchanged."""
        return apply(ACTIVATIONS[self.name](x, **self.parameters_by_name), self.quant.output)

    def extra_repr(self) -> str:
        """Name and parameters."""
        return ", ".join([self.name, *(f"{k}={v:g}" for k, v in self.parameters_by_name.items())])


class PRelu(Layer):
    """max(0, x) + a · min(0, x) with learned slopes ``a`` that broadcast against ``(batch, ...)``."""

    def __init__(self, slope: Tensor) -> None:
        super().__init__()
        self.slope = nn.Parameter(slope.clone())

    def forward(self, x: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch *shape"]:
        """Any shape, unchanged."""
        return torch.clamp(x, min=0.0) + self.slope * torch.clamp(x, max=0.0)


def _constant(values: Bound) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32))


class Normalise(Layer):
    """VecNormalize: clip((x − mean) / sqrt(var + epsilon), ±clip), true to float64 statistics.

    The mean is kept as two float32 numbers (high and low part): subtracting both from a float32
    observation loses nothing where the mean is large against the standard deviation.
    """

    role = "normalise"

    def __init__(self, mean: Doubles, variance: Doubles, epsilon: float, clip: float) -> None:
        super().__init__()
        high = mean.astype(np.float32)
        self.register_buffer("mean_high", _constant(high))
        self.register_buffer("mean_low", _constant(mean - high.astype(np.float64)))
        self.register_buffer("inverse_std", _constant(1.0 / np.sqrt(variance + epsilon)))
        self.clip = float(clip)

    def forward(self, x: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch *shape"]:
        """``(batch, *shape)`` with ``shape`` that of the statistics."""
        high, low = cast(Tensor, self.mean_high), cast(Tensor, self.mean_low)
        return torch.clamp(((x - high) - low) * cast(Tensor, self.inverse_std), -self.clip, self.clip)


class Affine(Layer):
    """y = x · scale + shift with constants that broadcast against ``(batch, ...)``; a None part is left out."""

    def __init__(self, scale: Bound | None = None, shift: Bound | None = None, role: str = "") -> None:
        super().__init__()
        self.register_buffer("scale", None if scale is None else _constant(scale))
        self.register_buffer("shift", None if shift is None else _constant(shift))
        self.role = role

    def forward(self, x: Tensor) -> Tensor:
        """Any shape the constants broadcast against."""
        if self.scale is not None:
            x = x * cast(Tensor, self.scale)
        return x if self.shift is None else x + cast(Tensor, self.shift)


class Unscale(Layer):
    """From [−1, 1] to the action bounds, low + 0.5 · (x + 1) · (high − low), in Stable-Baselines3's order."""

    role = "unscale"

    def __init__(self, low: Bound, high: Bound) -> None:
        super().__init__()
        self.register_buffer("low", _constant(low))
        self.register_buffer("span", _constant(np.asarray(high, np.float32) - np.asarray(low, np.float32)))

    def forward(self, x: Float[Tensor, "batch *action"]) -> Float[Tensor, "batch *action"]:
        """``(batch, *action)``."""
        return cast(Tensor, self.low) + 0.5 * (x + 1.0) * cast(Tensor, self.span)


class Clip(Layer):
    """Element-wise limits, one for all or one per element; infinite limits are allowed."""

    role = "clip"

    def __init__(self, low: Bound, high: Bound, role: str = "clip") -> None:
        super().__init__()
        self.register_buffer("low", _constant(low))
        self.register_buffer("high", _constant(high))
        self.role = role

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Any shape the limits broadcast against."""
        return torch.minimum(torch.maximum(x, cast(Tensor, self.low)), cast(Tensor, self.high))


class ToFloat(Layer):
    """Integers to float32 (float64 in a policy that was made ``double()``)."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("one", torch.ones(()), persistent=False)

    def forward(self, x: Shaped[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Any shape."""
        return x.to(cast(Tensor, self.one).dtype)


class OneHot(Layer):
    """Integers ``(batch, k)`` or ``(batch,)`` → the concatenated one-hot vectors ``(batch, sum(counts))``."""

    role = "one_hot"

    def __init__(self, counts: Sequence[int], start: int = 0) -> None:
        super().__init__()
        self.counts = tuple(counts)
        self.start = start
        values = np.concatenate([np.arange(n) for n in self.counts]) + start
        self.register_buffer("columns", torch.from_numpy(np.repeat(np.arange(len(self.counts)), self.counts)))
        self.register_buffer("values", torch.from_numpy(values.astype(np.int64)))
        self.register_buffer("one", torch.ones(()), persistent=False)

    def forward(self, x: Int[Tensor, "batch *groups"]) -> Float[Tensor, "batch columns"]:
        """Integers to zeros and ones."""
        spread = x.reshape(-1, len(self.counts))[:, cast(Tensor, self.columns)]
        return (spread == cast(Tensor, self.values)).to(cast(Tensor, self.one).dtype)


class Flatten(Layer):
    """``(batch, ...)`` → ``(batch, n)``."""

    def forward(self, x: Shaped[Tensor, "batch *shape"]) -> Shaped[Tensor, "batch features"]:
        """Row-major."""
        return x.flatten(1)


class Reshape(Layer):
    """``(batch, ...)`` → ``(batch, *shape)``."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        """Row-major."""
        return x.reshape(x.shape[0], *self.shape)


class Transpose(Layer):
    """Permutes the axes after the batch; ``order`` counts the batch as axis 0."""

    def __init__(self, order: Sequence[int], role: str = "") -> None:
        super().__init__()
        self.order = tuple(order)
        self.role = role

    def forward(self, x: Tensor) -> Tensor:
        """As ``torch.permute``."""
        return x.permute(self.order)


class Concat(Layer):
    """Several tensors joined along ``axis``."""

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *tensors: Tensor) -> Tensor:
        """Equal shapes but for ``axis``."""
        return torch.cat(tensors, dim=self.axis)


class Slice(Layer):
    """Elements ``start … stop − 1`` along ``axis``."""

    def __init__(self, axis: int, start: int, stop: int) -> None:
        super().__init__()
        self.axis, self.start, self.stop = axis, start, stop

    def forward(self, x: Tensor) -> Tensor:
        """Fewer elements along one axis."""
        return x.narrow(self.axis, self.start, self.stop - self.start)


BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
}


class Binary(Layer):
    """Element-wise operation on two tensors: ``add``, ``sub``, ``mul`` or ``div``."""

    def __init__(self, operation: str) -> None:
        super().__init__()
        self.operation = operation

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Shapes that broadcast."""
        return BINARY[self.operation](left, right)


class LayerNorm(nn.LayerNorm):
    """Layer normalisation over the last axes."""

    role = ""


class Pool2d(Layer):
    """``max`` or ``average`` pooling, zero padding not counted into averages."""

    def __init__(self, kind: str, kernel: Pair, stride: Pair, padding: Pair = (0, 0)) -> None:
        super().__init__()
        self.kind, self.kernel, self.stride, self.padding = kind, kernel, stride, padding

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels rows columns"]:
        """``(batch, channels, height, width)``."""
        if self.kind == "max":
            return F.max_pool2d(x, self.kernel, self.stride, self.padding)
        return F.avg_pool2d(x, self.kernel, self.stride, self.padding, count_include_pad=False)


class Mean(Layer):
    """Mean over ``axes`` (batch is axis 0), optionally keeping them with length 1."""

    def __init__(self, axes: Sequence[int], keep: bool = False) -> None:
        super().__init__()
        self.axes, self.keep = tuple(axes), keep

    def forward(self, x: Tensor) -> Tensor:
        """Fewer axes."""
        return x.mean(dim=self.axes, keepdim=self.keep)


class Softmax(Layer):
    """Softmax along ``axis``."""

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return torch.softmax(x, dim=self.axis)


class ArgMax(Layer):
    """Scores ``(batch, sum(counts))`` → the index of the best in each group, int64.

    One group gives ``(batch,)``, several give ``(batch, groups)``. Ties go to the lowest index.
    """

    role = "argmax"

    def __init__(self, counts: Sequence[int], start: int = 0, single: bool = True) -> None:
        super().__init__()
        self.counts, self.start, self.single = tuple(counts), start, single

    def forward(self, scores: Float[Tensor, "batch scores"]) -> Int[Tensor, "batch *groups"]:
        """Scores to actions."""
        best = [part.argmax(dim=1) for part in torch.split(scores, list(self.counts), dim=1)]
        return best[0] + self.start if self.single else torch.stack(best, dim=1) + self.start


class Threshold(Layer):
    """Logits ``(batch, n)`` → bits, int8: 1 where the logit is above 0 (a probability above one half)."""

    role = "threshold"

    def forward(self, logits: Float[Tensor, "batch bits"]) -> Int[Tensor, "batch bits"]:
        """Logits to bits."""
        return (logits > 0).to(torch.int8)


def multiply_accumulates(layer: nn.Module, output: Tensor) -> int:
    """Multiply-accumulates of one ``Linear`` or ``Conv2d`` for one observation; 0 for other layers."""
    if isinstance(layer, Linear):
        return layer.weight.numel()
    if isinstance(layer, Conv2d):
        return layer.weight.numel() * math.prod(output.shape[2:])
    return 0
