"""Rounding weights to few bits, layer by layer: the common ground of ``gptq`` and ``rtn``.

In the order in which the layers run: the layer's input gets its affine scale, its weights one symmetric scale per
output and integers, its bias a scale that adds to the accumulator. What comes after sees the activations of
layers that are quantized already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from policypress.compression.calibration import ranges
from policypress.compression.reconstruction import matrix_of
from policypress.compression.step import Observations, Stage, Step
from policypress.policy.layers import Conv2d, Weighted
from policypress.policy.policy import Policy
from policypress.policy.quantization import LayerQuant, QuantSpec, affine_spec, bias_spec
from policypress_runtime.errors import RecipeError

LEAST_BITS, MOST_BITS = 2, 8
INT8, INT4 = "int8", "int4"
_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Rounded:
    """A weight matrix in integers, ``(rows, columns)``, and one float32 scale per row."""

    integers: Tensor
    scale: Tensor

    @property
    def matrix(self) -> Tensor:
        """The weights that the integers stand for, float64."""
        return self.integers.double() * self.scale.double()[:, None]


@dataclass(frozen=True)
class Widths:
    """How many bits: of weights, of those of the first and the last layers (where that is more), of activations."""

    bits: int
    ends: int
    activations: int
    storage: str = INT8

    def check(self, step: str) -> None:
        """Refuse what no ``QuantSpec`` and no file can hold.

        Raises:
            RecipeError: not 2 to 8 bits, or another storage.
        """
        for name, bits in (("bits", self.bits), ("ends", self.ends), ("activations", self.activations)):
            if not LEAST_BITS <= bits <= MOST_BITS:
                raise RecipeError(
                    f"{step} does not support this number of bits.",
                    got=f"{name}={bits}",
                    expected=f"{LEAST_BITS} to {MOST_BITS}",
                )
        if self.storage not in (INT8, INT4):
            raise RecipeError(
                f"{step} does not support this storage.",
                got=f"storage={self.storage}",
                expected=f"{INT8} (every ONNX Runtime from 1.17) or {INT4} (from 1.19; weights of 4 bits or fewer)",
            )

    def of(self, layer: str, outer: frozenset[str]) -> int:
        """Bits of the weights of ``layer``."""
        return max(self.bits, self.ends) if layer in outer else self.bits


@dataclass(frozen=True)
class WeightRounding(Step):
    """Options of ``gptq`` and ``rtn``.

    Args:
        bits: of the weights.
        ends: bits of the first and last layers, where that is more.
        activations: bits of what layers read.
        storage: ``int8``, or ``int4`` for weights of 4 bits or fewer.

    Raises:
        RecipeError: see :meth:`Widths.check`.
    """

    stage: ClassVar[Stage] = Stage.QUANTIZATION
    bits: int = field(metadata={"positional": True})
    ends: int = 8
    activations: int = 8
    storage: str = INT8

    def __post_init__(self) -> None:
        self.widths.check(self.name)

    @property
    def widths(self) -> Widths:
        """The bits together."""
        return Widths(self.bits, self.ends, self.activations, self.storage)


LayerRounding = Callable[[Policy, str, int], Rounded]
"""``(policy, name, bits)`` → the weights of the layer ``name``; may change its bias. The policy's layers before it are
quantized, and so is its input."""


def round_layers(policy: Policy, observations: Observations, rounding: LayerRounding, widths: Widths) -> Policy:
    """Copy of ``policy`` in which every weighted layer's input, weight and bias are quantized."""
    result = policy.clone()
    inputs: dict[str, QuantSpec] = {}
    outer = end_layers(policy)
    for name, layer in result.weighted_layers():
        value = result.node(name).inputs[0]
        if value not in inputs:
            # Layers that read the same value share its spec, so that it is quantized once.
            inputs[value] = affine_spec(*ranges(result, observations)[value], bits=widths.activations)
        layer.quant = LayerQuant(input=inputs[value])
        bits = widths.of(name, outer)
        rounded = rounding(result, name, bits)
        with torch.no_grad():
            layer.weight.copy_(rounded.matrix.reshape(layer.weight.shape))
        zero = torch.zeros(len(rounded.scale), dtype=torch.int32)
        packed = widths.storage == INT4 and bits <= 4
        weight = QuantSpec(bits, True, rounded.scale, zero, 0, narrow=True, packed=packed)
        bias = None if layer.bias is None else bias_spec(inputs[value], weight)
        layer.quant = LayerQuant(inputs[value], weight, bias)
    return result


def end_layers(policy: Policy) -> frozenset[str]:
    """Weighted layers that no other comes before, and those that none comes after.

    Behind a state stands what gave it, so that gate matrices are no ends; what reads the observation alone is one only
    if it is no gate.
    """
    names = {name for name, _ in policy.weighted_layers()}
    found = {name for name in names if policy.is_last(name)}
    if policy.states:
        return frozenset(found | _read_in_front(policy, names))
    behind: set[str] = set()
    for node in policy.nodes:
        if behind & set(node.inputs):
            behind.add(node.name)
        elif node.name in names:
            found.add(node.name)
            behind.add(node.name)
    return frozenset(found)


def _read_in_front(policy: Policy, names: set[str]) -> set[str]:
    """Weighted layers that the observation alone is read by, and whose values other weighted layers read: encoders."""
    seen, found = {spec.name for spec in policy.inputs.values()}, set[str]()
    for node in policy.nodes:
        if not seen.issuperset(node.inputs):
            continue
        if node.name not in names:
            seen.add(node.name)
        elif not _is_gate(policy, node.name, names):
            found.add(node.name)
    return found


def _is_gate(policy: Policy, name: str, names: set[str]) -> bool:
    """Whether what the layer gives reaches a state before any other weighted layer."""
    frontier, seen = [name], {name}
    while frontier:
        value = frontier.pop()
        if any(state.node == value for state in policy.states):
            return True
        after = {reader for reader in policy.readers(value) if reader not in names} - seen
        seen |= after
        frontier.extend(after)
    return False


def full_scale(matrix: Tensor, bits: int) -> Tensor:
    """Scale of each row, float32, with which its largest weight is the largest integer; 1 for a row of zeros."""
    scale = (matrix.abs().amax(1) / highest(bits)).float()
    return torch.where(scale < _TINY, torch.ones_like(scale), scale)


def highest(bits: int) -> int:
    """Largest integer of a symmetric scale: 127 for 8 bits."""
    return int(2 ** (bits - 1)) - 1


def nearest(matrix: Tensor, scale: Tensor, bits: int) -> Tensor:
    """Every weight to the integer that is nearest, ``(rows, columns)``."""
    limit = highest(bits)
    return torch.clamp(torch.round(matrix / scale[:, None]), -limit, limit)


def rounding_error(rounded: Tensor, matrix: Tensor, covariance: Tensor) -> Tensor:
    """Squared error of each row's output on inputs of this covariance, ``(rows,)``."""
    error = rounded - matrix
    return ((error @ covariance) * error).sum(1)


def parts_of(layer: Weighted) -> list[tuple[slice, slice]]:
    """Rows and columns that belong together: one pair, or one per group of a convolution."""
    count = layer.groups if isinstance(layer, Conv2d) else 1
    rows, columns = matrix_of(layer).shape
    height = rows // count
    return [
        (slice(part * height, (part + 1) * height), slice(part * columns, (part + 1) * columns))
        for part in range(count)
    ]
