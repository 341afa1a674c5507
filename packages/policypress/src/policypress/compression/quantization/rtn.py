"""``rtn(bits)``: weights to the nearest integer, for comparison with ``gptq``.

As ``int8`` at 8 bits. Below, the first and last layers keep ``ends`` bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from policypress.compression.quantization.weight_rounding import (
    Rounded,
    WeightRounding,
    full_scale,
    nearest,
    round_layers,
)
from policypress.compression.reconstruction import matrix_of, weighted
from policypress.compression.step import Context
from policypress.policy.policy import Policy


@dataclass(frozen=True)
class Rtn(WeightRounding):
    """Quantize with round-to-nearest weights of ``bits`` bits and one symmetric scale per output."""

    name: ClassVar[str] = "rtn"
    version: ClassVar[int] = 1

    def apply(self, policy: Policy, context: Context) -> Policy:
        """Copy of ``policy`` whose layers carry their ``QuantSpec``."""
        return round_layers(policy, context.calibration, _to_nearest, self.widths)


def _to_nearest(policy: Policy, name: str, bits: int) -> Rounded:
    matrix = matrix_of(weighted(policy, name)).float()
    scale = full_scale(matrix, bits)
    return Rounded(nearest(matrix, scale, bits), scale)
