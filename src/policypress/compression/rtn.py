"""``rtn(bits)``: weights to the nearest integer, for comparison with ``gptq``.

As ``int8`` at 8 bits. Below, the first and last layers keep ``ends`` bits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from policypress.compression.reconstruction import matrix_of, weighted
from policypress.compression.step import Context, Stage, Step
from policypress.compression.weight_rounding import INT8, Rounded, Widths, full_scale, nearest, round_layers
from policypress.policy.policy import Policy


@dataclass(frozen=True)
class Rtn(Step):
    """Quantize with round-to-nearest weights of ``bits`` bits and one symmetric scale per output.

    ``ends``: bits of the first and last layers, where that is more. ``activations``: bits of what layers read.
    ``storage``: ``int8``, or ``int4`` for weights of 4 bits or fewer.
    """

    name: ClassVar[str] = "rtn"
    stage: ClassVar[Stage] = Stage.QUANTIZATION
    version: ClassVar[int] = 1
    bits: int = field(metadata={"positional": True})
    ends: int = 8
    activations: int = 8
    storage: str = INT8

    def __post_init__(self) -> None:
        self._widths.check(self.name)

    @property
    def _widths(self) -> Widths:
        return Widths(self.bits, self.ends, self.activations, self.storage)

    def apply(self, policy: Policy, context: Context) -> Policy:
        """Copy of ``policy`` whose layers carry their ``QuantSpec``."""
        return round_layers(policy, context.calibration, _to_nearest, self._widths)


def _to_nearest(policy: Policy, name: str, bits: int) -> Rounded:
    matrix = matrix_of(weighted(policy, name)).float()
    scale = full_scale(matrix, bits)
    return Rounded(nearest(matrix, scale, bits), scale)
