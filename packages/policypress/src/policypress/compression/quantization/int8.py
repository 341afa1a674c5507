"""``int8``: static 8-bit quantization through ``QuantSpec``.

Unsigned affine min-max activations per tensor, signed symmetric weights per output channel, int32 biases of
scale s_x · s_w, and a float output: the last layer's result is not quantized again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from policypress.compression.calibration import ranges
from policypress.compression.step import Context, Stage, Step
from policypress.policy.policy import Policy
from policypress.policy.quantization import LayerQuant, affine_spec, bias_spec, symmetric_spec


@dataclass(frozen=True)
class Int8(Step):
    """Quantize every linear and convolutional layer's input, weight and bias."""

    name: ClassVar[str] = "int8"
    stage: ClassVar[Stage] = Stage.QUANTIZATION
    version: ClassVar[int] = 1

    def apply(self, policy: Policy, context: Context) -> Policy:
        """Copy of ``policy`` whose layers carry their ``QuantSpec``."""
        result = policy.clone()
        seen = ranges(result, context.calibration)
        # Layers that read the same value share its spec, so that it is quantized once.
        inputs = {value: affine_spec(*span) for value, span in seen.items()}
        for name, layer in result.weighted_layers():
            activation = inputs[result.node(name).inputs[0]]
            weight = symmetric_spec(layer.weight)
            bias = None if layer.bias is None else bias_spec(activation, weight)
            layer.quant = LayerQuant(input=activation, weight=weight, bias=bias)
        return result
