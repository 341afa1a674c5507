"""Operations of traced networks that weigh and combine elements: linear, convolution, normalisation, pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from policypress.policy import layers
from policypress.policy.importers.assembly import Assembly, Refused, Value
from policypress.policy.importers.elementwise import (
    activation,
    add,
    affine,
    as_float,
    divide,
    multiply,
    negative,
    subtract,
)
from policypress.policy.importers.fusion import new_conv, new_linear
from policypress.policy.importers.tensor_shapes import axis_of, features, pad, permute, split, squeeze

Padding = tuple[Sequence[int], Sequence[int]]
"""How much before each axis, and how much after it."""


def linear(a: Assembly, x: Value, weight: Tensor, bias: Tensor | None = None) -> Value:
    """x Wᵀ + b over the last axis; weight ``(out, in)``.

    With axes between the batch and the last one (a set or a sequence) it is a 1 × 1 convolution.
    """
    x = as_float(a, x)
    if weight.dim() != 2 or not x.shape or x.shape[-1] != weight.shape[1]:
        raise Refused(f"a weight of shape {tuple(weight.shape)} on {x.shape} for each observation")
    rows = math.prod(x.shape[:-1])
    if rows == 1:
        flat = a.add("linear", new_linear(weight, bias), features(a, x, x.shape[-1:]))
        return features(a, flat, (*x.shape[:-1], weight.shape[0]))
    channels = features(a, permute(a, features(a, x, (rows, x.shape[-1])), (0, 2, 1)), (x.shape[-1], rows, 1))
    mixed = conv(a, channels, weight[:, :, None, None], bias)
    back = permute(a, features(a, mixed, (weight.shape[0], rows)), (0, 2, 1))
    return features(a, back, (*x.shape[:-1], weight.shape[0]))


def conv(
    a: Assembly,
    x: Value,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Sequence[int] = (1, 1),
    padding: Padding = ((0, 0), (0, 0)),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Value:
    """1-D or 2-D convolution with zeros before and after each axis; a 1-D one has height 1."""
    x, (before, after) = as_float(a, x), padding
    if weight.dim() - 2 not in (1, 2) or len(x.shape) != weight.dim() - 1:
        raise Refused(f"a convolution with {weight.dim() - 2} axes on {x.shape} for each observation")
    source, low, high = a.padded.get(x.name, (x, (0,) * len(x.shape), (0,) * len(x.shape)))
    even = all((p - q) % d == 0 for p, q, d in zip(low[1:], high[1:], dilation, strict=False))
    if low[0] == high[0] == 0 and even:
        x, before = source, [p + q for p, q in zip(low[1:], before, strict=True)]
        after = [p + q for p, q in zip(high[1:], after, strict=True)]
    if weight.dim() == 3:
        flat = conv(
            a,
            features(a, x, (x.shape[0], 1, x.shape[1])),
            weight.unsqueeze(2),
            bias,
            stride=(1, *stride),
            padding=((0, *before), (0, *after)),
            dilation=(1, *dilation),
            groups=groups,
        )
        return features(a, flat, (flat.shape[0], flat.shape[2]))
    if any((p - q) % d for p, q, d in zip(before, after, dilation, strict=True)):
        x, before, after = pad(a, x, (0, *before), (0, *after)), (0, 0), (0, 0)
    for axis, (low_pad, high_pad) in enumerate(zip(before, after, strict=True)):
        weight = _balanced(weight, axis + 2, low_pad, high_pad, dilation[axis])
    layer = new_conv(
        weight,
        bias,
        stride=(stride[0], stride[1]),
        padding=(max(before[0], after[0]), max(before[1], after[1])),
        dilation=(dilation[0], dilation[1]),
        groups=groups,
    )
    return a.add("conv", layer, x)


def _balanced(weight: Tensor, axis: int, before: int, after: int, dilation: int) -> Tensor:
    """A kernel for equal padding at both ends that computes what ``weight`` does with ``before`` and ``after``."""
    missing = abs(after - before)
    shape = list(weight.shape)
    shape[axis] = missing // dilation
    zeros = weight.new_zeros(shape)
    return torch.cat([zeros, weight] if after > before else [weight, zeros], axis) if missing else weight


def same_padding(kernel: Sequence[int], dilation: Sequence[int]) -> tuple[list[int], list[int]]:
    """Zeros before and after each axis that keep its length at stride 1; the odd one goes to the end."""
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return [total // 2 for total in totals], [total - total // 2 for total in totals]


def batch_norm(
    a: Assembly, x: Value, weight: Tensor | None, bias: Tensor | None, mean: Tensor, variance: Tensor, eps: float
) -> Value:
    """Batch normalisation with fixed statistics, per channel (axis 1)."""
    scale = 1.0 / torch.sqrt(variance.double() + eps)
    if weight is not None:
        scale = scale * weight.double()
    shift = -mean.double() * scale
    if bias is not None:
        shift = shift + bias.double()
    shape = (-1, *[1] * (len(x.shape) - 1))
    return affine(a, x, scale.reshape(shape), shift.reshape(shape))


def layer_norm(
    a: Assembly, x: Value, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> Value:
    """Layer normalisation over the last axes, which have ``shape``."""
    if tuple(shape) != x.shape[-len(shape) :]:
        raise Refused(f"it normalises {tuple(shape)} of {x.shape} for each observation")
    layer = layers.LayerNorm(list(shape), eps=eps)
    with torch.no_grad():
        if weight is not None:
            layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return a.add("norm", layer, as_float(a, x))


def group_norm(a: Assembly, x: Value, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Value:
    """Group normalisation: layer normalisation of each group of channels, then per-channel constants."""
    shape = x.shape
    grouped = features(a, x, (groups, math.prod(shape) // groups))
    value = features(a, layer_norm(a, grouped, grouped.shape[-1:], None, None, eps), shape)
    if weight is None and bias is None:
        return value
    columns = (-1, *[1] * (len(shape) - 1))
    parts = [None if part is None else part.reshape(columns) for part in (weight, bias)]
    return affine(a, value, *parts)


def rms_norm(a: Assembly, x: Value, axes: int, weight: Tensor | None, eps: float) -> Value:
    """x / sqrt(mean(x²) + eps) over the last ``axes`` axes, times ``weight``."""
    x = as_float(a, x)
    last = list(range(x.sample.dim() - axes, x.sample.dim()))
    squares = mean(a, multiply(a, x, x), last, keep=True)
    value = divide(a, x, activation(a, add(a, squares, torch.tensor(eps)), "sqrt"))
    return value if weight is None else affine(a, value, weight)


def log_sum_exp(a: Assembly, x: Value, axes: Sequence[int], *, keep: bool) -> Value:
    """log Σ exp(x) over ``axes``."""
    peak = largest(a, x, axes, keep=True)
    powers = activation(a, subtract(a, x, peak), "exp")
    value = add(a, activation(a, total(a, powers, axes, keep=True), "log"), peak)
    return value if keep else squeeze(a, value, axes)


def softmax(a: Assembly, x: Value, axis: int) -> Value:
    """Softmax along ``axis``."""
    return a.add("softmax", layers.Softmax(axis_of(x, axis)), as_float(a, x))


def log_softmax(a: Assembly, x: Value, axis: int) -> Value:
    """Logarithm of softmax along ``axis``."""
    return activation(a, softmax(a, x, axis), "log")


def mean(a: Assembly, x: Value, axes: Sequence[int], *, keep: bool) -> Value:
    """Mean over ``axes``."""
    positive = sorted(axis_of(x, axis) for axis in axes)
    return a.add("mean", layers.Mean(positive, keep), as_float(a, x))


def total(a: Assembly, x: Value, axes: Sequence[int], *, keep: bool) -> Value:
    """Sum over ``axes``."""
    count = math.prod(x.sample.shape[axis_of(x, axis)] for axis in axes)
    return affine(a, mean(a, x, axes, keep=keep), torch.tensor(float(count)))


def variance(a: Assembly, x: Value, axes: Sequence[int], *, keep: bool, correction: float) -> Value:
    """Variance over ``axes``, divided by the count less ``correction``."""
    x = as_float(a, x)
    count = math.prod(x.sample.shape[axis_of(x, axis)] for axis in axes)
    centred = add(a, x, negative(a, mean(a, x, axes, keep=True)))
    squares = mean(a, multiply(a, centred, centred), axes, keep=keep)
    if count <= correction:
        raise Refused(f"the variance of {count} numbers less {correction:g}")
    return squares if correction == 0 else affine(a, squares, torch.tensor(count / (count - correction)))


def largest(a: Assembly, x: Value, axes: Sequence[int], *, keep: bool) -> Value:
    """Maximum over ``axes``, as pooling."""
    x = as_float(a, x)
    shape = list(x.shape)
    for axis in (axis_of(x, axis) - 1 for axis in axes):
        sides = (math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))
        window = layers.Pool2d("max", (sides[1], 1), (1, 1))
        shape[axis] = 1
        x = features(a, a.add("pool", window, features(a, x, sides)), shape)
    dropped = {axis % (len(shape) + 1) - 1 for axis in axes}
    return x if keep else features(a, x, [size for i, size in enumerate(shape) if i not in dropped])


def pool(
    a: Assembly,
    x: Value,
    kind: str,
    kernel: Sequence[int],
    *,
    stride: Sequence[int],
    padding: Padding,
    ceil: bool = False,
    count_padding: bool = True,
) -> Value:
    """1-D or 2-D ``max`` or ``average`` pooling."""
    x, (before, after) = as_float(a, x), padding
    if len(kernel) == 1:
        high = features(a, x, (x.shape[0], 1, x.shape[1]))
        wide = ((0, *before), (0, *after))
        value = pool(
            a, high, kind, (1, *kernel), stride=(1, *stride), padding=wide, ceil=ceil, count_padding=count_padding
        )
        return features(a, value, (value.shape[0], value.shape[2]))
    if len(kernel) != 2 or len(x.shape) != 3:
        raise Refused(f"pooling with {len(kernel)} axes on {x.shape} for each observation")
    sizes = zip(x.shape[1:], kernel, stride, before, after, strict=True)
    if ceil and any((size + low + high - k) % step for size, k, step, low, high in sizes):
        raise Refused("pooling windows that reach over the edge (ceil_mode)")
    if list(before) != list(after):
        raise Refused(f"pooling with padding {list(before)} before and {list(after)} after")
    layer = layers.Pool2d(kind, (kernel[0], kernel[1]), (stride[0], stride[1]), (before[0], before[1]))
    value = a.add("pool", layer, x)
    if kind != "average" or not count_padding or max(before) == 0:
        return value
    # The layer averages over the elements that exist; the share of them in each window gives the other mean.
    share = F.avg_pool2d(torch.ones(1, *x.shape[1:]), layer.kernel, layer.stride, layer.padding)
    return affine(a, value, share)


def adaptive_pool(a: Assembly, x: Value, kind: str, output: Sequence[int]) -> Value:
    """Pooling to ``output`` sizes that divide those of ``x``."""
    sizes = x.shape[1:]
    if len(sizes) != len(output) or any(size % want for size, want in zip(sizes, output, strict=True)):
        raise Refused(f"adaptive pooling from {sizes} to {tuple(output)}, which does not divide it")
    if kind == "average" and set(output) == {1}:
        return mean(a, x, range(2, x.sample.dim()), keep=True)
    kernel = [size // want for size, want in zip(sizes, output, strict=True)]
    none = [0] * len(kernel)
    return pool(a, x, kind, kernel, stride=kernel, padding=(none, none))


def one_hot(a: Assembly, x: Value, classes: int, start: int = 0) -> Value:
    """Integers from ``start`` to one-hot vectors on a new last axis."""
    if not x.integer:
        raise Refused("a one-hot vector of something that is not an integer of the observation")
    count = math.prod(x.shape)
    value = a.add("one_hot", layers.OneHot([classes] * count, start), x)
    return features(a, value, (*x.shape, classes))


def embedding(a: Assembly, table: Tensor, index: Value) -> Value:
    """Rows of ``table`` by an integer of the observation: a linear layer on its one-hot vector."""
    return linear(a, one_hot(a, index, table.shape[0]), table.T)


def equal_to(a: Assembly, x: Value, constants: Tensor) -> Value:
    """x == constants for integers: a one-hot vector where the constants count up in each group.

    Raises:
        Refused: any other comparison.
    """
    source, _, columns = a.taken.get(x.name, (x, 1, tuple(range(x.shape[0] if x.shape else 0))))
    while isinstance(a.producer(source), layers.Flatten | layers.Reshape):
        source = a.values[a.sources(source)[0]]
    wanted = constants.reshape(-1).tolist()
    if len(columns) == 1:
        columns = columns * len(wanted)
    if x.integer and len(source.shape) <= 1 and len(columns) == len(wanted):
        counts = np.bincount(columns, minlength=math.prod(source.shape))
        layer = layers.OneHot(counts.tolist(), int(min(wanted)))
        same = list(columns) == layer.columns.tolist() and wanted == layer.values.tolist()  # type: ignore[operator]
        if same:
            return a.add("one_hot", layer, source)
    raise Refused("a comparison that is not a one-hot encoding")


def matmul(a: Assembly, left: Value | Tensor, right: Value | Tensor) -> Value:
    """left @ right, where one of them is constant with two axes."""
    if isinstance(left, Value) and isinstance(right, Tensor) and right.dim() == 2:
        return linear(a, left, right.T)
    if isinstance(left, Tensor) and isinstance(right, Value) and left.dim() == 2 and len(right.shape) == 2:
        return permute(a, linear(a, permute(a, right, (0, 2, 1)), left), (0, 2, 1))
    raise Refused("a matrix product that is not with one constant matrix")


def einsum(a: Assembly, equation: str, operands: Sequence[Value | Tensor]) -> Value:
    """An Einstein sum that is a linear layer over the last axis of its first operand."""
    terms, _, out = equation.replace(" ", "").partition("->")
    first, _, second = terms.partition(",")
    kept = second.replace(first[-1], "") if first else ""
    if len(operands) == 2 and len(second) == 2 and len(kept) == 1 and out == first[:-1] + kept:
        left, right = operands
        if isinstance(left, Value) and isinstance(right, Tensor):
            return linear(a, left, right if second[1] == first[-1] else right.T)
    raise Refused(f"the product {equation} is not a linear layer on the last axis")


def normalise_length(a: Assembly, x: Value, order: float, axes: Sequence[int], *, keep: bool) -> Value:
    """Vector norm of ``order`` 1, 2 or infinity over ``axes``."""
    x = as_float(a, x)
    if order == 2.0:
        return activation(a, total(a, multiply(a, x, x), axes, keep=keep), "sqrt")
    magnitude = activation(a, x, "abs")
    if order == 1.0:
        return total(a, magnitude, axes, keep=keep)
    if math.isinf(order) and order > 0:
        return largest(a, magnitude, axes, keep=keep)
    raise Refused(f"a norm of order {order:g}")


def gated(a: Assembly, x: Value, axis: int) -> Value:
    """GLU: the first half times the sigmoid of the second half along ``axis``."""
    half = x.sample.shape[axis_of(x, axis)] // 2
    first, second = split(a, x, [half, half], axis)
    return multiply(a, first, activation(a, second, "sigmoid"))
