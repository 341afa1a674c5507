"""``gptq(bits)``: weights of few bits, each rounded so that the next ones can make up for it.

Column by column: a weight goes to its nearest integer, and the error, as far as the layer's inputs are correlated,
into the columns that are not rounded yet. With U the upper Cholesky factor of G⁻¹ (G the covariance of the inputs,
damped), w_j − q_j the error of column j,

    W_:k ← W_:k − (w_j − q_j) / U_jj · U_jk    for every k behind j

Columns of much variance come first. GPTQ (Frantar et al. 2022, arXiv:2210.17323), itself after Optimal Brain Surgeon.
Three things are added to it:

- what is rounded is not the layer's weight but the one that, on the inputs as the quantized layers before give them,
  comes nearest to the fp32 layer's values (the ridge of ``refit``);
- a row's scale is the one of least error among full range, 95 %, ..., 50 % of it: clipping a large weight can be
  worth the finer steps;
- a bias takes the change of the mean, so that covariances are all that counts.

A row where rounding to nearest does better keeps that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from policypress.compression.quantization.weight_rounding import (
    Rounded,
    WeightRounding,
    full_scale,
    highest,
    nearest,
    parts_of,
    round_layers,
    rounding_error,
)
from policypress.compression.reconstruction import (
    Moments,
    damping_of,
    matrix_of,
    moments,
    ridge,
    set_weight,
    weighted,
)
from policypress.compression.step import Context
from policypress.policy.policy import Policy

SHRINKS = tuple(1.0 - step / 20 for step in range(11))
# Columns whose errors are carried over at once: the matrix product is what takes the time.
BLOCK = 64


@dataclass(frozen=True)
class Gptq(WeightRounding):
    """Quantize with weights of ``bits`` bits (2 to 8), rounded by GPTQ, one symmetric scale per output."""

    name: ClassVar[str] = "gptq"
    version: ClassVar[int] = 1

    def apply(self, policy: Policy, context: Context) -> Policy:
        """Copy of ``policy`` whose layers carry integers as weights and their ``QuantSpec``."""
        observations = context.calibration

        def rounding(result: Policy, name: str, bits: int) -> Rounded:
            found = moments(result, name, observations, lambda batch: policy.run(batch)[name])
            return _round_layer(result, name, bits, found)

        return round_layers(policy, observations, rounding, self.widths)


def _round_layer(policy: Policy, name: str, bits: int, found: Moments) -> Rounded:
    layer = weighted(policy, name)
    matrix, parts = matrix_of(layer), parts_of(layer)
    integers, scale = torch.zeros_like(matrix), torch.ones(len(matrix))
    offset = torch.zeros(len(matrix), dtype=torch.float64)
    for rows, columns in parts:
        covariance = found.covariance[columns, columns]
        damping = damping_of(covariance)
        target = ridge(covariance, found.cross[columns, rows], matrix[rows], damping)
        part = round_matrix(target, covariance + damping * torch.eye(len(covariance), dtype=torch.float64), bits)
        integers[rows], scale[rows] = part.integers, part.scale
        offset[rows] = part.matrix @ found.mean[columns]
    set_weight(layer, layer.weight.detach(), found.target_mean - offset)
    return Rounded(integers, scale)


def round_matrix(matrix: Tensor, covariance: Tensor, bits: int) -> Rounded:
    """``matrix`` in integers and scales of least error; no row's is above that of rounding to nearest.

    Args:
        matrix: ``(rows, columns)``, float64.
        covariance: of the inputs, damped, ``(columns, columns)``.
        bits: of the integers.
    """
    full = full_scale(matrix, bits)
    order = covariance.diagonal().argsort(descending=True)
    factor = torch.linalg.cholesky(torch.linalg.inv(covariance[order][:, order]), upper=True)
    best = Rounded(nearest(matrix, full, bits), full)
    least = rounding_error(best.matrix, matrix, covariance)
    for shrink in SHRINKS:
        scale = (full.double() * shrink).float()
        integers = torch.empty_like(matrix)
        integers[:, order], error = _sweep(matrix[:, order], scale.double(), factor, bits)
        better = error < least
        best = Rounded(torch.where(better[:, None], integers, best.integers), torch.where(better, scale, best.scale))
        least = torch.minimum(least, error)
    return best


def _sweep(matrix: Tensor, scale: Tensor, factor: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Integers of GPTQ's pass over the columns in their order, ``(rows, columns)``, and each row's squared error.

    The squares of what is carried over add up to the error of all: U factors the inverse of its quadratic form.
    """
    left, limit = matrix.clone(), highest(bits)
    total = torch.zeros_like(scale)
    integers = torch.empty_like(matrix)
    for start in range(0, matrix.shape[1], BLOCK):
        stop = min(start + BLOCK, matrix.shape[1])
        errors = torch.empty_like(left[:, start:stop])
        for column in range(start, stop):
            rounded = torch.clamp(torch.round(left[:, column] / scale), -limit, limit)
            integers[:, column] = rounded
            error = (left[:, column] - rounded * scale) / factor[column, column]
            left[:, column:stop] -= torch.outer(error, factor[column, column:stop])
            errors[:, column - start] = error
        left[:, stop:] -= errors @ factor[start:stop, stop:]
        total += errors.square().sum(1)
    return integers, total
