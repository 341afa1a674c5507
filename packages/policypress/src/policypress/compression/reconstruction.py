"""Least squares on a layer's inputs: what pruning, refit and GPTQ mean by the error of a layer.

A linear layer gives y = W x + b; a convolution does so at every place, with x the patch under its kernel. Here both
are rows of *columns*: ``(samples, in)`` or ``(samples · places, in · height · width)``. With centred columns A and
centred targets T the error of weights W is ‖A Wᵀ − T‖² / n, and its Hessian is the covariance G = Aᵀ A / n; the
bias takes the means.

    >>> import torch
    >>> ridge(torch.eye(2), torch.tensor([[1.0], [4.0]]), torch.tensor([[3.0, 0.0]]), damping=1.0)
    tensor([[2., 2.]])
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from policypress.compression.calibration import chunks
from policypress.compression.step import Observations
from policypress.policy.layers import Conv2d, Weighted
from policypress.policy.policy import Policy
from policypress.policy.quantization import apply

# Of the mean of the covariance's diagonal: what the data do not determine stays near where it was. From 1e-2 to 1e-5
# the action error hardly moves; what returns there are at 1e-3 is best or near it (docs/recipes.md).
DAMPING = 1e-3
# Patches of a convolution take much memory: so many images at a time.
CHUNK_ROWS = 64


@dataclass(frozen=True)
class Moments:
    """First and second moments, float64, of a layer's columns, and of its targets where there are any.

    Args:
        mean: of the columns, ``(columns,)``.
        covariance: of the columns, ``(columns, columns)``.
        target_mean: ``(rows,)``.
        cross: covariance of columns and targets, ``(columns, rows)``.
    """

    mean: Tensor
    covariance: Tensor
    target_mean: Tensor
    cross: Tensor

    @property
    def damped(self) -> Tensor:
        """Covariance with :data:`DAMPING` on its diagonal, which makes it invertible."""
        return self.covariance + damping_of(self.covariance) * torch.eye(len(self.covariance), dtype=torch.float64)


def damping_of(covariance: Tensor) -> float:
    """λ: :data:`DAMPING` of the mean diagonal, and never 0."""
    return DAMPING * max(float(covariance.diagonal().mean()), torch.finfo(torch.float32).tiny)


def weighted(policy: Policy, name: str) -> Weighted:
    """The linear or convolutional layer ``name``."""
    return cast(Weighted, policy.layers[name])


def columns_of(layer: Weighted, x: Tensor) -> Tensor:
    """What each output of ``layer`` is a dot product with, as the layer quantizes it: ``(rows, columns)``."""
    x = apply(x, layer.quant.input)
    if not isinstance(layer, Conv2d):
        return x
    patches = F.unfold(x, layer.kernel_size, layer.dilation, cast(tuple[int, int], layer.padding), layer.stride)
    return patches.transpose(1, 2).flatten(0, 1)


def rows_of(value: Tensor) -> Tensor:
    """A layer's value as ``(rows, outputs)``, in the order of :func:`columns_of`."""
    return value.flatten(2).transpose(1, 2).flatten(0, 1) if value.dim() > 2 else value


def matrix_of(layer: Weighted) -> Tensor:
    """The weight as a float64 matrix, ``(outputs, columns)``; a grouped convolution's has columns / groups."""
    return layer.weight.detach().flatten(1).double()


def moments(
    policy: Policy,
    name: str,
    observations: Observations,
    target: Callable[[Tensor | dict[str, Tensor]], Tensor] | None = None,
) -> Moments:
    """Moments of what the layer ``name`` reads in ``policy``.

    Args:
        policy: run on the observations as it is, quantized or not.
        name: a weighted layer.
        observations: batch first.
        target: what the layer should give for a batch, in the shape of its value; by default what it gives.
    """
    layer = weighted(policy, name)
    count = 0
    total: list[Tensor] = []
    for batch in _batches(observations):
        values = policy.run(batch)
        x = columns_of(layer, values[policy.node(name).inputs[0]]).double()
        y = rows_of(values[name] if target is None else target(batch)).double()
        count += len(x)
        parts = [x.sum(0), y.sum(0), x.T @ x, x.T @ y]
        total = [old + new for old, new in zip(total, parts, strict=True)] if total else parts
    mean, target_mean = total[0] / count, total[1] / count
    return Moments(
        mean,
        total[2] / count - torch.outer(mean, mean),
        target_mean,
        total[3] / count - torch.outer(mean, target_mean),
    )


