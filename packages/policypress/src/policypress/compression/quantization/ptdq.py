"""``ptdq``: post-training dynamic quantization as published (Lu et al. 2024, section 2.1).

ONNX Runtime's ``quantize_dynamic`` in its plain form: int8 weights per tensor, activations quantized at run
time by their minimum and maximum. Lu et al. write that they "computed S and Z for activations exclusively":
read here as *scales are computed from data for activations only* (weights take theirs from their own range);
``weights=fp32`` is the other reading, in which weights are not quantized at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from policypress.compression.quantization import activation_quantizers
from policypress.compression.quantization.onnx_runtime_quantizers import (
    NETWORK_OPERATORS,
    outside_network,
    through_files,
)
from policypress.compression.quantization.weights import PlainQuantizer
from policypress.compression.step import Context
from policypress.policy.policy import Policy


@dataclass(frozen=True)
class Ptdq(PlainQuantizer):
    """Dynamic int8 by ONNX Runtime; ``weights=fp32`` quantizes activations only."""

    name: ClassVar[str] = "ptdq"
    version: ClassVar[int] = 1

    def lower(self, model: onnx.ModelProto, policy: Policy, context: Context) -> onnx.ModelProto:
        """The dynamically quantized model."""
        excluded = outside_network(model, policy)
        if self.weights == "fp32":
            return activation_quantizers.dynamic(model, excluded)

        def quantizer(source: Path, target: Path) -> None:
            quantize_dynamic(
                source,
                target,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=list(NETWORK_OPERATORS),
                nodes_to_exclude=excluded,
            )

        return through_files(model, quantizer)