def refit_layer(policy: Policy, name: str, teacher: Policy, observations: Observations) -> None:
    """Give the layer ``name`` the weights with which ``policy`` comes nearest to what ``teacher`` has there.

    Its outputs are the teacher's that ``policy.kept_channels`` names, or all.
    """
    layer = weighted(policy, name)
    kept = torch.tensor(policy.kept_channels.get(name, range(len(layer.weight))))
    found = moments(policy, name, observations, lambda batch: teacher.run(batch)[name][:, kept])
    weight = ridge(found.covariance, found.cross, matrix_of(layer), damping_of(found.covariance))
    set_weight(layer, weight, found.target_mean - weight @ found.mean)


@dataclass(frozen=True)
class Spread:
    """Mean and variance of a layer's columns, ``(columns,)``; variance of its value, summed over outputs."""

    mean: Tensor
    variance: Tensor
    given: float


def spreads(policy: Policy, observations: Observations) -> dict[str, Spread]:
    """Spread, float64, of every weighted layer by its name."""
    sums: dict[str, list[Tensor]] = {}
    for batch in _batches(observations):
        values = policy.run(batch)
        for name, layer in policy.weighted_layers():
            x, y = columns_of(layer, values[policy.node(name).inputs[0]]).double(), rows_of(values[name]).double()
            parts = [torch.tensor(float(len(x))), x.sum(0), x.square().sum(0), y.sum(0), y.square().sum(0)]
            sums[name] = [a + b for a, b in zip(sums[name], parts, strict=True)] if name in sums else parts
    found: dict[str, Spread] = {}
    for name, (count, x, squares, y, given) in sums.items():
        mean, variance = x / count, (squares / count - (x / count).square()).clamp(min=0.0)
        found[name] = Spread(mean, variance, float((given / count - (y / count).square()).clamp(min=0.0).sum()))
    return found


def _batches(observations: Observations) -> Iterator[Tensor | dict[str, Tensor]]:
    with torch.no_grad():
        yield from chunks(observations, CHUNK_ROWS)


def ridge(covariance: Tensor, cross: Tensor, weight: Tensor, damping: float) -> Tensor:
    """Weights of least error that stay near ``weight``: argmin ‖A Wᵀ − T‖² / n + λ ‖W − weight‖².

    Its error is never above that of ``weight``, which a ridge towards zero cannot say.

    Args:
        covariance: G, ``(columns, columns)``.
        cross: Aᵀ T / n, ``(columns, rows)``.
        weight: ``(rows, columns)``.
        damping: λ.
    """
    eye = torch.eye(len(covariance), dtype=covariance.dtype)
    return cast(Tensor, torch.linalg.solve(covariance + damping * eye, cross + damping * weight.T)).T


def set_weight(layer: Weighted, weight: Tensor, bias: Tensor) -> None:
    """Give ``layer`` other numbers; one without a bias gets one."""
    with torch.no_grad():
        layer.weight.copy_(weight.reshape(layer.weight.shape))
        if layer.bias is None:
            layer.bias = nn.Parameter(torch.zeros(len(bias)))
        layer.bias.copy_(bias)


def bias_of(layer: Weighted) -> Tensor:
    """The bias, float64, or zeros."""
    if layer.bias is None:
        return torch.zeros(layer.weight.shape[0], dtype=torch.float64)
    return layer.bias.detach().double()
